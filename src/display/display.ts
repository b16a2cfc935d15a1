// The window of a tool: opened for a stream or to wait for one, alive whatever the stream does. It shows frames
// from memory of the caller's, or hands out texture memory to receive them into (showing.ts).
import { monotonicUs } from "../../ffi/clock.ts";
import { CallError } from "../../ffi/library.ts";
import * as sdl from "../../ffi/sdl2.ts";
import { type SdlVideo, SdlWindow } from "../../ffi/sdl2-window.ts";
import { Histogram } from "../cli/histogram.ts";
import { log } from "../cli/log.ts";
import { joined, type Summary } from "../cli/stats.ts";
import type { Outcome } from "../cli/tool.ts";
import { UnavailableError } from "../errors.ts";
import { fourccName } from "../format/formats.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { CaptureTime } from "../frame/frame.ts";
import type { Loop } from "../loop.ts";
import { CARD_SIZE, Card } from "./card.ts";
import { checkSnapshotDir, conversionFor, type DisplayOptions } from "./display-options.ts";
import { startVideo } from "./driver.ts";
import { Figures, Rate } from "./figures.ts";
import { loaderFor } from "./loader.ts";
import { covers, isSharp, place, windowSize } from "./placement.ts";
import { Showing, type ShownCounts } from "./showing.ts";
import { writeSnapshot } from "./snapshot.ts";

/** Keys and the close button are looked at so often: a person does not feel it. */
const EVENTS_MS = 15;
/** After these the window's content is gone or has another size. */
const redrawAfter: readonly number[] = [
  sdl.SDL_WINDOWEVENT_SHOWN,
  sdl.SDL_WINDOWEVENT_EXPOSED,
  sdl.SDL_WINDOWEVENT_SIZE_CHANGED,
  sdl.SDL_WINDOWEVENT_RESTORED,
];

