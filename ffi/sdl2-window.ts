// SDL's video subsystem, and a window with its renderer.

import { addressOf, cString } from "./libc.ts";
import { CallError, textAt } from "./library.ts";
import { endedBySignals } from "./process.ts";
import * as k from "./sdl2.ts";
import { SdlTexture } from "./sdl2-texture.ts";
import type { Struct } from "./struct.ts";
import { forgetServer, isServerLost, surviveServer } from "./x11-loss.ts";

/** The video subsystem. There may be only one at a time. */
export class SdlVideo implements Disposable {
  /** SDL's name of the video driver: "x11", "wayland", "kmsdrm", "offscreen". */
  readonly driver: string;
  readonly #event = k.sdlEvent.alloc();
  readonly #eventAt = this.#event.$address;
  #open = true;

  /** Starts it, with a driver of SDL or one that SDL chooses. Throws LibraryError or CallError. */
  constructor(driver?: string) {
    const sdl = k.sdl();
    if (driver !== undefined) k.setVariable("SDL_VIDEODRIVER", driver);
    k.setHint("SDL_NO_SIGNAL_HANDLERS", "1"); // our loop handles SIGINT
    // Without this variable libwayland writes an error to stderr, even when Wayland is not used. The path does not exist.
    k.setUnsetVariable("XDG_RUNTIME_DIR", "/nonexistent");
    k.setHint("SDL_FRAMEBUFFER_ACCELERATION", "0"); // the software renderer then writes to the window directly
    const started = endedBySignals(() => sdl.SDL_InitSubSystem(k.SDL_INIT_VIDEO));
    k.sdlMust(started, "SDL_InitSubSystem", "video");
    this.driver = textAt(sdl.SDL_GetCurrentVideoDriver());
  }

  /** The video drivers of this SDL, in the order it tries them. */
  static builtIn(): string[] {
    const sdl = k.sdl();
    const count = sdl.SDL_GetNumVideoDrivers();
    return Array.from({ length: count }, (_, i) => textAt(sdl.SDL_GetVideoDriver(i)));
  }

  /** The next event, or undefined. The next call overwrites the struct. Throws CallError when the X server has gone. */
  poll(): Struct<typeof k.sdlEvent.fields> | undefined {
    demandServer("SDL_PollEvent");
    return k.sdl().SDL_PollEvent(this.#eventAt) === 1 ? this.#event : undefined;
  }

  /** The part of a screen that a window may cover; infinite if the window system does not say. */
  usable(display: number): k.Size {
    const rect = k.sdlRect.alloc();
    const r = k.sdl().SDL_GetDisplayUsableBounds(display, rect.$address);
    k.sdlMust(r, "SDL_GetDisplayUsableBounds", `display ${display}`);
    const known = rect.w > 0 && rect.h > 0;
    return known ? { width: rect.w, height: rect.h } : { width: Infinity, height: Infinity };
  }

  /** Sets the conversion from YCbCr to RGB from now on: an SDL_YUV_CONVERSION_*. */
  setYuvConversion(mode: number): void {
    k.sdl().SDL_SetYUVConversionMode(mode);
  }

  showCursor(on: boolean): void {
    k.sdl().SDL_ShowCursor(on ? 1 : 0);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    if (isServerLost()) return; // SDL's own second connection to it would end the process
    forgetServer();
    k.sdl().SDL_QuitSubSystem(k.SDL_INIT_VIDEO);
  }
}

/** A window and its renderer. */
export class SdlWindow implements Disposable {
  /** SDL's name of the renderer: "opengl", "software". */
  readonly renderer: string;
  /** GL_RENDERER: "llvmpipe (LLVM 15.0.6, 256 bits)"; "" without OpenGL. */
  readonly gl: string;
  readonly accelerated: boolean;
  readonly vsync: boolean;
  readonly #window: number;
  readonly #renderer: number;
  readonly #size = new Int32Array(new ArrayBuffer(8));
  readonly #sizeAt = addressOf(this.#size);
  #open = true;

