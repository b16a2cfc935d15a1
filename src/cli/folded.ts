// Lines that a peer can cause again and again: each is logged once, then with the number of times it came.
import { counted } from "./counted.ts";
import { log } from "./log.ts";

/** A repeated line is logged this often, with its count. */
const AGAIN_MS = 10_000;
/** Different lines that are remembered. The oldest is forgotten. */
const MOST_LINES = 16;

interface Line {
  readonly level: "info" | "warn";
  text: string;
  repeats: number;
  loggedMs: number;
}

export class FoldedLog implements Disposable {
  readonly #lines = new Map<string, Line>();
  readonly #againMs: number;

  constructor(againMs = AGAIN_MS) {
    this.#againMs = againMs;
  }

  /**
   * Logs `text`, unless a line with the same `key` was logged shortly before: then it is counted. The key has no ports,
   * delays or counts in it.
   */
  say(level: "info" | "warn", text: string, key = text): void {
    const nowMs = performance.now();
    const known = this.#lines.get(key);
    if (known === undefined) {
      this.#forgetOldest();
      this.#lines.set(key, { level, text, repeats: 0, loggedMs: nowMs });
      log[level](text);
      return;
    }
    known.text = text;
    known.repeats += 1;
    if (nowMs - known.loggedMs >= this.#againMs) this.#logAgain(known, nowMs);
  }

  /** Logs what was counted and not logged yet, and forgets all lines. */
  flush(): void {
    for (const line of this.#lines.values()) this.#logAgain(line, 0);
    this.#lines.clear();
  }

  #logAgain(line: Line, nowMs: number): void {
    if (line.repeats > 0) log[line.level](`${line.text} (${counted(line.repeats, "time")} more)`);
    line.repeats = 0;
    line.loggedMs = nowMs;
  }

  #forgetOldest(): void {
    const [oldest] = this.#lines;
    if (oldest === undefined || this.#lines.size < MOST_LINES) return;
    this.#logAgain(oldest[1], 0);
    this.#lines.delete(oldest[0]);
  }

  [Symbol.dispose](): void {
    this.flush();
  }
}
