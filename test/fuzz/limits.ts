// Fuzzing of what a guest can make the process spend: ranges of memory and log lines.
import { openNull } from "../../src/video/codec/null.ts";
import { commands } from "../../src/video/commands.ts";
import { MAX_ENTRIES } from "../../src/video/resource.ts";
import { MAX_RANGES } from "../../src/virtio/guest-ranges.ts";
import type { Random } from "../support/random.ts";
import { type LocalDriver, localDriver, manyRanges } from "../support/video-driver.ts";
import { defineTarget } from "./target.ts";

const MEMORY = 256 * 1024;
const rows = [...commands.values()];

type Demand =
  | {
      readonly op: "ranges";
      readonly stream: number;
      readonly id: number;
      readonly count: number;
      readonly step: number;
    }
  | {
      readonly op: "refused";
      readonly type: number;
      readonly stream: number;
      readonly times: number;
    }
  | { readonly op: "create" | "destroy"; readonly stream: number }
  | { readonly op: "reset" };

const STREAMS = 4;
/** Lines that a guest may cause with the commands below: three for each pair of a command and a code. */
const MOST_LINES = 3 * (commands.size + 1) * 6;
/** Bytes that the process may grow by while cases run. */
const MOST_GROWTH = 96 * 1024 * 1024;

function demand(random: Random): Demand {
  const stream = 1 + random.below(STREAMS);
  const kind = random.below(12);
  if (kind < 6) {
    const count = random.chance(40) ? MAX_ENTRIES : 1 + random.below(3000);
    return { op: "ranges", stream, id: random.below(70), count, step: random.pick([1, 2, 3]) };
  }
  if (kind < 9) {
    const type = random.chance(4) ? random.bits() : (rows[random.below(rows.length)]?.type ?? 0);
    return { op: "refused", type, stream: random.chance(2) ? stream : 99, times: random.below(30) };
  }
  return kind < 11 ? { op: random.pick(["create", "create", "destroy"]), stream } : { op: "reset" };
}

/** What a guest can make the process spend: ranges stay within their limit, lines within theirs, and memory is flat. */
export const videoLimits = defineTarget<Demand>({
  name: "limits",
  title: "demands for memory and log lines",
  script: (random) => [
    { op: "create", stream: 1 },
    ...Array.from({ length: 3 + random.below(12) }, () => demand(random)),
  ],
  open() {
    const driver = localDriver(openNull(), { memoryBytes: MEMORY, eventBuffers: 0 });
    driver.keepAnswers = false;
    let cases = 0;
    let settled = 0;
    return {
      attempt(script) {
        spend(driver, script);
        if (driver.complaints.length > MOST_LINES) throw new Error("lines without end");
        cases += 1;
        if (cases % 500 !== 0) return;
        Bun.gc(true);
        const now = process.memoryUsage.rss();
        if (settled === 0) settled = now;
        else if (now - settled > MOST_GROWTH)
          throw new Error(`memory grew by ${Math.round((now - settled) / 1e6)} MB`);
      },
      [Symbol.dispose]: () => driver[Symbol.dispose](),
    };
  },
});

function spend(driver: LocalDriver, script: readonly Demand[]): void {
  driver.device.reset();
  driver.start();
  /** Ranges of each stream's resources. */
  let held = new Map<number, Map<number, number>>();
  for (const one of script) {
    switch (one.op) {
      case "create":
        if (driver.create(one.stream).code === 0x200) held.set(one.stream, new Map());
        break;
      case "destroy":
        driver.destroy(one.stream);
        held.delete(one.stream);
        break;
      case "reset":
        driver.device.reset();
        driver.start();
        held = new Map();
        break;
      case "refused": {
        const refusals = driver.refusals;
        for (let i = 0; i < one.times; i++) {
          const q = new Uint8Array(new ArrayBuffer(8));
          const view = new DataView(q.buffer);
          view.setUint32(0, one.type === 0x102 || one.type === 0x103 ? 0x1ff : one.type, true);
          view.setUint32(4, one.stream, true);
          driver.raw(q);
        }
        if (driver.refusals !== refusals + one.times) throw new Error("a refusal was not counted");
        break;
      }
      case "ranges": {
        const bytes = manyRanges(one.count, one.step, 1);
        new DataView(bytes.buffer).setUint32(4, one.stream, true);
        new DataView(bytes.buffer).setUint32(12, one.id, true);
        if (driver.raw(bytes).code !== 0x200) break;
        held.get(one.stream)?.set(one.id, one.step === 1 ? 1 : one.count);
        const sum = [...held.values()].flatMap((of) => [...of.values()]).reduce((a, b) => a + b, 0);
        if (sum > MAX_RANGES) throw new Error(`${sum} ranges`);
        break;
      }
    }
  }
}
