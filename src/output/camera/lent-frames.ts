// The frames that a camera shows in the memory of their stream. A driver keeps the newest picture until another one comes; so
// that a sender that pauses or ends has its buffers back, the newest frame is then copied and shown once more.
import { log } from "../../cli/log.ts";
import { type FrameBuffer, READ } from "../../frame/memory.ts";
import type { Loop } from "../../loop.ts";
import type { Lent } from "../../v4l2/output-lending.ts";
import type { CameraNode } from "./camera-node.ts";

/** A frame that is the newest for longer is copied: senders report a frame that is not returned after 200 ms. */
const KEEP_MS = 110;
const CHECK_MS = 25;
/** When so many frames in a row had to be copied, the stream's frames are copied from the start. */
const MOST_RECALLS = 6;
/** After so many frames in a row without a pause they are shown in place again; each further time after ten times as many. */
const QUICK_FRAMES = 30;

export class LentFrames implements Disposable {
  readonly #node: CameraNode;
  readonly #loop: Loop;
  readonly #failed: (error: unknown) => void;
  #timer: Disposable | undefined;
  #newest: FrameBuffer | undefined;
  #bytes = 0;
  /** When the newest frame, or its copy, was shown. */
  #shownMs = 0;
  /** Frames that were copied, one after the other. */
  #recalls = 0;
  /** Frames since the last copy. */
  #since = 0;
  /** Frames in a row that came without a pause while all were copied, and how many of them end that. */
  #quick = 0;
  #quickNeeded = QUICK_FRAMES;

  /** `failed` is called when the node fails while a frame is shown once more. */
  constructor(loop: Loop, node: CameraNode, failed: (error: unknown) => void) {
    this.#loop = loop;
    this.#node = node;
    this.#failed = failed;
  }

  /** Prepares to show frames that are in `buffer`, or answers why that is impossible. */
  admit(index: number, buffer: FrameBuffer): string | undefined {
    if (buffer.changed !== undefined) return "another sender may overwrite its memory";
    const why = this.#node.admit(index, buffer);
    if (why === undefined) this.#timer ??= this.#loop.every(CHECK_MS, () => this.#check());
    return why;
  }

  /** Shows the frame in the first `bytes` of `buffer`, which was admitted. Throws SysError. */
  lend(index: number, buffer: FrameBuffer, bytes: number): Lent {
    if (this.#recalls >= MOST_RECALLS && !this.#isQuickAgain()) return "refused";
    const lent = this.#node.lend(index, bytes);
    if (lent !== "held") return lent;
    this.#newest = buffer;
    this.#bytes = bytes;
    this.#shownMs = performance.now();
    this.#since += 1;
    return lent;
  }

  /** While frames are copied, `#shownMs` is when the last one came. */
  #isQuickAgain(): boolean {
    const nowMs = performance.now();
    this.#quick = nowMs - this.#shownMs < KEEP_MS ? this.#quick + 1 : 0;
    this.#shownMs = nowMs;
    if (this.#quick < this.#quickNeeded) return false;
    this.#quick = 0;
    this.#quickNeeded *= 10;
    this.#recalls = 0;
    return true;
  }

  #check(): void {
    const nowMs = performance.now();
    const due = nowMs - this.#shownMs >= KEEP_MS && this.#node.lentCount > 0;
    if (!due || this.#newest === undefined) return;
    this.#shownMs = nowMs;
    if (this.#since > 0) this.#countRecall();
    try {
      this.#newest.begin(READ);
      this.#node.put(this.#newest.mapping.address, this.#bytes);
      this.#newest.end(READ);
    } catch (error) {
      this.#failed(error);
    }
  }

  #countRecall(): void {
    this.#recalls = this.#since > 1 ? 1 : this.#recalls + 1;
    this.#since = 0;
    if (this.#recalls < MOST_RECALLS) return;
    if (this.#quickNeeded > QUICK_FRAMES) return; // said before
    const why = "fewer than 10 a second come, or the sender has too few buffers";
    log.info(`${this.#node.path}: each frame is copied once: ${why}`);
  }

  /** The stream ends: its buffers are not used any more. */
  dismiss(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#newest = undefined;
    this.#recalls = 0;
    this.#since = 0;
    this.#quick = 0;
    this.#quickNeeded = QUICK_FRAMES;
    this.#node.dismiss();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}
