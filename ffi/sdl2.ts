// Functions, constants and structs of SDL 2 (https://wiki.libsdl.org/SDL2), loaded on first use. Needs 2.0.16.
import { FFIType } from "bun:ffi";
import { addressOf, cString } from "./libc.ts";
import { CallError, type Functions, functionAt, openLibrary, textAt } from "./library.ts";
import { i32, n64, type Struct, struct, u8, u32 } from "./struct.ts";

export const SDL_SONAME = "libSDL2-2.0.so.0";

const int = FFIType.i32;
const u = FFIType.u32;
const at = FFIType.u64_fast;
const address = FFIType.i64_fast;
const none = FFIType.void;

const signatures = {
  SDL_ConvertPixels: { args: [int, int, u, at, int, u, at, int], returns: int },
  SDL_CreateRenderer: { args: [at, int, u], returns: address },
  SDL_CreateTexture: { args: [at, u, int, int, int], returns: address },
  SDL_CreateWindow: { args: [at, int, int, int, int, u], returns: address },
  SDL_DestroyRenderer: { args: [at], returns: none },
  SDL_DestroyTexture: { args: [at], returns: none },
  SDL_DestroyWindow: { args: [at], returns: none },
  SDL_GL_GetProcAddress: { args: [at], returns: address },
  SDL_GetCurrentDisplayMode: { args: [int, at], returns: int },
  SDL_GetCurrentVideoDriver: { args: [], returns: address },
  SDL_GetDisplayUsableBounds: { args: [int, at], returns: int },
  SDL_GetError: { args: [], returns: address },
  SDL_GetNumVideoDrivers: { args: [], returns: int },
  SDL_GetRendererInfo: { args: [at, at], returns: int },
  SDL_GetRendererOutputSize: { args: [at, at, at], returns: int },
  SDL_GetVideoDriver: { args: [int], returns: address },
  SDL_GetWindowDisplayIndex: { args: [at], returns: int },
  SDL_GetWindowWMInfo: { args: [at, at], returns: int },
  SDL_GetWindowFlags: { args: [at], returns: u },
  SDL_InitSubSystem: { args: [u], returns: int },
  SDL_LockTexture: { args: [at, at, at, at], returns: int },
  SDL_PollEvent: { args: [at], returns: int },
  SDL_QuitSubSystem: { args: [u], returns: none },
  SDL_RenderClear: { args: [at], returns: int },
  SDL_RenderCopy: { args: [at, at, at, at], returns: int },
  SDL_RenderPresent: { args: [at], returns: none },
  SDL_RenderReadPixels: { args: [at, at, u, at, int], returns: int },
  SDL_SetHint: { args: [at, at], returns: int },
  SDL_SetRenderDrawColor: { args: [at, u, u, u, u], returns: int },
  SDL_SetRenderTarget: { args: [at, at], returns: int },
  SDL_SetTextureBlendMode: { args: [at, int], returns: int },
  SDL_SetTextureScaleMode: { args: [at, int], returns: int },
  SDL_SetWindowFullscreen: { args: [at, u], returns: int },
  SDL_SetWindowMinimumSize: { args: [at, int, int], returns: none },
  SDL_SetWindowPosition: { args: [at, int, int], returns: none },
  SDL_SetWindowSize: { args: [at, int, int], returns: none },
  SDL_SetWindowTitle: { args: [at, at], returns: none },
  SDL_setenv: { args: [at, at, int], returns: int },
  SDL_SetYUVConversionMode: { args: [int], returns: none },
  SDL_ShowWindow: { args: [at], returns: none },
  SDL_ShowCursor: { args: [int], returns: int },
  SDL_UnlockTexture: { args: [at], returns: none },
  SDL_UpdateNVTexture: { args: [at, at, at, int, at, int], returns: int },
  SDL_UpdateTexture: { args: [at, at, at, int], returns: int },
  SDL_UpdateYUVTexture: { args: [at, at, at, int, at, int, at, int], returns: int },
} as const;

export type Sdl = Functions<typeof signatures>;

export const SDL_INIT_VIDEO = 0x20;
export const SDL_WINDOWPOS_CENTERED = 0x2fff_0000;
export const SDL_WINDOW_HIDDEN = 0x8;
export const SDL_WINDOW_RESIZABLE = 0x20;
export const SDL_WINDOW_MINIMIZED = 0x40;
export const SDL_WINDOW_FULLSCREEN_DESKTOP = 0x1001;
export const SDL_RENDERER_SOFTWARE = 0x1;
export const SDL_RENDERER_ACCELERATED = 0x2;
export const SDL_RENDERER_PRESENTVSYNC = 0x4;
export const SDL_TEXTUREACCESS_STATIC = 0;
export const SDL_TEXTUREACCESS_STREAMING = 1;
export const SDL_TEXTUREACCESS_TARGET = 2;
export const SDL_BLENDMODE_NONE = 0;
export const SDL_BLENDMODE_BLEND = 1;
export const SDL_ScaleModeNearest = 0;
export const SDL_ScaleModeLinear = 1;
export const SDL_PIXELFORMAT_ARGB8888 = 0x1636_2004;
/** B, G, R and an unused byte in memory. */
export const SDL_PIXELFORMAT_RGB888 = 0x1616_1804;
export const SDL_PIXELFORMAT_RGB24 = 0x1710_1803;
/** SDL_YUV_CONVERSION_MODE; SDL 2 has no full range BT.709. */
export const SDL_YUV_CONVERSION_JPEG = 0;
export const SDL_YUV_CONVERSION_BT601 = 1;
export const SDL_YUV_CONVERSION_BT709 = 2;

