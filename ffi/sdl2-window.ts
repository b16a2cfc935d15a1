// SDL's video subsystem, a window with its renderer: each has one owner.

import { addressOf, cString } from "./libc.ts";
import { textAt } from "./library.ts";
import * as k from "./sdl2.ts";
import { SdlTexture } from "./sdl2-texture.ts";
import type { Struct } from "./struct.ts";

/** The video subsystem. Only one at a time. */
export class SdlVideo implements Disposable {
  /** SDL's name for it: "x11", "wayland", "kmsdrm", "offscreen". */
  readonly driver: string;
  readonly #event = k.sdlEvent.alloc();
  readonly #eventAt = this.#event.$address;
  #open = true;

  /** Starts it. Throws LibraryError or CallError. */
  constructor() {
    const sdl = k.sdl();
    k.setHint("SDL_NO_SIGNAL_HANDLERS", "1"); // SIGINT stays the loop's
    // Without it libwayland complains on stderr, though nobody asked for Wayland; nothing is there.
    k.setUnsetVariable("XDG_RUNTIME_DIR", "/nonexistent");
    k.setHint("SDL_FRAMEBUFFER_ACCELERATION", "0"); // the software renderer writes to the window itself
    k.sdlMust(sdl.SDL_InitSubSystem(k.SDL_INIT_VIDEO), "SDL_InitSubSystem", "video");
    this.driver = textAt(sdl.SDL_GetCurrentVideoDriver());
  }

  /** The drivers this SDL was built with, in the order it tries them. */
  static builtIn(): string[] {
    const sdl = k.sdl();
    const count = sdl.SDL_GetNumVideoDrivers();
    return Array.from({ length: count }, (_, i) => textAt(sdl.SDL_GetVideoDriver(i)));
  }

