// Several outputs of one receiver: a frame goes to all of them, and one that fails does not end the others.
import { expect, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import { OutputLost, ProtocolError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import type { StreamOutput, StreamWriter, WriterCalls } from "../../src/frame/stream-output.ts";
import { Outputs } from "../../src/output/outputs.ts";
import { quiet } from "../support/camera-options.ts";
import { plainBuffer } from "../support/plain-buffer.ts";

quiet();

const picture = { width: 4, height: 2, pixelformat: fourcc("YUYV"), sizeimage: 16 };
const buffer = plainBuffer(new Uint8Array(new ArrayBuffer(16)));

class FakeFile implements StreamOutput {
  frames = 0;
  begins = 0;
  ends = 0;
  disposed = 0;
  /** What the next call of the name throws. */
  readonly fails = new Map<string, Error>();
  /** The next frame needs time, or is held. */
  slow = false;
  holds = false;
  ready: () => void = () => undefined;
  failed: (error: unknown) => void = () => undefined;
  changed: () => void = () => undefined;
  returned: (index: number) => void = () => undefined;
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
      calls.ready(this.holds ? "held" : "taken");
    };
    this.returned = calls.returned;
    this.failed = calls.failed;
    this.changed = calls.changed;
    return {
      add: () => undefined,
      write: () => {
        this.#check("write");
        if (this.slow) return "waits";
        this.frames += 1;
        return this.holds ? "held" : "taken";
      },
      [Symbol.dispose]: () => {
        this.ends += 1;
      },
    };
  }
  disposing: () => void = () => undefined;
  [Symbol.dispose](): void {
    this.disposed += 1;
    this.disposing();
  }
}

function pair() {
  const outputs = new Outputs();
  const [a, b] = [outputs.add(new FakeFile("a")), outputs.add(new FakeFile("b"))];
  const events: string[] = [];
  const begin = () => {
    const writer = outputs.begin(picture, {
      ready: (taken) => events.push(taken === "held" ? "ready, held" : "ready"),
      failed: (error) => events.push(`failed ${error}`),
      changed: () => events.push("changed"),
      returned: (index) => events.push(`returned ${index}`),
    });
    writer.add(0, buffer);
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
  expect([write(writer), write(writer)]).toEqual(["taken", "taken"]);
  expect([a.frames, b.frames]).toEqual([2, 2]);
  writer[Symbol.dispose]();
  expect([a.ends, b.ends]).toEqual([1, 1]);
});

test("the frame stays until the slowest output has it", () => {
  const { a, b, events, begin } = pair();
  const writer = begin();
  a.slow = true;
  b.slow = true;
  expect(write(writer)).toBe("waits");
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
  expect([write(writer), write(writer)]).toEqual(["taken", "taken"]);
  expect([a.frames, a.disposed, b.frames]).toEqual([0, 1, 2]);
  expect(outputs.failure?.message).toContain("write a: ENOSPC");
});

test("an output that fails while a frame waits for it", () => {
  const { outputs, a, b, events, begin } = pair();
  const writer = begin();
  a.slow = true;
  expect(write(writer)).toBe("waits");
  a.failed(full());
  expect(events).toEqual(["ready"]);
  expect([b.frames, outputs.failure?.message.slice(0, 7)]).toEqual([1, "write a"]);
});

test("the last output's failure ends the stream", () => {
  const { a, b, events, begin } = pair();
  const writer = begin();
  a.fails.set("write", full());
  b.slow = true;
  expect(write(writer)).toBe("waits");
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

test("a stream that fits an output no more ends, and both outputs stay for the next one", () => {
  const { outputs, a, b, events, begin } = pair();
  begin();
  a.failed(new ProtocolError("hello: no"));
  expect(events).toEqual(["failed ProtocolError: hello: no"]);
  expect([outputs.has(a), outputs.has(b), a.disposed]).toEqual([true, true, 0]);
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

test("a frame that several outputs hold comes back when the last of them gives it back", () => {
  const { a, b, events, begin } = pair();
  const writer = begin();
  a.holds = true;
  b.holds = true;
  expect(writer.write(0, facts)).toBe("held");
  b.holds = false;
  expect(writer.write(1, facts)).toBe("held");
  expect(writer.write(2, facts)).toBe("held");
  a.returned(2);
  a.returned(0);
  expect(events).toEqual(["returned 2"]);
  b.returned(0);
  a.returned(1);
  expect(events).toEqual(["returned 2", "returned 0", "returned 1"]);
});

test("a frame that one output holds and another writes slowly: it may come back before, and after", () => {
  const { a, b, events, begin } = pair();
  const writer = begin();
  a.holds = true;
  b.slow = true;
  expect(writer.write(0, facts)).toBe("waits");
  b.ready();
  a.returned(0);
  expect(events.splice(0)).toEqual(["ready, held", "returned 0"]);
  expect(writer.write(1, facts)).toBe("waits");
  a.returned(1);
  b.ready();
  expect(events).toEqual(["ready"]);
});

test("an output that fails gives back what it holds", () => {
  const { outputs, a, events, begin } = pair();
  const writer = begin();
  a.holds = true;
  expect(writer.write(0, facts)).toBe("held");
  a.disposing = () => a.returned(0);
  outputs.fail(a, full());
  expect(events).toEqual(["returned 0"]);
});