  /**
   * Opens a hidden window with an accelerated renderer, otherwise with the software renderer, which has no vsync. `emulation`
   * accepts an OpenGL that runs on the CPU. Throws CallError.
   */
  constructor(title: string, size: k.Size, want: { vsync: boolean; emulation: boolean }) {
    const sdl = k.sdl();
    const text = cString(title);
    const centre = k.SDL_WINDOWPOS_CENTERED;
    // Hidden until it has a renderer: SDL may recreate the window for it.
    const flags = (k.SDL_WINDOW_RESIZABLE | k.SDL_WINDOW_HIDDEN) >>> 0;
    const { width, height } = size;
    const window = sdl.SDL_CreateWindow(addressOf(text), centre, centre, width, height, flags);
    this.#window = k.sdlMade(window, "SDL_CreateWindow", `${width}x${height}`);
    const system = k.sdlSysWMinfo.alloc();
    system["version.major"] = 2;
    const known = sdl.SDL_GetWindowWMInfo(this.#window, system.$address) === 1;
    if (known && system.subsystem === k.SDL_SYSWM_X11) surviveServer(system.display);
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
    const info = k.sdlRendererInfo.alloc();
    sdl.SDL_GetRendererInfo(this.#renderer, info.$address);
    this.renderer = textAt(info.name);
    this.accelerated = (info.flags & k.SDL_RENDERER_ACCELERATED) !== 0;
    this.vsync = this.accelerated && (info.flags & k.SDL_RENDERER_PRESENTVSYNC) !== 0;
  }

  /** Shows a window that is hidden. */
  show(fullscreen: boolean): void {
    if (fullscreen) this.fullscreen = true;
    k.sdl().SDL_ShowWindow(this.#window);
  }

  /** The SDL_Renderer. Throws once disposed. */
  get handle(): number {
    if (!this.#open) throw new Error("the window is closed");
    return this.#renderer;
  }

  /** Size of the drawable area. */
  get size(): k.Size {
    const r = k.sdl().SDL_GetRendererOutputSize(this.handle, this.#sizeAt, this.#sizeAt + 4);
    if (r < 0) return { width: 0, height: 0 };
    return { width: this.#size[0] ?? 0, height: this.#size[1] ?? 0 };
  }

  /** Whether the window is shown. Presenting to a hidden window may block for ever. */
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

  /** Number of the screen that shows the window. */
  get display(): number {
    return Math.max(0, k.sdl().SDL_GetWindowDisplayIndex(this.#window));
  }

  /** Refresh rate of that screen, Hz; 60 if SDL does not know. */
  get refreshRate(): number {
    const mode = k.sdlDisplayMode.alloc();
    const r = k.sdl().SDL_GetCurrentDisplayMode(this.display, mode.$address);
    return r === 0 && mode.refresh_rate > 0 ? mode.refresh_rate : 60;
  }

  setTitle(title: string): void {
    const text = cString(title);
    k.sdl().SDL_SetWindowTitle(this.#window, addressOf(text));
  }

  /** Resizes the window and centres it on the screen. */
  resize({ width, height }: k.Size): void {
    k.sdl().SDL_SetWindowSize(this.#window, width, height);
    const centre = k.SDL_WINDOWPOS_CENTERED; // at its old corner it might not fit on the screen
    k.sdl().SDL_SetWindowPosition(this.#window, centre, centre);
  }

  /** Fills the window with a colour. */
  clear(red: number, green: number, blue: number): void {
    k.sdl().SDL_SetRenderDrawColor(this.handle, red, green, blue, 255);
    k.sdl().SDL_RenderClear(this.handle);
  }

  /** Draws a texture into `to`. Throws CallError. */
  draw(texture: SdlTexture, to: k.Rect): void {
    const r = k.sdl().SDL_RenderCopy(this.handle, texture.handle, 0, to.$address);
    k.sdlMust(r, "SDL_RenderCopy", "window");
  }

  /** Presents what was drawn. With vsync this waits for the refresh of the screen. Throws CallError when the X server has gone. */
  present(): void {
    demandServer("SDL_RenderPresent");
    k.sdl().SDL_RenderPresent(this.handle);
  }

  /** Reads a texture in its own size, as rows of RGB bytes. Throws CallError. */
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
    if (isServerLost()) return; // OpenGL waits for its answer
    k.sdl().SDL_DestroyRenderer(this.#renderer);
    k.sdl().SDL_DestroyWindow(this.#window);
  }
}

function demandServer(call: string): void {
  if (isServerLost()) throw new CallError(call, "x11", "the X server has gone");
}

/** Mesa's renderers on the CPU. SDL's software renderer takes a fifth of their time. docs/decisions/0011-without-a-gpu.md */
const softwareGl = /llvmpipe|softpipe|swrast/i;

/** Creates an accelerated renderer; 0 if there is none. */
function createAccelerated(window: number, vsync: boolean): number {
  const flags = (k.SDL_RENDERER_ACCELERATED | (vsync ? k.SDL_RENDERER_PRESENTVSYNC : 0)) >>> 0;
  return k.sdl().SDL_CreateRenderer(window, -1, flags);
}