  /** The next event, in a struct that the next call fills again; undefined when there is none. */
  poll(): Struct<typeof k.sdlEvent.fields> | undefined {
    return k.sdl().SDL_PollEvent(this.#eventAt) === 1 ? this.#event : undefined;
  }

  /** The part of a screen that a window may cover; boundless where the window system does not say. */
  usable(display: number): k.Size {
    const rect = k.sdlRect.alloc();
    const r = k.sdl().SDL_GetDisplayUsableBounds(display, rect.$address);
    k.sdlMust(r, "SDL_GetDisplayUsableBounds", `display ${display}`);
    const known = rect.w > 0 && rect.h > 0;
    return known ? { width: rect.w, height: rect.h } : { width: Infinity, height: Infinity };
  }

  /** Sets how YCbCr becomes RGB from now on: an SDL_YUV_CONVERSION_*. */
  setYuvConversion(mode: number): void {
    k.sdl().SDL_SetYUVConversionMode(mode);
  }

  showCursor(on: boolean): void {
    k.sdl().SDL_ShowCursor(on ? 1 : 0);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    k.sdl().SDL_QuitSubSystem(k.SDL_INIT_VIDEO);
  }
}

/** A window and what draws in it. */
export class SdlWindow implements Disposable {
  /** SDL's name for the renderer: "opengl", "software". */
  readonly renderer: string;
  /** What OpenGL draws with, where known: "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly gl: string;
  readonly accelerated: boolean;
  readonly vsync: boolean;
  readonly #window: number;
  readonly #renderer: number;
  readonly #size = new Int32Array(new ArrayBuffer(8));
  readonly #sizeAt = addressOf(this.#size);
  #open = true;

  /**
   * Opens a window with an accelerated renderer, else with the software one, which never has vsync. `emulation`:
   * an OpenGL that is itself software is good enough. Throws CallError.
   */
  constructor(
    title: string,
    size: k.Size,
    want: { fullscreen: boolean; vsync: boolean; emulation: boolean },
  ) {
    const sdl = k.sdl();
    const text = cString(title);
    const centre = k.SDL_WINDOWPOS_CENTERED;
    // Hidden until it has its renderer, for which SDL may have to make it anew.
    const flags = (k.SDL_WINDOW_RESIZABLE | k.SDL_WINDOW_HIDDEN) >>> 0;
    const { width, height } = size;
    const window = sdl.SDL_CreateWindow(addressOf(text), centre, centre, width, height, flags);
    this.#window = k.sdlMade(window, "SDL_CreateWindow", `${width}x${height}`);
    try {
      let renderer = createAccelerated(this.#window, want.vsync);
      this.gl = renderer === 0 ? "" : k.glRenderer();
      if (renderer !== 0 && !want.emulation && softwareGl.test(this.gl)) {
        sdl.SDL_DestroyRenderer(renderer);
        renderer = 0;
      }
      if (renderer === 0)
        renderer = sdl.SDL_CreateRenderer(this.#window, -1, k.SDL_RENDERER_SOFTWARE);
      this.#renderer = k.sdlMade(renderer, "SDL_CreateRenderer", "software");
    } catch (error) {
      sdl.SDL_DestroyWindow(this.#window);
      throw error;
    }
    sdl.SDL_SetWindowMinimumSize(this.#window, 64, 48);
    if (want.fullscreen) this.fullscreen = true;
    sdl.SDL_ShowWindow(this.#window);
    const info = k.sdlRendererInfo.alloc();
    sdl.SDL_GetRendererInfo(this.#renderer, info.$address);
    this.renderer = textAt(info.name);
    this.accelerated = (info.flags & k.SDL_RENDERER_ACCELERATED) !== 0;
    this.vsync = this.accelerated && (info.flags & k.SDL_RENDERER_PRESENTVSYNC) !== 0;
  }

  /** The handle textures are made and drawn with. Throws once disposed. */
  get handle(): number {
    if (!this.#open) throw new Error("the window is closed");
    return this.#renderer;
  }

  /** Pixels that can be drawn. */
  get size(): k.Size {
    const r = k.sdl().SDL_GetRendererOutputSize(this.handle, this.#sizeAt, this.#sizeAt + 4);
    if (r < 0) return { width: 0, height: 0 };
    return { width: this.#size[0] ?? 0, height: this.#size[1] ?? 0 };
  }

  /** Whether anybody can see it: presenting to a hidden window may block for ever. */
  get visible(): boolean {
    const flags = k.sdl().SDL_GetWindowFlags(this.#window);
    return this.#open && (flags & (k.SDL_WINDOW_HIDDEN | k.SDL_WINDOW_MINIMIZED)) === 0;
  }

  get fullscreen(): boolean {
    const flags = k.sdl().SDL_GetWindowFlags(this.#window);
    return (flags & k.SDL_WINDOW_FULLSCREEN_DESKTOP) !== 0;
  }

  set fullscreen(on: boolean) {
    k.sdl().SDL_SetWindowFullscreen(this.#window, on ? k.SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
  }

  /** Number of the screen it is on. */
  get display(): number {
    return Math.max(0, k.sdl().SDL_GetWindowDisplayIndex(this.#window));
  }

  /** Refreshes per second of that screen; 60 where SDL does not know. */
  get refreshRate(): number {
    const mode = k.sdlDisplayMode.alloc();
    const r = k.sdl().SDL_GetCurrentDisplayMode(this.display, mode.$address);
    return r === 0 && mode.refresh_rate > 0 ? mode.refresh_rate : 60;
  }

  setTitle(title: string): void {
    const text = cString(title);
    k.sdl().SDL_SetWindowTitle(this.#window, addressOf(text));
  }

  /** Changes its size and puts it in the middle of the screen. */
  resize({ width, height }: k.Size): void {
    k.sdl().SDL_SetWindowSize(this.#window, width, height);
    const centre = k.SDL_WINDOWPOS_CENTERED; // the old corner may leave the rest outside
    k.sdl().SDL_SetWindowPosition(this.#window, centre, centre);
  }

  /** Makes everything one colour. */
  clear(red: number, green: number, blue: number): void {
    k.sdl().SDL_SetRenderDrawColor(this.handle, red, green, blue, 255);
    k.sdl().SDL_RenderClear(this.handle);
  }

  /** Draws a texture into `to`. Throws CallError. */
  draw(texture: SdlTexture, to: k.Rect): void {
    const r = k.sdl().SDL_RenderCopy(this.handle, texture.handle, 0, to.$address);
    k.sdlMust(r, "SDL_RenderCopy", "window");
  }

  /** Shows what was drawn; with vsync this waits for the screen, up to one refresh. */
  present(): void {
    k.sdl().SDL_RenderPresent(this.handle);
  }

  /** The picture of a texture in its own size, as rows of RGB bytes. Throws CallError. */
  readTexture(texture: SdlTexture): Uint8Array<ArrayBuffer> {
    const sdl = k.sdl();
    const { width, height } = texture;
    using target = new SdlTexture(this, k.SDL_PIXELFORMAT_ARGB8888, texture, "target");
    const pixels = new Uint8Array(new ArrayBuffer(width * height * 3));
    k.sdlMust(
      sdl.SDL_SetRenderTarget(this.handle, target.handle),
      "SDL_SetRenderTarget",
      "snapshot",
    );
    try {
      const copied = sdl.SDL_RenderCopy(this.handle, texture.handle, 0, 0);
      k.sdlMust(copied, "SDL_RenderCopy", "snapshot");
      const pitch = width * 3;
      const at = addressOf(pixels);
      const r = sdl.SDL_RenderReadPixels(this.handle, 0, k.SDL_PIXELFORMAT_RGB24, at, pitch);
      k.sdlMust(r, "SDL_RenderReadPixels", "snapshot");
    } finally {
      sdl.SDL_SetRenderTarget(this.handle, 0);
    }
    return pixels;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    k.sdl().SDL_DestroyRenderer(this.#renderer);
    k.sdl().SDL_DestroyWindow(this.#window);
  }
}

/** Mesa's renderers without a GPU: SDL's own needs a fifth of their time. docs/decisions/0011-without-a-gpu.md */
const softwareGl = /llvmpipe|softpipe|swrast/i;

/** An accelerated renderer, or 0. */
function createAccelerated(window: number, vsync: boolean): number {
  const flags = (k.SDL_RENDERER_ACCELERATED | (vsync ? k.SDL_RENDERER_PRESENTVSYNC : 0)) >>> 0;
  return k.sdl().SDL_CreateRenderer(window, -1, flags);
}
