// What is said about commands that are refused and about streams that fail, and the trace of requests.
import { afterEach, expect, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import { log } from "../../src/cli/log.ts";
import { openNull } from "../../src/video/codec/null.ts";
import { commands } from "../../src/video/commands.ts";
import * as s from "../../src/video/structs.ts";
import { rig, want } from "../support/decoder-rig.ts";
import { withVideo } from "../support/vhost/video-guest.ts";
import { type LocalDriver, localDriver } from "../support/video-driver.ts";

const { level } = log;
const { reporters } = log.options;
afterEach(() => {
  log.level = level;
  log.setReporters(reporters);
});

/** Lines that are logged from now on, with their tags. */
function listen(at: number): string[] {
  const said: string[] = [];
  log.level = at;
  log.setReporters([{ log: ({ tag, args }) => said.push(`${tag}: ${args.join(" ")}`) }]);
  return said;
}
const DEBUG = 4;

test("the stream that is one too many leaves one line with stream, command, code and reason, and a count", () => {
  using driver = localDriver(openNull(), { maxStreams: 64 });
  for (let id = 1; id <= 64; id++) expect(driver.create(id).code).toBe(0x200);
  expect([driver.complaints, driver.refusals]).toEqual([[], 0]);
  expect(driver.create(65).code).toBe(0x301);
  expect(driver.complaints).toEqual([
    "stream 65: STREAM_CREATE was refused with 0x301 ERR_OUT_OF_MEMORY: the guest has 64 streams, as many as --max-streams allows",
  ]);
  expect(driver.refusals).toBe(1);
});

const refusals: readonly [string, (d: LocalDriver) => unknown, string][] = [
  [
    "a stream that is not there",
    (d) => d.destroy(9),
    "stream 9: STREAM_DESTROY was refused with 0x302 ERR_INVALID_STREAM_ID: there is no stream of that number",
  ],
  [
    "a format the decoder lacks",
    (d) => d.create(9, { format: 0x1002 }),
    "stream 9: STREAM_CREATE was refused with 0x304 ERR_INVALID_PARAMETER: the decoder does not have this format",
  ],
  [
    "a number that is taken",
    (d) => d.create(1),
    "stream 1: STREAM_CREATE was refused with 0x302 ERR_INVALID_STREAM_ID: there is a stream of that number",
  ],
  [
    "a resource that is not there",
    (d) => d.queue(1, s.OUTPUT, 77),
    "stream 1: RESOURCE_QUEUE was refused with 0x303 ERR_INVALID_RESOURCE_ID: there is no resource of that number",
  ],
  [
    "memory that is not the guest's",
    (d) => d.resource(1, s.INPUT, 5, [[{ address: 0n, length: 16 }]]),
    "stream 1: RESOURCE_CREATE was refused with 0x304 ERR_INVALID_PARAMETER: a range is not in the guest's memory",
  ],
  [
    "a drain in a drain",
    (d) => [d.simple(1, s.OUTPUT, 1, 64), d.drain(1), d.drain(1)],
    "stream 1: STREAM_DRAIN was refused with 0x300 ERR_INVALID_OPERATION: the stream is being drained",
  ],
  [
    "a control",
    (d) =>
      d.command(0x10b, 1, s.controlCommand, (q) => {
        q.control = 2;
      }),
    "stream 1: GET_CONTROL was refused with 0x305 ERR_UNSUPPORTED_CONTROL: the decoder has no control 2",
  ],
  [
    "an unknown command",
    (d) => d.command(0x1ff, 1, s.cmdHeader),
    "stream 1: a command was refused with 0x300 ERR_INVALID_OPERATION: there is no command 0x1ff",
  ],
  [
    "a request without a header",
    (d) => d.raw(new Uint8Array(5)),
    "a request of 5 bytes was refused: a command has 8 at least",
  ],
];
test.each(refusals)("%s: the refusal is one line and is counted once", (_, act, line) => {
  using driver = localDriver(openNull());
  driver.create(1);
  act(driver);
  expect([driver.complaints, driver.refusals]).toEqual([[line], 1]);
});

test("every command that is refused leaves a line: none is refused in silence", () => {
  for (const row of commands.values()) {
    using driver = localDriver(openNull());
    driver.create(1);
    const bytes = new Uint8Array(row.request.size);
    const header = s.cmdHeader.over(bytes);
    header.type = row.type;
    header.stream_id = 4711;
    const sent = driver.raw(bytes);
    expect(sent.code).toBeGreaterThanOrEqual(0x300);
    expect([driver.complaints.length, driver.refusals]).toEqual([1, 1]);
    expect(driver.complaints[0]).toContain(`stream 4711: ${row.name} was refused with 0x`);
  }
});

test("500 refused STREAM_CREATE are three lines, and 500 in the counter", () => {
  using driver = localDriver(openNull());
  for (let i = 0; i < 500; i++) driver.create(i, { format: 3 });
  expect([driver.complaints.length, driver.refusals]).toEqual([3, 500]);
  expect(driver.complaints.at(-1)).toContain("--log-level debug");
  driver.create(1, { inMem: 9 });
  driver.destroy(7); // another kind still has its lines
  expect(driver.complaints.length).toBe(4);
});

test("a guest that resets itself between refusals gets no new lines by that", () => {
  using driver = localDriver(openNull());
  for (let i = 0; i < 100; i++) {
    driver.create(1, { format: 3 });
    driver.device.reset();
    driver.start();
  }
  expect([driver.complaints.length, driver.refusals]).toEqual([3, 100]);
});

test("a decoder that cannot be opened once more is a refusal with the call that failed", () => {
  const open = () => {
    throw new SysError("open", "/dev/video9", errno.EMFILE);
  };
  using driver = localDriver({ ...openNull(), open });
  expect(driver.create(1).code).toBe(0x301);
  expect(driver.complaints[0]).toMatch(
    /^stream 1: STREAM_CREATE was refused with 0x301 ERR_OUT_OF_MEMORY: open \/dev\/video9: /,
  );
});

test("streams that fail are reported within the limit, with the reason", () => {
  const faults = new Map<string, number>();
  using r = rig({ faults });
  for (let i = 0; i < 50; i++) {
    faults.set("VIDIOC_REQBUFS", 5);
    r.driver.simple(1, s.INPUT, 90, 9216);
    r.driver.queue(1, s.INPUT, 90, [10]);
    faults.clear();
    r.driver.destroy(1);
    r.driver.create(1);
  }
  expect(r.driver.complaints.length).toBe(3);
  expect(r.driver.complaints[0]).toMatch(/^stream 1: VIDIOC_REQBUFS .*; the stream has ended$/);
});

test("the trace has number, command, stream, code and microseconds, also of requests that are held", () => {
  using r = rig();
  const said = listen(DEBUG);
  const sent = want(r, 11);
  expect(sent.held).toBe(true);
  r.driver.clear(1, s.OUTPUT);
  r.driver.destroy(3);
  want(r, 12);
  r.driver.device.reset();
  const trace = said
    .filter((line) => line.startsWith("trace"))
    .map((line) => line.replace(/\d+ us$/, "N us"));
  expect(trace).toEqual([
    "trace: #1 0x0105 RESOURCE_QUEUE stream 1 OUTPUT resource 11: held",
    "trace: #1 0x0105 RESOURCE_QUEUE stream 1 OUTPUT resource 11: 0x0202 ERR 0 bytes after N us",
    "trace: #2 0x0107 QUEUE_CLEAR stream 1 OUTPUT: 0x0200 after N us",
    "trace: #3 0x0102 STREAM_DESTROY stream 3: 0x0302 after N us",
    "trace: #4 0x0105 RESOURCE_QUEUE stream 1 OUTPUT resource 12: held",
    "trace: reset: 1 requests are dropped",
  ]);
});

test("without --log-level debug nothing is traced", () => {
  using r = rig();
  const said = listen(3);
  want(r, 11);
  r.driver.clear(1, s.OUTPUT);
  expect(said).toEqual([]);
});

test("through rings: the connection logs and counts what is refused", () =>
  withVideo({}, async ({ scene, guest }) => {
    const said = listen(3);
    const header = s.cmdHeader.alloc();
    header.type = 0x0102;
    header.stream_id = 5;
    const sent = await guest.send(header.$bytes);
    expect(sent.code).toBe(0x302);
    expect(scene.connection.session.queues.counts.refused).toBe(1);
    expect(said.filter((line) => line.includes("STREAM_DESTROY was refused")).length).toBe(1);
  }));