export class Display implements Disposable {
  readonly counts: ShownCounts = { shown: 0, passed: 0, damaged: 0, lost: 0 };
  /** Capture to present, where sender and screen have one clock. */
  readonly latency = new Histogram();
  /** How long presenting took: the socket waits meanwhile. */
  readonly presenting = new Histogram();
  readonly #rate = new Rate();
  readonly #tool: string;
  readonly #loop: Loop;
  readonly #options: DisplayOptions;
  readonly #video: SdlVideo;
  readonly #closed = new AbortController();
  readonly #owned = new DisposableStack();
  readonly #keys: Readonly<Record<number, () => void>> = {
    [sdl.SDLK_ESCAPE]: () => this.#closed.abort(),
    [keyOf("q")]: () => this.#closed.abort(),
    [keyOf("f")]: () => this.#toggleFullscreen(),
    [keyOf("s")]: () => this.#snapshot(),
  };
  readonly #rect = sdl.sdlRect.alloc();
  #window: SdlWindow | undefined;
  #figures: Figures | undefined;
  #card: Card | undefined;
  #showing: Showing | undefined;

  /** Starts SDL; no window yet. Throws UnavailableError or UsageError. */
  constructor(tool: string, loop: Loop, options: DisplayOptions) {
    checkSnapshotDir(options.snapshot);
    this.#tool = tool;
    this.#loop = loop;
    this.#options = options;
    this.#video = this.#owned.use(startVideo(process.env));
    this.#owned.use(loop.every(EVENTS_MS, () => this.#takeEvents()));
    this.#owned.use(loop.every(1000, () => this.#everySecond()));
  }

  /** What the window adds to a receiver's options: its latency, the card while it waits, lines of its summary. */
  serving<Stats>(of: { readonly keep: boolean; readonly summary: (stats: Stats) => Summary }) {
    return {
      latency: this.latency,
      listening: (name: string) => {
        if (of.keep) this.wait(["waiting for a sender", "", name]);
      },
      summary: (stats: Stats) => joined(of.summary(stats), this.summary()),
    };
  }

  /** Aborts when `signal` does, when the window is closed and when a key ends the tool. */
  endedBy(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#closed.signal]);
  }

  /** How the tool ended: closing the window is a good end, a signal stops the tool. */
  outcome(end: string): Outcome {
    return end === "stopped" && !this.#closed.signal.aborted ? "stopped" : "done";
  }

  /** Opens the window with a card of that text, which is also shown between two streams. */
  wait(lines: readonly string[]): void {
    const window = this.#open(CARD_SIZE);
    this.#card ??= this.#owned.use(new Card(window));
    this.#card.set(lines);
    this.#redraw();
  }

  /**
   * Shows a stream until the answer is disposed. `maxFrame`, bytes, bounds what a compressed picture may become.
   * Throws ProtocolError or CallError for a stream that cannot be shown, UnavailableError where something is missing.
   */
  show(picture: Picture, maxFrame: number, captureTime: CaptureTime): Showing {
    const loader = loaderFor(picture, maxFrame);
    const window = this.#open(picture);
    this.#video.setYuvConversion(conversionFor(this.#options.colour, picture.height));
    const showing = new Showing(this.#loop, {
      window,
      picture,
      loader: (window.accelerated ? undefined : loader.onCpu?.()) ?? loader,
      smooth: !isSharp(this.#options.scale),
      captureTime,
      counts: this.counts,
      latency: this.latency,
      redraw: () => this.#redraw(),
      ended: () => this.#streamEnded(showing),
    });
    this.#showing = showing;
    this.#setTitle();
    return showing;
  }

  /** Lines and fields for a tool's summary. */
  summary(): Summary {
    const { shown, passed, damaged } = this.counts;
    const p99 = this.presenting.percentileMs(99) ?? 0;
    const unshown = `${passed} passed by a newer one, ${damaged} not showable`;
    const lines = [`shown ${shown} frames, ${unshown}; presenting took p99 ${p99.toFixed(1)} ms`];
    const ms = Math.round(p99 * 1000) / 1000;
    return { lines, fields: { shown, passed, not_showable: damaged, present_p99_ms: ms } };
  }

  /** Whether there is a screen, but no window system. */
  get #bare(): boolean {
    return this.#video.driver.toLowerCase() === "kmsdrm";
  }

  #streamEnded(showing: Showing): void {
    if (this.#showing !== showing) return;
    this.#showing = undefined;
    this.#setTitle();
    this.#redraw();
  }

  /** The window, made for a picture of that size or changed to it. */
  #open(picture: sdl.Size): SdlWindow {
    const there = this.#window;
    if (there !== undefined) {
      if (!there.fullscreen) there.resize(windowSize(picture, this.#video.usable(there.display)));
      return there;
    }
    const { "no-vsync": noVsync } = this.#options;
    const fullscreen = this.#options.fullscreen || this.#bare; // a smaller one would sit in a corner
    const size = windowSize(picture, this.#video.usable(0));
    // Only X11 can be drawn to without OpenGL; and a renderer asked for by name is kept.
    const { driver } = this.#video;
    const emulation = driver !== "x11" || process.env.SDL_RENDER_DRIVER !== undefined;
    // SDL's desktop OpenGL renderer draws no textures on DRM alone; SDL_RENDER_DRIVER wins over this.
    if (this.#bare) sdl.setHint("SDL_RENDER_DRIVER", "opengles2");
    const window = this.#makeWindow(size, { fullscreen, vsync: !noVsync, emulation });
    this.#window = window;
    if (window.fullscreen) this.#video.showCursor(false);
    const on = window.accelerated ? `on ${window.gl || "a GPU"}` : "on the CPU";
    const sync = window.vsync ? `vsync at ${window.refreshRate} Hz` : "no vsync";
    log.info(
      `display: video driver ${this.#video.driver}, ${window.renderer} renderer ${on}, ${sync}`,
    );
    if (this.#options.hud) this.#figures = this.#owned.use(new Figures(window));
    return window;
  }

  #makeWindow(
    size: sdl.Size,
    want: { fullscreen: boolean; vsync: boolean; emulation: boolean },
  ): SdlWindow {
    try {
      return this.#owned.use(new SdlWindow(this.#tool, size, want));
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      const text = `${error.message} (video driver ${this.#video.driver})`;
      throw new UnavailableError(`${text}; choose another SDL_VIDEODRIVER`, { cause: error });
    }
  }

  #takeEvents(): void {
    let redraw = false;
    for (let event = this.#video.poll(); event !== undefined; event = this.#video.poll()) {
      if (event.type === sdl.SDL_QUIT) this.#closed.abort();
      else if (event.type === sdl.SDL_KEYDOWN && event["key.repeat"] === 0)
        this.#keys[event["key.keysym.sym"]]?.();
      else if (event.type === sdl.SDL_WINDOWEVENT) {
        if (event["window.event"] === sdl.SDL_WINDOWEVENT_CLOSE) this.#closed.abort();
        if (redrawAfter.includes(event["window.event"])) redraw = true;
      }
    }
    if (redraw) this.#redraw();
  }

  /** Draws all there is to see. Throws CallError. */
  #redraw(): void {
    const window = this.#window;
    if (window === undefined || !window.visible) return;
    const texture = this.#showing?.texture;
    if (texture !== undefined) {
      const { size } = window;
      place(this.#rect, this.#options.scale, texture, size);
      // On the CPU a clear costs a fifth of a frame; a GPU would rather have it.
      if (window.accelerated || !covers(this.#rect, size)) window.clear(0, 0, 0);
      window.draw(texture, this.#rect);
      this.#figures?.draw(window);
    } else if (this.#card !== undefined) this.#card.draw(window);
    else window.clear(0, 0, 0);
    const startUs = monotonicUs();
    window.present();
    this.presenting.add(monotonicUs() - startUs);
  }

  #everySecond(): void {
    const fps = this.#rate.perSecond(this.counts.shown);
    this.#figures?.set(fps, this.counts, this.latency);
    this.#setTitle(fps);
    if (fps === 0) this.#redraw(); // new figures; and a screen someone else has drawn on is ours again
  }

  #setTitle(fps?: number): void {
    const picture = this.#showing?.picture;
    if (picture === undefined) {
      this.#window?.setTitle(this.#tool);
      return;
    }
    const { width, height, pixelformat } = picture;
    const rate = fps === undefined ? "" : ` ${fps.toFixed(1)} fps`;
    this.#window?.setTitle(`${this.#tool} ${width}x${height} ${fourccName(pixelformat)}${rate}`);
  }

  #snapshot(): void {
    const texture = this.#showing?.texture;
    const { snapshot } = this.#options;
    if (snapshot === undefined) log.warn("key s writes a picture with --snapshot DIR");
    else if (this.#window === undefined || texture === undefined) log.warn("there is no picture");
    else {
      try {
        log.info(`wrote ${writeSnapshot(this.#window, texture, snapshot, this.#tool)}`);
      } catch (error) {
        log.warn(`snapshot: ${(error as Error).message}`); // a full disk does not end the stream
      }
      this.#redraw();
    }
  }

  #toggleFullscreen(): void {
    const window = this.#window;
    if (window === undefined || this.#bare) return;
    window.fullscreen = !window.fullscreen;
    this.#video.showCursor(!window.fullscreen);
  }

  [Symbol.dispose](): void {
    this.#showing?.[Symbol.dispose](); // textures go before their renderer
    this.#owned.dispose();
  }
}

/** Keys are called by their lower-case character. */
function keyOf(character: string): number {
  return character.charCodeAt(0);
}
