// SDL's textures. A picture is written into a locked texture, copied, or converted.
import * as k from "./sdl2.ts";
import { isServerLost } from "./x11-loss.ts";

const accesses = {
  streaming: k.SDL_TEXTUREACCESS_STREAMING,
  target: k.SDL_TEXTUREACCESS_TARGET,
} as const;

/** A texture of a window's renderer. Dispose it before the window. */
export class SdlTexture implements Disposable, k.Size {
  readonly width: number;
  readonly height: number;
  /** Its SDL_PixelFormatEnum. */
  readonly format: number;
  /** Bytes from row to row of the first plane while the texture is locked. */
  pitch = 0;
  readonly #handle: number;
  readonly #locked = k.lockResult.alloc();
  readonly #lockedAt = this.#locked.$address;
  #address = 0;
  #open = true;

  /** Creates a texture; `format` is an SDL_PixelFormatEnum. Throws CallError, for example if it is too large for the renderer. */
  constructor(
    renderer: k.Renderer,
    format: number,
    { width, height }: k.Size,
    access: keyof typeof accesses = "streaming",
  ) {
    const handle = k
      .sdl()
      .SDL_CreateTexture(renderer.handle, format, accesses[access], width, height);
    this.#handle = k.sdlMade(handle, "SDL_CreateTexture", `${width}x${height}`);
    this.format = format;
    this.width = width;
    this.height = height;
  }

  get handle(): number {
    if (!this.#open) throw new Error("the texture is disposed");
    return this.#handle;
  }

  /** Enables alpha blending, with sharp pixels. */
  overlay(): this {
    k.sdl().SDL_SetTextureBlendMode(this.handle, k.SDL_BLENDMODE_BLEND);
    return this.smooth(false);
  }

  /** Sets linear or nearest scaling. */
  smooth(on: boolean): this {
    const mode = on ? k.SDL_ScaleModeLinear : k.SDL_ScaleModeNearest;
    k.sdl().SDL_SetTextureScaleMode(this.handle, mode);
    return this;
  }

  /** Locks the texture. Answers the address of its memory, write only, the same until `unlock`. Throws CallError. */
  lock(): number {
    if (this.#address !== 0) return this.#address;
    const r = k.sdl().SDL_LockTexture(this.handle, 0, this.#lockedAt, this.#lockedAt + 8);
    k.sdlMust(r, "SDL_LockTexture", `${this.width}x${this.height}`);
    this.pitch = this.#locked.pitch;
    this.#address = this.#locked.pixels;
    return this.#address;
  }

  /** Unlocks the texture and uploads what was written. */
  unlock(): void {
    if (this.#address === 0) return;
    this.#address = 0;
    k.sdl().SDL_UnlockTexture(this.handle);
  }

  /** Converts a picture of another SDL_PixelFormatEnum into the texture; its planes are contiguous. Throws CallError. */
  convert(from: number, address: number, pitch: number): void {
    const to = this.lock();
    const { width, height, format } = this;
    const sdl = k.sdl();
    const r = sdl.SDL_ConvertPixels(width, height, from, address, pitch, format, to, this.pitch);
    this.unlock();
    k.sdlMust(r, "SDL_ConvertPixels", `${width}x${height}`);
  }

  /** Copies a picture of one, two or three planes into the texture. Throws CallError. */
  update(planes: readonly { readonly address: number; readonly pitch: number }[]): void {
    this.unlock();
    const sdl = k.sdl();
    const [y, u, v] = planes;
    if (y === undefined) throw new RangeError("a picture has planes");
    const handle = this.handle;
    if (u === undefined) {
      k.sdlMust(sdl.SDL_UpdateTexture(handle, 0, y.address, y.pitch), "SDL_UpdateTexture", "");
    } else if (v === undefined) {
      const r = sdl.SDL_UpdateNVTexture(handle, 0, y.address, y.pitch, u.address, u.pitch);
      k.sdlMust(r, "SDL_UpdateNVTexture", "");
    } else {
      const rest = [u.address, u.pitch, v.address, v.pitch] as const;
      const r = sdl.SDL_UpdateYUVTexture(handle, 0, y.address, y.pitch, ...rest);
      k.sdlMust(r, "SDL_UpdateYUVTexture", "");
    }
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    if (isServerLost()) return;
    k.sdl().SDL_DestroyTexture(this.#handle);
  }
}
