// The window of a tool. It is opened for the first stream, or to wait for one, and stays open between streams. It shows
// frames out of the caller's memory, or gives texture memory to receive them into (showing.ts).
import { monotonicUs } from "../../ffi/clock.ts";
import { CallError } from "../../ffi/library.ts";
import * as sdl from "../../ffi/sdl2.ts";
import { type SdlVideo, SdlWindow } from "../../ffi/sdl2-window.ts";
import { counted } from "../cli/counted.ts";
import type { Figure } from "../cli/figures.ts";
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
import {
  checkSnapshotDir,
  conversionFor,
  type DisplayOptions,
  displayKeys,
  type KeyAction,
} from "./display-options.ts";
import { startVideo } from "./driver.ts";
import { Figures, Rate } from "./figures.ts";
import { loaderFor } from "./loader.ts";
import { covers, isSharp, place, windowSize } from "./placement.ts";
import { Showing, type ShownCounts, shownFigures } from "./showing.ts";
import { writeSnapshot } from "./snapshot.ts";

/** How often keys and the close button are read; a person does not notice the delay. */
const EVENTS_MS = 15;
/** Events after which the window has lost its content or has another size. */
const redrawAfter: readonly number[] = [
  sdl.SDL_WINDOWEVENT_SHOWN,
  sdl.SDL_WINDOWEVENT_EXPOSED,
  sdl.SDL_WINDOWEVENT_SIZE_CHANGED,
  sdl.SDL_WINDOWEVENT_RESTORED,
];

