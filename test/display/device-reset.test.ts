// Textures after the renderer has lost its device, and after a call on one failed. SDL itself runs, with its driver that
// shows nothing; the reset is an event that the test pushes (SDL_render.h). What this cannot show is a real lost GPU.
import { FFIType } from "bun:ffi";
import { beforeAll, expect, test } from "bun:test";
import { addressOf } from "../../ffi/libc.ts";
import { CallError, openLibrary } from "../../ffi/library.ts";
import { SDL_RENDER_DEVICE_RESET, SDL_SONAME, sdlEvent, setUnsetVariable } from "../../ffi/sdl2.ts";
import { SdlVideo, SdlWindow } from "../../ffi/sdl2-window.ts";
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { Histogram } from "../../src/cli/histogram.ts";
import { Display } from "../../src/display/display.ts";
import { type Loader, loaderFor } from "../../src/display/loader.ts";
import { Showing } from "../../src/display/showing.ts";
import { fourcc } from "../../src/format/formats.ts";
import { Loop } from "../../src/loop.ts";
import { onLoop } from "../support/loop.ts";

const picture = { width: 64, height: 48, pixelformat: fourcc("YUYV"), sizeimage: 6144 };
const memory = new Uint8Array(new ArrayBuffer(picture.sizeimage)).fill(100);
const frame = (sequence: number) => ({
  index: 0,
  bytesused: picture.sizeimage,
  flags: 0,
  sequence,
  ts_sec: 0,
  ts_usec: 0,
});

beforeAll(() => {
  ensureDebian(displayNeeds);
  setUnsetVariable("SDL_VIDEODRIVER", "dummy");
});

function pushEvent(type: number): void {
  const sdl = openLibrary(SDL_SONAME, {
    SDL_PushEvent: { args: [FFIType.u64_fast], returns: FFIType.i32 },
  });
  const event = sdlEvent.alloc();
  event.type = type;
  expect(sdl.SDL_PushEvent(event.$address)).toBe(1);
}

const options = {
  fullscreen: false,
  scale: "fit",
  colour: "auto",
  "no-vsync": true,
  hud: true,
  snapshot: undefined,
} as const;

test("after a device reset all textures are made again, the one being received into when it is free", async () => {
  process.env.SDL_VIDEODRIVER = "dummy";
  await onLoop(async (loop, signal) => {
    using display = new Display("test", loop, options);
    display.wait(["waiting"]);
    using showing = display.show(picture, 1 << 20, () => undefined);
    const next = async (sequence: number) => {
      showing.show({ address: addressOf(memory) }, frame(sequence));
      await loop.sleep(5, signal);
      return showing.texture;
    };
    const first = await next(0);
    await next(1);
    expect(display.counts).toMatchObject({ shown: 2, passed: 0, damaged: 0 });
    showing.begin(frame(2)); // in the middle of a frame, as the reset comes
    pushEvent(SDL_RENDER_DEVICE_RESET);
    await loop.sleep(40, signal);
    expect(showing.texture).toBeUndefined();
    showing.complete(frame(2));
    expect(display.counts).toMatchObject({ shown: 2, passed: 1 });
    const again = await next(3);
    expect(again).toBeDefined();
    expect(again).not.toBe(first);
    expect(() => first?.handle).toThrow("disposed");
    for (let n = 4; n < 10; n++) expect(await next(n)).toBeDefined();
    expect(display.counts).toEqual({ shown: 9, passed: 1, damaged: 0, lost: 0 });
  });
  delete process.env.SDL_VIDEODRIVER;
});

/** Shows frames through a loader that fails once for each entry of `faults`. */
function showWith(faults: ("texture" | "picture")[], frames: number) {
  using loop = new Loop();
  using _video = new SdlVideo();
  using window = new SdlWindow("test", picture, { vsync: false, emulation: true });
  window.show(false);
  const good = loaderFor(picture, 1 << 20);
  const loader: Loader = {
    texture: good.texture,
    exact: undefined,
    accepts: () => true,
    load(texture, address, bytes) {
      const fault = faults.shift();
      if (fault === "texture") throw new CallError("SDL_LockTexture", "64x48", "device lost");
      return fault === "picture" ? "it is damaged" : good.load(texture, address, bytes);
    },
    [Symbol.dispose]: () => good[Symbol.dispose](),
  };
  const counts = { shown: 0, passed: 0, damaged: 0, lost: 0 };
  using showing = new Showing(loop, {
    window,
    picture,
    loader,
    smooth: true,
    captureTime: () => undefined,
    counts,
    latency: new Histogram(),
    redraw: () => undefined,
    ended: () => undefined,
  });
  for (let n = 0; n < frames; n++) {
    showing.show({ address: addressOf(memory) }, frame(n));
    showing.presentPending();
  }
  return counts;
}

test("a texture whose lock or update failed is made again, and the frame is shown", () => {
  expect(showWith(["texture"], 5)).toEqual({ shown: 5, passed: 0, damaged: 0, lost: 0 });
  expect(showWith(["picture", "texture"], 5)).toMatchObject({ shown: 4, damaged: 1 });
});

test("when a new texture fails as well, that is the error", () => {
  expect(() => showWith(["texture", "texture"], 1)).toThrow("SDL_LockTexture 64x48: device lost");
});
