// Our part of `bun run bench display`: frames of YUYV in memory, shown in one of several ways.
// usage: bun display-side.ts memory|socket|update|lock|surface WIDTH HEIGHT FRAMES
import { FFIType } from "bun:ffi";
import { copyMemory } from "../../ffi/copy.ts";
import { addressOf, cString } from "../../ffi/libc.ts";
import { openLibrary } from "../../ffi/library.ts";
import { SDL_SONAME, SDL_WINDOWPOS_CENTERED, sdlEvent, sdlRect } from "../../ffi/sdl2.ts";
import { SdlTexture } from "../../ffi/sdl2-texture.ts";
import { SdlVideo, SdlWindow } from "../../ffi/sdl2-window.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { Display } from "../../src/display/display.ts";
import { fourcc } from "../../src/format/formats.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import { Loop } from "../../src/loop.ts";

const [way, width, height, frames] = process.argv
  .slice(2)
  .map((word, i) => (i === 0 ? word : Number(word))) as [string, number, number, number];
const bytes = width * height * 2;
const PIECE = 65_536;
setUpLog("bench", "error");
using owned = new DisposableStack();
const memory = () => owned.use(memfdAllocator.allocate(bytes)).mapping;
const pictures = Array.from({ length: 4 }, (_, i) => {
  const mapping = memory();
  for (let at = 0; at < bytes; at++) mapping.bytes[at] = at * 7 + i * 50;
  return mapping.address;
});

/** Copies a frame as a socket delivers it: in pieces, which are still in the cache when they are read. */
function receive(to: number, from: number): void {
  for (let at = 0; at < bytes; at += PIECE)
    copyMemory(to + at, from + at, Math.min(PIECE, bytes - at));
}

/** Through the display module: frames in memory, or frames received into the module's memory. */
function displayed(): (from: number, sequence: number) => void {
  const loop = owned.use(new Loop());
  const display = owned.use(
    new Display("bench", loop, {
      fullscreen: false,
      scale: "fit",
      colour: "auto",
      "no-vsync": true,
      hud: false,
      snapshot: undefined,
    }),
  );
  const picture = { width, height, pixelformat: fourcc("YUYV"), sizeimage: bytes };
  const showing = owned.use(display.show(picture, bytes, () => undefined));
  const header = { bytesused: bytes, sequence: 0, flags: 0, ts_sec: 0, ts_usec: 0 };
  const memory = { address: 0 };
  return (from, sequence) => {
    header.sequence = sequence;
    if (way === "memory") {
      memory.address = from;
      showing.show(memory, header);
    } else {
      receive(showing.begin(header), from);
      showing.complete(header);
    }
    showing.presentPending();
  };
}

/** One texture of the frames' own format, as SDL's documentation shows it. */
function textured(): (from: number) => void {
  const video = owned.use(new SdlVideo());
  const want = { fullscreen: false, vsync: false, emulation: false };
  const window = owned.use(new SdlWindow("bench", { width, height }, want));
  const texture = owned.use(new SdlTexture(window, fourcc("YUY2"), { width, height }));
  const all = sdlRect.alloc();
  [all.w, all.h] = [width, height];
  const plane = { address: memory().address, pitch: width * 2 };
  return (from) => {
    while (video.poll() !== undefined);
    receive(way === "lock" ? texture.lock() : plane.address, from);
    if (way === "lock") texture.unlock();
    else texture.update([plane]);
    window.draw(texture, all);
    window.present();
  };
}

/** Without a renderer: converted into the window's own pixels. */
function surface(): (from: number) => void {
  const { i32, u32, u64_fast: at, i64_fast: address } = FFIType;
  const sdl = openLibrary(SDL_SONAME, {
    SDL_CreateWindow: { args: [at, i32, i32, i32, i32, u32], returns: address },
    SDL_GetWindowSurface: { args: [at], returns: address },
    SDL_UpdateWindowSurface: { args: [at], returns: i32 },
    SDL_ConvertPixels: { args: [i32, i32, u32, at, i32, u32, at, i32], returns: i32 },
    SDL_GetWindowPixelFormat: { args: [at], returns: u32 },
    SDL_PollEvent: { args: [at], returns: i32 },
  });
  owned.use(new SdlVideo());
  const centre = SDL_WINDOWPOS_CENTERED;
  const title = cString("bench");
  const window = sdl.SDL_CreateWindow(addressOf(title), centre, centre, width, height, 0);
  const format = sdl.SDL_GetWindowPixelFormat(window);
  const event = sdlEvent.alloc().$address;
  while (sdl.SDL_PollEvent(event) === 1);
  // struct SDL_Surface: pitch at 24, pixels at 32.
  const view = new DataView(new ArrayBuffer(40));
  copyMemory(addressOf(view), sdl.SDL_GetWindowSurface(window), 40);
  const pitch = view.getInt32(24, true);
  const pixels = Number(view.getBigUint64(32, true));
  const own = memory().address;
  const yuy2 = fourcc("YUY2");
  return (from) => {
    receive(own, from);
    while (sdl.SDL_PollEvent(event) === 1);
    const r = sdl.SDL_ConvertPixels(width, height, yuy2, own, width * 2, format, pixels, pitch);
    if (r !== 0 || sdl.SDL_UpdateWindowSurface(window) !== 0) throw new Error("SDL failed");
  };
}

const ways: Readonly<Record<string, () => (from: number, sequence: number) => void>> = {
  memory: displayed,
  socket: displayed,
  update: textured,
  lock: textured,
  surface,
};
const show = (ways[way] ?? displayed)();
const warmUp = Math.ceil(frames / 10);
let startedMs = 0;
let cpuBefore = process.cpuUsage();
for (let i = 0; i < frames + warmUp; i++) {
  if (i === warmUp) {
    cpuBefore = process.cpuUsage();
    startedMs = performance.now();
  }
  show(pictures[i % pictures.length] ?? 0, i);
}
const seconds = (performance.now() - startedMs) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6 }));