export class Display implements Disposable {
  readonly counts: ShownCounts = { shown: 0, passed: 0, damaged: 0, lost: 0 };
  /** Time from capture to present, if sender and receiver have the same clock. */
  readonly latency = new Histogram();
  /** Time that presenting took. The socket is not read meanwhile. */
  readonly presenting = new Histogram();
  readonly #rate = new Rate();
  readonly #tool: string;
  readonly #loop: Loop;
  readonly #options: DisplayOptions;
  readonly #video: SdlVideo;
  readonly #closed = new AbortController();
  readonly #owned = new DisposableStack();
  readonly #actions: Readonly<Record<KeyAction, () => void>> = {
    end: () => this.#closed.abort(),
    fullscreen: () => this.#toggleFullscreen(),
    snapshot: () => this.#snapshot(),
  };
  readonly #keys: ReadonlyMap<number, () => void> = new Map(
    displayKeys.map(({ key, does }) => [key, this.#actions[does]]),
  );
  readonly #rect = sdl.sdlRect.alloc();
  #window: SdlWindow | undefined;
  #onScreen = false;
  #figures: Figures | undefined;
  #card: Card | undefined;
  #showing: Showing | undefined;

  /** Starts SDL without a window, with the driver that `answeringDriver` found. Throws UnavailableError or UsageError. */
  constructor(tool: string, loop: Loop, options: DisplayOptions, driver?: string) {
    checkSnapshotDir(options.snapshot);
    this.#tool = tool;
    this.#loop = loop;
    this.#options = options;
    this.#video = this.#owned.use(startVideo(process.env, driver));
    this.#owned.use(loop.every(EVENTS_MS, () => this.#takeEvents()));
    this.#owned.use(loop.every(1000, () => this.#everySecond()));
  }

  /** What the window adds to a receiver's options: latency up to present, the card while waiting, its summary. */
  serving<Stats>(of: {
    readonly keep: boolean;
    readonly summary: (stats: Stats) => Summary;
    readonly figures?: readonly Figure[] | undefined;
  }) {
    return {
      figures: [...(of.figures ?? []), ...shownFigures(this.counts)],
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

  /** How the tool ended: "stopped" by a signal, "done" when the window was closed. */
  outcome(end: string): Outcome {
    return end === "stopped" && !this.#closed.signal.aborted ? "stopped" : "done";
  }

  /**
   * Creates the window and leaves it hidden, because that takes longer than a sender waits for its first acknowledgement. On a
   * console the window would take the screen, so it is created with the first stream. Throws UnavailableError.
   */
  prepare(): void {
    if (this.#window === undefined && !this.#bare) this.#create(CARD_SIZE);
  }

  /** Opens the window with a card of these lines. The card is also shown between two streams. */
  wait(lines: readonly string[]): void {
    const window = this.#open(CARD_SIZE);
    this.#card ??= this.#owned.use(new Card(window));
    this.#card.set(lines);
    this.#redraw();
  }

  /**
   * Shows a stream until the returned Showing is disposed. `maxFrame` is the limit in bytes for a decoded picture. Throws
   * ProtocolError or CallError if the stream cannot be shown, UnavailableError if a library is missing.
   */
  show(picture: Picture, maxFrame: number, captureTime: CaptureTime): Showing {
    const loader = loaderFor(picture, maxFrame);
    const window = this.#open(picture);
    this.#video.setYuvConversion(conversionFor(this.#options.colour));
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

  /** Lines and fields for the tool's summary. */
  summary(): Summary {
    const { shown, passed, damaged } = this.counts;
    const p99 = this.presenting.percentileMs(99) ?? 0;
    const unshown = `${passed} passed by a newer one, ${damaged} not showable`;
    const lines = [
      `shown ${counted(shown, "frame")}, ${unshown}; presenting took p99 ${p99.toFixed(1)} ms`,
    ];
    const ms = Math.round(p99 * 1000) / 1000;
    return { lines, fields: { shown, passed, not_showable: damaged, present_p99_ms: ms } };
  }

  /** Whether SDL draws on a console, without a window system. */
  get #bare(): boolean {
    return this.#video.driver.toLowerCase() === "kmsdrm";
  }

  #streamEnded(showing: Showing): void {
    if (this.#showing !== showing) return;
    this.#showing = undefined;
    this.#setTitle();
    this.#redraw();
  }

  /** Shows the window for a picture of this size, or resizes it. */
  #open(picture: sdl.Size): SdlWindow {
    const fullscreen = this.#options.fullscreen || this.#bare; // a smaller window would be in a corner of the screen
    const there = this.#window ?? this.#create(picture);
    if (!there.fullscreen) there.resize(windowSize(picture, this.#video.usable(there.display)));
    if (!this.#onScreen) there.show(fullscreen);
    this.#onScreen = true;
    if (there.fullscreen) this.#video.showCursor(false);
    return there;
  }

  /** Creates the window, hidden. */
  #create(picture: sdl.Size): SdlWindow {
    const { "no-vsync": noVsync } = this.#options;
    const size = windowSize(picture, this.#video.usable(0));
    // Only X11 works without OpenGL. A renderer named by SDL_RENDER_DRIVER is always kept.
    const { driver } = this.#video;
    const emulation = driver !== "x11" || process.env.SDL_RENDER_DRIVER !== undefined;
    // SDL's desktop OpenGL renderer draws no textures on kmsdrm. SDL_RENDER_DRIVER overrides this hint.
    if (this.#bare) sdl.setHint("SDL_RENDER_DRIVER", "opengles2");
    const window = this.#makeWindow(size, { vsync: !noVsync, emulation });
    this.#window = window;
    const on = window.accelerated ? `on ${window.gl || "a GPU"}` : "on the CPU";
    const sync = window.vsync ? `vsync at ${window.refreshRate} Hz` : "no vsync";
    log.info(
      `display: video driver ${this.#video.driver}, ${window.renderer} renderer ${on}, ${sync}`,
    );
    if (this.#options.hud) this.#figures = this.#owned.use(new Figures(window));
    return window;
  }

  #makeWindow(size: sdl.Size, want: { vsync: boolean; emulation: boolean }): SdlWindow {
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
      else if (event.type === sdl.SDL_RENDER_TARGETS_RESET) redraw = true;
      else if (event.type === sdl.SDL_RENDER_DEVICE_RESET) {
        this.#renewTextures();
        redraw = true;
      } else if (event.type === sdl.SDL_KEYDOWN && event["key.repeat"] === 0)
        this.#keys.get(event["key.keysym.sym"])?.();
      else if (event.type === sdl.SDL_WINDOWEVENT) {
        if (event["window.event"] === sdl.SDL_WINDOWEVENT_CLOSE) this.#closed.abort();
        if (redrawAfter.includes(event["window.event"])) redraw = true;
      }
    }
    if (redraw) this.#redraw();
  }

  /** The renderer has lost its device: all textures have to be made again. Throws CallError. */
  #renewTextures(): void {
    log.warn("display: the graphics device was reset; its textures are made again");
    this.#showing?.renewTextures();
    if (this.#window === undefined) return;
    this.#card?.renew(this.#window);
    this.#figures?.renew(this.#window);
  }

  /** Draws the picture or the card, and presents. Throws CallError. */
  #redraw(): void {
    const window = this.#window;
    if (window === undefined || !window.visible) return;
    const texture = this.#showing?.texture;
    if (texture !== undefined) {
      const { size } = window;
      place(this.#rect, this.#options.scale, texture, size);
      // Clearing takes a fifth of a frame on the CPU, so it is skipped there where the picture covers the window. A GPU is
      // faster with it.
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
    if (fps === 0) this.#redraw(); // shows the new figures, and repairs a screen that another program has drawn on
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
    if (snapshot === undefined) log.warn("key s needs the option --snapshot DIR");
    else if (this.#window === undefined || texture === undefined)
      log.warn("there is no picture to save");
    else {
      try {
        log.info(`wrote ${writeSnapshot(this.#window, texture, snapshot, this.#tool)}`);
      } catch (error) {
        log.warn(`snapshot: ${(error as Error).message}`); // for example a full disk; the stream goes on
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
    this.#showing?.[Symbol.dispose](); // textures must be destroyed before their renderer
    this.#owned.dispose();
  }
}
