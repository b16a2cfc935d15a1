// Several outputs of one receiver: a frame goes to all of them, and one that fails does not end the others.
import { expect, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import { addressOf } from "../../ffi/libc.ts";
import { OutputLost, ProtocolError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import type { FrameOutput, FrameWriter } from "../../src/output/frame-output.ts";
import { Outputs } from "../../src/output/outputs.ts";
import { quiet } from "../support/camera-options.ts";

quiet();

const picture = { width: 4, height: 2, pixelformat: fourcc("YUYV"), sizeimage: 16 };
const bytes = new Uint8Array(new ArrayBuffer(16));
const memory = { bytes, length: 16, address: addressOf(bytes) };

class FakeFile implements FrameOutput {
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
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
  #check(call: string): void {
    const error = this.fails.get(call);
    if (error !== undefined) throw error;
  }
  begin(): void {
    this.#check("begin");
    this.begins += 1;
  }
  writerFor(): FrameWriter {
    return (_bytes, ready, failed) => {
      this.#check("write");
      this.ready = () => {
        this.frames += 1;
        ready();
      };
      this.failed = failed;
      if (this.slow) return false;
      this.frames += 1;
      return true;
    };
  }
  end(): void {
    this.ends += 1;
  }
  [Symbol.dispose](): void {
    this.disposed += 1;
  }
}

function pair() {
  const outputs = new Outputs();
  const [a, b] = [outputs.add(new FakeFile("a")), outputs.add(new FakeFile("b"))];
  const events: string[] = [];
  const write = (writer: FrameWriter) =>
    writer(
      16,
      () => events.push("ready"),
      (error) => events.push(`failed ${error}`),
    );
  return { outputs, a, b, events, write };
}
const full = () => new SysError("write", "a", errno.ENOSPC);

test("a frame goes to every output", () => {
  const { outputs, a, b, write } = pair();
  outputs.begin(picture);
  const writer = outputs.writerFor(memory);
  expect([write(writer), write(writer)]).toEqual([true, true]);
  expect([a.frames, b.frames, outputs.frames]).toEqual([2, 2, 2]);
  outputs.end();
  expect([a.ends, b.ends]).toEqual([1, 1]);
});

test("the frame stays until the slowest output has it", () => {
  const { outputs, a, b, events, write } = pair();
  outputs.begin(picture);
  const writer = outputs.writerFor(memory);
  a.slow = true;
  b.slow = true;
  expect(write(writer)).toBe(false);
  b.ready();
  expect(events).toEqual([]);
  a.ready();
  expect(events).toEqual(["ready"]);
  expect([a.frames, b.frames, outputs.frames]).toEqual([1, 1, 1]);
});

test("an output that fails is given up, and the other goes on; its error ends the tool later", () => {
  const { outputs, a, b, write } = pair();
  outputs.begin(picture);
  const writer = outputs.writerFor(memory);
  a.fails.set("write", full());
  expect([write(writer), write(writer)]).toEqual([true, true]);
  expect([a.frames, a.disposed, b.frames]).toEqual([0, 1, 2]);
  expect(outputs.failure?.message).toContain("write a: ENOSPC");
});

test("an output that fails while a frame waits for it", () => {
  const { outputs, a, b, events, write } = pair();
  outputs.begin(picture);
  const writer = outputs.writerFor(memory);
  a.slow = true;
  expect(write(writer)).toBe(false);
  a.failed(full());
  expect(events).toEqual(["ready"]);
  expect([b.frames, outputs.failure?.message.slice(0, 7)]).toEqual([1, "write a"]);
});

test("the last output's failure ends the stream", () => {
  const { outputs, a, b, events, write } = pair();
  outputs.begin(picture);
  const writer = outputs.writerFor(memory);
  a.fails.set("write", full());
  b.slow = true;
  expect(write(writer)).toBe(false);
  b.failed(new SysError("write", "b", errno.EIO));
  expect(events[0]).toContain("failed SysError: write b: EIO");
  b.fails.set("write", new SysError("write", "b", errno.EIO));
  expect(() => write(writer)).toThrow("write b: EIO");
});

test("a stream that one output refuses begins in none, and a device that is lost does not refuse it", () => {
  const { outputs, a, b } = pair();
  b.fails.set("begin", new ProtocolError("no"));
  expect(() => outputs.begin(picture)).toThrow("no");
  expect([a.begins, a.ends]).toEqual([1, 1]);
  b.fails.set("begin", new OutputLost("gone"));
  outputs.begin(picture);
  expect([a.begins, b.disposed]).toEqual([2, 1]);
});

test("a defect of ours is not hidden behind the other outputs", () => {
  const { outputs, a, write } = pair();
  outputs.begin(picture);
  const writer = outputs.writerFor(memory);
  a.fails.set("write", new TypeError("defect"));
  expect(() => write(writer)).toThrow("defect");
});
