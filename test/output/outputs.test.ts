// Several outputs of one receiver: a frame goes to all of them, and one that fails does not end the others.
import { expect, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import { addressOf } from "../../ffi/libc.ts";
import { OutputLost, ProtocolError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import { Outputs } from "../../src/output/outputs.ts";
import type { StreamOutput, StreamWriter, WriterCalls } from "../../src/output/stream-output.ts";
import { quiet } from "../support/camera-options.ts";

quiet();

const picture = { width: 4, height: 2, pixelformat: fourcc("YUYV"), sizeimage: 16 };
const bytes = new Uint8Array(new ArrayBuffer(16));
const memory = { bytes, length: 16, address: addressOf(bytes) };

class FakeFile implements StreamOutput {
  frames = 0;
  begins = 0;
  ends = 0;
  disposed = 0;
  /** What the next call of the name throws. */
  readonly fails = new Map<string, Error>();
  /** The next frame needs time. */
  slow = false;
  ready: () => void = () => undefined;
  failed: (error: unknown) => void = () => undefined;
  changed: () => void = () => undefined;
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
  #check(call: string): void {
    const error = this.fails.get(call);
    if (error !== undefined) throw error;
  }
  begin(_picture: unknown, calls: WriterCalls): StreamWriter {
    this.#check("begin");
    this.begins += 1;
    this.ready = () => {
      this.frames += 1;
      calls.ready();
    };
    this.failed = calls.failed;
    this.changed = calls.changed;
    return {
      add: () => undefined,
      write: () => {
        this.#check("write");
        if (this.slow) return false;
        this.frames += 1;
        return true;
      },
      [Symbol.dispose]: () => {
        this.ends += 1;
      },
    };
  }
  [Symbol.dispose](): void {
    this.disposed += 1;
  }
}

function pair() {
  const outputs = new Outputs();
  const [a, b] = [outputs.add(new FakeFile("a")), outputs.add(new FakeFile("b"))];
  const events: string[] = [];
  const begin = () => {
    const writer = outputs.begin(picture, {
      ready: () => events.push("ready"),
      failed: (error) => events.push(`failed ${error}`),
      changed: () => events.push("changed"),
    });
    writer.add(0, memory);
    return writer;
  };
  return { outputs, a, b, events, begin };
}
const facts = { bytesused: 16, flags: 0, sequence: 0, ts_sec: 0, ts_usec: 0 };
const write = (writer: StreamWriter) => writer.write(0, facts);
const full = () => new SysError("write", "a", errno.ENOSPC);

test("a frame goes to every output", () => {
  const { a, b, begin } = pair();
  const writer = begin();
  expect([write(writer), write(writer)]).toEqual([true, true]);
  expect([a.frames, b.frames]).toEqual([2, 2]);
  writer[Symbol.dispose]();
  expect([a.ends, b.ends]).toEqual([1, 1]);
});

test("the frame stays until the slowest output has it", () => {
  const { a, b, events, begin } = pair();
  const writer = begin();
  a.slow = true;
  b.slow = true;
  expect(write(writer)).toBe(false);
  b.ready();
  expect(events).toEqual([]);
  a.ready();
  expect(events).toEqual(["ready"]);
  expect([a.frames, b.frames]).toEqual([1, 1]);
});

test("an output that fails is given up, and the other goes on; its error ends the tool later", () => {
  const { outputs, a, b, begin } = pair();
  const writer = begin();
  a.fails.set("write", full());
  expect([write(writer), write(writer)]).toEqual([true, true]);
  expect([a.frames, a.disposed, b.frames]).toEqual([0, 1, 2]);
  expect(outputs.failure?.message).toContain("write a: ENOSPC");
});

test("an output that fails while a frame waits for it", () => {
  const { outputs, a, b, events, begin } = pair();
  const writer = begin();
  a.slow = true;
  expect(write(writer)).toBe(false);
  a.failed(full());
  expect(events).toEqual(["ready"]);
  expect([b.frames, outputs.failure?.message.slice(0, 7)]).toEqual([1, "write a"]);
});

test("the last output's failure ends the stream", () => {
  const { a, b, events, begin } = pair();
  const writer = begin();
  a.fails.set("write", full());
  b.slow = true;
  expect(write(writer)).toBe(false);
  b.failed(new SysError("write", "b", errno.EIO));
  expect(events[0]).toContain("failed SysError: write b: EIO");
  b.fails.set("write", new SysError("write", "b", errno.EIO));
  expect(() => write(writer)).toThrow("write b: EIO");
});

test("a stream that one output refuses begins in none, and a device that is lost does not refuse it", () => {
  const { a, b, begin } = pair();
  b.fails.set("begin", new ProtocolError("no"));
  expect(begin).toThrow("no");
  expect([a.begins, a.ends]).toEqual([1, 1]);
  b.fails.set("begin", new OutputLost("gone"));
  begin();
  expect([a.begins, b.disposed]).toEqual([2, 1]);
});

test("a defect of ours is not hidden behind the other outputs", () => {
  const { a, begin } = pair();
  const writer = begin();
  a.fails.set("write", new TypeError("defect"));
  expect(() => write(writer)).toThrow("defect");
});

test("a frame that was overwritten in two outputs counts once", () => {
  const { a, b, events, begin } = pair();
  const writer = begin();
  write(writer);
  a.changed();
  b.changed();
  write(writer);
  b.changed();
  expect(events).toEqual(["changed", "changed"]);
});