export const SDL_QUIT = 0x100;
export const SDL_WINDOWEVENT = 0x200;
export const SDL_KEYDOWN = 0x300;
export const SDL_RENDER_TARGETS_RESET = 0x2000;
export const SDL_RENDER_DEVICE_RESET = 0x2001;
export const SDL_WINDOWEVENT_SHOWN = 1;
export const SDL_WINDOWEVENT_EXPOSED = 3;
export const SDL_WINDOWEVENT_SIZE_CHANGED = 6;
export const SDL_WINDOWEVENT_RESTORED = 9;
export const SDL_WINDOWEVENT_CLOSE = 14;
export const SDLK_ESCAPE = 27;

/** Members of SDL_WindowEvent and SDL_KeyboardEvent; both begin alike. */
export const sdlEvent = struct("SDL_Event", 56, {
  type: u32(0),
  "window.event": u8(12),
  "key.repeat": u8(13),
  "key.keysym.sym": i32(20),
});
export const sdlRect = struct("SDL_Rect", 16, { x: i32(0), y: i32(4), w: i32(8), h: i32(12) });
/** A rectangle in SDL's form. */
export type Rect = Struct<typeof sdlRect.fields>;
export const sdlRendererInfo = struct("SDL_RendererInfo", 88, {
  name: n64(0),
  flags: u32(8),
  max_texture_width: i32(80),
  max_texture_height: i32(84),
});
/** The version that a program was made for is filled in before the call. With X11 `display` is a Display *. */
export const sdlSysWMinfo = struct("SDL_SysWMinfo", 72, {
  "version.major": u8(0),
  "version.minor": u8(1),
  "version.patch": u8(2),
  subsystem: u32(4),
  display: n64(8),
});
export const SDL_SYSWM_X11 = 2;
export const sdlDisplayMode = struct("SDL_DisplayMode", 24, {
  w: i32(4),
  h: i32(8),
  refresh_rate: i32(12),
});
/** Results of SDL_LockTexture: the address, and the bytes from row to row. */
export const lockResult = struct("void *, int", 16, { pixels: n64(0), pitch: i32(8) });

/** Width and height, pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** What textures are made with: a window's renderer. */
export interface Renderer {
  /** SDL_Renderer *. Throws once the renderer is gone. */
  readonly handle: number;
}

let loaded: Sdl | undefined;

/** SDL's functions. Throws LibraryError if SDL is not installed. */
export function sdl(): Sdl {
  loaded ??= openLibrary(SDL_SONAME, signatures);
  return loaded;
}

const GL_RENDERER = 0x1f01;

/** GL_RENDERER of the current OpenGL context: "llvmpipe (LLVM 15.0.6, 256 bits)"; "" without a context. */
export function glRenderer(): string {
  const name = cString("glGetString");
  const pointer = sdl().SDL_GL_GetProcAddress(addressOf(name));
  if (pointer === 0) return "";
  return textAt(functionAt(pointer, [u], address)(GL_RENDERER));
}

/** `result` if it is not negative. Otherwise throws CallError with SDL's reason. */
export function sdlMust(result: number, call: string, object: string): number {
  if (result < 0) throw new CallError(call, object, textAt(sdl().SDL_GetError()));
  return result;
}

/** `pointer` if it is not 0. Otherwise throws CallError with SDL's reason. */
export function sdlMade(pointer: number, call: string, object: string): number {
  if (pointer === 0) throw new CallError(call, object, textAt(sdl().SDL_GetError()));
  return pointer;
}

/** Sets a hint. An environment variable of the same name overrides it. */
export function setHint(name: string, value: string): void {
  const [n, v] = [cString(name), cString(value)];
  sdl().SDL_SetHint(addressOf(n), addressOf(v));
}

/** Sets a variable in the environment of the C library. `process.env` is separate. */
export const setVariable = (name: string, value: string) => setenv(name, value, true);

/** The same, if the variable is not set. */
export const setUnsetVariable = (name: string, value: string) => setenv(name, value, false);

function setenv(name: string, value: string, overwrite: boolean): void {
  const [n, v] = [cString(name), cString(value)];
  sdl().SDL_setenv(addressOf(n), addressOf(v), overwrite ? 1 : 0);
}
