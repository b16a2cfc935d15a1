// What an earlier daemon of this kind got wrong, one test for each of its 31 known defects, through the whole back-end:
// socket, rings, device, codec. The numbers are those of the table in docs/vhost-user.md.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as s from "../../src/video/structs.ts";
import { fwhtFrame } from "../support/fwht.ts";
import { FrontEnd, payload } from "../support/vhost/front-end.ts";
import { MIB } from "../support/vhost/guest-ram.ts";
import { monitor, monitors } from "../support/vhost/monitors.ts";
import { turns } from "../support/vhost/scene.ts";
import { type Sent, type VideoScene, withVideo } from "../support/vhost/video-guest.ts";

const W = 64;
const H = 48;
const PICTURE = (W * H * 3) / 2;
const BIG = 2n ** 60n + 7n;

function frame(value: number, width = W, height = H): Uint8Array<ArrayBuffer> {
  const bytes = fwhtFrame(width, height, 50);
  bytes.fill(value, 44);
  return bytes;
}

/** Stream 1 with bitstream resources 1 and 2 and picture resources 11 to 14, and where those are. */
async function stream({ scene, guest }: VideoScene, pieces = 1) {
  const { ram } = scene;
  await guest.create(1);
  await guest.setParams(1, s.INPUT, { format: 0x1006, frame_width: W, frame_height: H });
  const at = new Map<number, number[]>();
  for (const id of [1, 2]) at.set(id, await guest.resource(1, s.INPUT, id, 9216, pieces));
  for (const id of [11, 12, 13, 14])
    at.set(id, await guest.resource(1, s.OUTPUT, id, 8192, pieces));
  /** Puts bytes into a resource, over all its pieces. */
  const fill = (id: number, bytes: Uint8Array) => {
    const places = at.get(id) ?? [];
    const each = (id < 10 ? 9216 : 8192) / pieces;
    for (let done = 0; done < bytes.length; done += each) {
      const part = bytes.subarray(done, done + each);
      ram.bytes(places[done / each] ?? 0, part.length).set(part);
    }
  };
  const shown = (id: number) => ram.bytes(at.get(id)?.[0] ?? 0, 1)[0];
  const feed = (id: number, bytes: Uint8Array, time = 0n, size = bytes.length) => {
    fill(id, bytes);
    return guest.queue(1, s.INPUT, id, [size], time);
  };
  const want = (id: number) => guest.queue(1, s.OUTPUT, id);
  /** Bitstream until the pictures' size is known, and the driver has read it. */
  const begin = async (bytes = frame(1), time = 1n) => {
    const sent = await feed(1, bytes, time);
    await guest.params(1, s.INPUT);
    await guest.params(1, s.OUTPUT);
    return sent;
  };
  return { at, feed, want, begin, shown };
}

/** The device is there and answers. */
async function serves({ guest }: VideoScene): Promise<void> {
  expect((await guest.capability(s.INPUT)).code).toBe(0x201);
}

test("defect 1: error codes are 0x300 and up, not among those that mean success", () =>
  withVideo({}, async (v) => {
    const { guest } = v;
    const errors = [
      await guest.send(guest.make(0x150, 1, s.cmdHeader)),
      await guest.drain(1),
      await guest.capability(7),
      await guest.create(1, 0, 0x2222),
    ];
    expect(errors.map(({ code }) => code)).toEqual([0x300, 0x302, 0x304, 0x304]);
    await guest.create(1);
    const unknown = await guest.queue(1, s.INPUT, 99);
    const control = await guest.send(guest.make(0x10b, 1, s.controlCommand));
    expect([unknown.code, control.code]).toEqual([0x303, 0x305]);
  }));

test("defect 2: a picture carries the time of its bitstream, all 64 bits of it", () =>
  withVideo({ fake: {} }, async (v) => {
    const { begin, want, feed } = await stream(v);
    await begin(frame(1), BIG);
    const pictures = [await want(11), await want(12)];
    await feed(2, frame(2), BIG + 1n);
    expect(pictures.map(({ time }) => time)).toEqual([BIG, BIG + 1n]);
  }));

test("defect 3: the decoder gets the bytes that are valid, not what lies behind them", () =>
  withVideo({ fake: {} }, async (v) => {
    const { begin, want, feed } = await stream(v);
    const two = Buffer.concat([frame(1), frame(2)]);
    await begin(two.subarray(0, 94));
    await feed(2, two, 2n, 94); // the second frame is garbage of an earlier use
    const pictures = [await want(11), await want(12), await want(13)];
    expect(pictures.map(({ held }) => held)).toEqual([false, false, true]);
  }));

test("defect 4: of a burst in one kick every command is seen, also those behind one that is held", () =>
  withVideo({}, async (v) => {
    const { guest } = v;
    await stream(v);
    const sent: Sent[] = [];
    for (const id of [11, 12, 13, 14]) {
      sent.push(guest.offer(guest.queueBytes(1, s.OUTPUT, id)));
      sent.push(guest.offer(guest.make(0x10d, 1, s.queueCommand, (q) => (q.queue_type = s.INPUT))));
    }
    await guest.settle();
    expect(sent.map(({ held }) => held)).toEqual([1, 0, 1, 0, 1, 0, 1, 0].map(Boolean));
  }));

test("defect 5: pictures have the format that was asked for", () =>
  withVideo({ fake: {} }, async (v) => {
    const { begin } = await stream(v);
    const set = await v.guest.setParams(1, s.OUTPUT, {
      format: 3,
      frame_width: W,
      frame_height: H,
    });
    expect(set.code).toBe(0x200);
    await begin();
    const { format, num_planes } = await v.guest.params(1, s.OUTPUT);
    expect([format, num_planes]).toEqual([3, 1]); // NV12, not the decoder's favourite
  }));

test("defect 6: a stream made for virtio objects works after the driver has chosen guest pages", () =>
  withVideo({}, async (v) => {
    const { guest } = v;
    expect((await guest.create(1, 1)).code).toBe(0x200);
    for (const queue of [s.INPUT, s.OUTPUT]) {
      expect((await guest.params(1, queue)).resource_type).toBe(1);
      await guest.setParams(1, queue, { resource_type: 0 });
      await guest.resource(1, queue, queue, 4096);
    }
    expect((await guest.queue(1, s.INPUT, s.INPUT, [100])).code).toBe(0x202);
  }));

test("defect 7: the whole range of guest memory is checked, not only its first byte", () =>
  withVideo({ fake: { userPointers: true } }, async (v) => {
    const { guest, fake } = v;
    await guest.create(1);
    const end = 8 * MIB;
    const bad = [
      [{ at: end - 4096, length: 4097 }],
      [{ at: 4096, length: 0xffff_f000 }],
      [{ at: 2n ** 64n - 4096n, length: 8192 }],
      [
        { at: 4096, length: 16 },
        { at: end, length: 1 },
      ],
    ];
    for (const entries of bad) {
      const sent = await guest.send(guest.resourceBytes(1, s.OUTPUT, 1, entries));
      expect(sent.code).toBe(0x304);
    }
    const offset = guest.resourceBytes(1, s.OUTPUT, 1, [{ at: 0, length: 4096 }], (q) =>
      q.plane_offsets.set(0, 4096),
    );
    expect((await guest.send(offset)).code).toBe(0x304);
    await guest.resource(1, s.INPUT, 2, 4096);
    const more = await guest.queue(1, s.INPUT, 2, [4097]);
    expect([more.code, more.flags]).toEqual([0x304, 1]);
    expect(fake?.calls.get("VIDIOC_QBUF")).toBeUndefined(); // no pointer reached the kernel
  }));

test("defect 8: no guest input ends the process: counts, layouts, chains, too many streams", () =>
  withVideo({ maxStreams: 3 }, async (v) => {
    const { guest, scene } = v;
    await guest.create(1);
    const one = [{ at: 0x10000, length: 4096 }];
    const planes = (count: number) => (q: { num_planes: number }) => {
      q.num_planes = count;
    };
    for (const count of [0, 9, 0xffff_ffff]) {
      const sent = await guest.send(guest.resourceBytes(1, s.INPUT, 1, one, planes(count)));
      expect(sent.code).toBe(0x304);
    }
    await guest.resource(1, s.INPUT, 1, 4096);
    expect((await guest.queue(1, s.INPUT, 1, new Array(9).fill(1))).code).toBe(0x304);
    const outside = [{ at: 1 << 30, length: 16 }];
    expect((await guest.send(guest.resourceBytes(1, s.INPUT, 2, outside))).code).toBe(0x304);
    const short = guest.resourceBytes(1, s.INPUT, 2, one).slice(0, 88); // no entries at all
    expect((await guest.send(short)).code).toBe(0x304);
    const perPlane = guest.resourceBytes(1, s.INPUT, 2, one, (q) => {
      q.planes_layout = 2;
    });
    expect((await guest.send(perPlane)).code).toBe(0x200);
    const codes: number[] = [];
    for (let id = 2; id < 8; id++) codes.push((await guest.create(id)).code);
    expect(codes).toEqual([0x200, 0x200, 0x301, 0x301, 0x301, 0x301]);
    await serves(v);
    expect(await scene.frontEnd.word("GET_FEATURES")).toBe(0x1_7000_0003n);
  }));

test("defect 8b: a decoder that fails in the middle costs its stream, and the next one works", async () => {
  const faults = new Map<string, number>();
  await withVideo({ fake: { faults } }, async (v) => {
    const { begin, want, feed } = await stream(v);
    await begin();
    faults.set("VIDIOC_DQBUF", errno.EIO);
    const held = await want(11);
    await feed(2, frame(2), 2n);
    expect(held.flags).toBe(s.BUFFER_ERR);
    faults.clear();
    expect((await v.guest.destroy(1)).code).toBe(0x200);
    const again = await stream(v);
    await again.begin();
    expect((await again.want(11)).size).toBe(PICTURE);
  });
});

test("defect 9: number, size and kind of descriptors do not matter, and a bad chain stops nothing", () =>
  withVideo({}, async (v) => {
    const { guest, scene } = v;
    const { ram } = scene;
    const request = guest.make(0x100, 0, s.queryCapability, (q) => (q.queue_type = s.INPUT));
    for (const cuts of [[16], [1, 15], [4, 4, 4, 4], [0, 16, 0], [2, 2, 2, 2, 2, 2, 2, 2]]) {
      for (const indirect of [false, true]) {
        let done = 0;
        const parts = cuts.map((length) => {
          const at = ram.place(request.slice(done, done + length));
          done += length;
          return { at, length, writable: false };
        });
        const answer = { at: ram.allocate(4096), length: 4096, writable: true };
        const sent = guest.offer(request, 4096, { parts: [...parts, answer], indirect });
        await guest.settle();
        expect([sent.code, sent.length]).toEqual([0x201, 80]);
      }
    }
    const only = { at: ram.place(request), length: 16 };
    const readable = guest.offer(request, 0, { parts: [{ ...only, writable: false }] });
    const writable = guest.offer(request, 0, { parts: [{ ...only, writable: true }] });
    const bad = guest.resourceBytes(9, s.INPUT, 1, [{ at: 0, length: 1 }]);
    const three = guest.offer(bad, 64, {
      parts: [
        { at: ram.place(bad.slice(0, 88)), length: 88, writable: false },
        { at: ram.place(bad.slice(88)), length: 16, writable: false },
        { at: ram.allocate(64), length: 64, writable: true },
      ],
    });
    await guest.settle();
    expect([readable.length, writable.length]).toEqual([0, 0]);
    expect(three.code).toBe(0x302); // no such stream
    await serves(v);
  }));

test("defect 10: an answer is cut to its room, its length is what was written, neighbours stay", () =>
  withVideo({}, async ({ guest, scene }) => {
    const request = guest.make(0x100, 0, s.queryCapability, (q) => (q.queue_type = s.INPUT));
    for (const room of [0, 1, 8, 79, 80, 81, 4096]) {
      const sent = guest.offer(request, room);
      const behind = scene.ram.bytes(scene.ram.allocate(16), 16);
      behind.fill(0x5a);
      await guest.settle();
      expect(sent.length).toBe(Math.min(room, 80));
      expect(behind.every((byte) => byte === 0x5a)).toBe(true);
    }
  }));

test("defect 11: events take one buffer each, wait while there is none, and none is lost", () =>
  withVideo({}, async (v) => {
    const { guest, scene } = v;
    for (const id of [1, 2, 3]) {
      await guest.create(id);
      const [at = 0] = await guest.resource(id, s.INPUT, 1, 4096);
      scene.ram.bytes(at, 94).set(frame(1));
      await guest.queue(id, s.INPUT, 1, [94]);
    }
    expect(guest.events).toEqual([]);
    await guest.post(1);
    expect(guest.events).toEqual([[s.EVENT_RESOLUTION_CHANGED, 1]]);
    await guest.post(4);
    expect(guest.events.map(([, of]) => of)).toEqual([1, 2, 3]);
    expect(scene.events.usedIndex).toBe(3); // two are still posted
    await serves(v);
  }));

test("defect 12: after QUEUE_CLEAR and RESOURCE_DESTROY_ALL a queue streams again", () =>
  withVideo({ fake: {} }, async (v) => {
    const { guest } = v;
    const { begin, want, feed } = await stream(v);
    await begin();
    expect((await want(11)).time).toBe(1n);
    for (const time of [5n, 6n]) {
      await guest.clear(1, s.INPUT);
      await guest.clear(1, s.OUTPUT);
      await feed(2, frame(5), time);
      expect((await want(12)).time).toBe(time);
    }
    await guest.clear(1, s.OUTPUT);
    await guest.destroyAll(1, s.OUTPUT);
    await guest.resource(1, s.OUTPUT, 31, 8192);
    await feed(2, frame(6), 7n);
    expect((await want(31)).time).toBe(7n);
  }));

test("defect 13: a drain is answered when all is out, a second one is refused, and it can be repeated", () =>
  withVideo({ fake: {} }, async (v) => {
    const { guest } = v;
    const { begin, want, feed } = await stream(v);
    await begin(Buffer.concat([frame(1), frame(2)]));
    for (const round of [1, 2, 3]) {
      if (round > 1) await feed(1, Buffer.concat([frame(1), frame(2)]), 1n);
      const drain = await guest.drain(1);
      expect(drain.held).toBe(true);
      expect((await guest.drain(1)).code).toBe(0x300);
      const out = [await want(11), await want(12), await want(13)];
      expect(out.map(({ flags, size }) => [flags, size])).toEqual([
        [0, PICTURE],
        [0, PICTURE],
        [s.BUFFER_EOS, 0],
      ]);
      expect([drain.code, guest.answered.at(-1)]).toEqual([0x200, drain]);
    }
  }));

test("defect 14: EOS is a buffer of its own, and a change of size keeps the last picture", () =>
  withVideo({ fake: {} }, async (v) => {
    const { guest } = v;
    await guest.post(8);
    const { begin, want, feed, shown } = await stream(v);
    await begin(Buffer.concat([frame(1), frame(2)]));
    await feed(2, frame(3, 96, 64), 2n);
    const old = [await want(11), await want(12)];
    expect(old.map(({ flags, size }) => [flags, size])).toEqual([
      [0, PICTURE],
      [0, PICTURE],
    ]);
    expect([shown(11), shown(12)]).toEqual([1, 2]);
    expect(guest.events.filter(([type]) => type === s.EVENT_RESOLUTION_CHANGED).length).toBe(2);
  }));

test("defect 15: QUEUE_CLEAR is answered when every buffer of the queue is back", () =>
  withVideo({ fake: {} }, async (v) => {
    const { guest } = v;
    const { begin, want } = await stream(v);
    await begin();
    await want(11);
    const held = [await want(12), await want(13), await want(14)];
    const from = guest.answered.length;
    const clear = await guest.clear(1, s.OUTPUT);
    expect(guest.answered.slice(from)).toEqual([...held, clear]);
    expect(held.map(({ flags, size }) => [flags, size])).toEqual(held.map(() => [1, 0]));
  }));

test("defect 16: a command that is done at once is answered like one that is done later", () =>
  withVideo({}, async (v) => {
    const { guest } = v;
    const { begin, feed, want } = await stream(v);
    await begin();
    expect((await want(11)).held).toBe(false);
    for (let i = 0; i < 100; i++) {
      const picture = i % 2 === 0 ? guest.offer(guest.queueBytes(1, s.OUTPUT, 11)) : undefined;
      const bitstream = await feed(2, frame(1), BigInt(i));
      const second = picture ?? (await want(11));
      expect([bitstream.code, second.code, second.time]).toEqual([0x202, 0x202, BigInt(i)]);
    }
  }));

test("defect 17: an idle stream is not polled again and again", () =>
  withVideo({ fake: {} }, async (v) => {
    const { begin, want } = await stream(v);
    await begin();
    await want(11); // all is decoded, nothing is queued: poll() reports POLLERR now
    await v.guest.drain(1);
    await want(12); // after LAST every DQBUF fails with EPIPE
    const before = v.fake?.calls.get("VIDIOC_DQBUF") ?? 0;
    for (let i = 0; i < 10; i++) v.fake?.settle(); // throws when that does not end
    expect((v.fake?.calls.get("VIDIOC_DQBUF") ?? 0) - before).toBeLessThan(3);
  }));

test.each([
  { api: "single-planar", multiplanar: false },
  { api: "multi-planar", multiplanar: true },
])("defect 18: $api decoders and memory in many pieces", ({ multiplanar }) =>
  withVideo({ fake: { multiplanar } }, async (v) => {
    const { begin, want, shown } = await stream(v, 16);
    await begin(frame(7));
    const picture = await want(11);
    expect([picture.size, picture.flags, shown(11)]).toEqual([PICTURE, 0, 7]);
  }),
);

test("defect 19: capability masks fit the other list, every format has a frame, unknown ones are left out", () =>
  withVideo({ fake: { raw: ["YU12", "XXXX", "NV12", "ABGR"] } }, async ({ guest }) => {
    const words = async (queue: number) => {
      const { bytes } = await guest.capability(queue);
      expect(bytes.length).toBeLessThanOrEqual(4096);
      return new Uint32Array(bytes.buffer);
    };
    const [, , inputs, , mask, , format, , , frames] = await words(s.INPUT);
    const output = await words(s.OUTPUT);
    expect([inputs, format, frames]).toEqual([1, 0x1006, 1]);
    expect(mask).toBe(2 ** (output[2] ?? 0) - 1);
    expect(output[2]).toBeGreaterThanOrEqual(2);
    for (let i = 0; i < (output[2] ?? 0); i++) {
      const at = 4 + 16 * i;
      const [low, , , , , count, min, max, step] = output.subarray(at, at + 9);
      expect([low, count, step]).toEqual([1, 1, 1]);
      expect(max).toBeGreaterThanOrEqual(min ?? 1);
      expect(min).toBeGreaterThan(0);
    }
  }));

test("defect 20: controls are answered, in both dialects parameters too, and the stream's id comes back", () =>
  withVideo({}, async ({ guest }) => {
    await guest.create(5);
    const rows = [
      { type: 0x10a, kind: s.queryControlFormat, code: 0x305 },
      { type: 0x10b, kind: s.controlCommand, code: 0x305 },
      { type: 0x10c, kind: s.setControl, code: 0x305 },
    ];
    for (const { type, kind, code } of rows) {
      const sent = await guest.send(guest.make(type, 5, kind, (q) => (q.control = 2)));
      expect([sent.code, sent.stream]).toEqual([code, 5]);
    }
    for (const ext of [true, false]) {
      expect((await guest.setParams(5, s.INPUT, { frame_width: 320 }, ext)).code).toBe(0x200);
      expect((await guest.params(5, s.INPUT, ext)).frame_width).toBe(320);
    }
  }));

test("defect 21: parameters are complete: buffers enough for EOS, a crop for both queues, the memory type", () =>
  withVideo({ fake: {} }, async (v) => {
    const { begin } = await stream(v);
    await begin();
    const output = await v.guest.params(1, s.OUTPUT);
    const input = await v.guest.params(1, s.INPUT);
    expect(output.min_buffers).toBe(3); // the decoder's two and one for EOS
    expect(output.max_buffers).toBeGreaterThanOrEqual(output.min_buffers);
    expect(input["crop.width"]).toBeGreaterThan(0);
    expect([input.resource_type, output.resource_type]).toEqual([0, 0]);
    expect(input["plane_formats[0].plane_size"]).toBeGreaterThan(0);
  }));

test("defect 22: a stream's id is used once, unknown ones are refused, and held commands are answered first", () =>
  withVideo({}, async (v) => {
    const { guest } = v;
    const { want } = await stream(v);
    expect((await guest.create(1)).code).toBe(0x302);
    expect((await guest.destroy(2)).code).toBe(0x302);
    const first = await want(11);
    expect((await guest.destroyAll(1, s.OUTPUT)).code).toBe(0x200);
    expect([first.code, first.flags]).toEqual([0x202, s.BUFFER_ERR]);
    await guest.resource(1, s.OUTPUT, 21, 8192);
    const second = await want(21);
    const from = guest.answered.length;
    const destroy = await guest.destroy(1);
    expect(guest.answered.slice(from)).toEqual([second, destroy]);
    expect((await guest.create(1)).code).toBe(0x200);
  }));

test("defect 22, in the middle of a drain: it is cancelled, and answered before the stream's end", () =>
  withVideo({ fake: {} }, async (v) => {
    const { guest } = v;
    const { begin, want } = await stream(v);
    await begin(Buffer.concat([frame(1), frame(2), frame(3)]));
    await want(11);
    const drain = await guest.drain(1);
    expect(drain.held).toBe(true);
    const destroy = await guest.destroy(1);
    expect([drain.code, destroy.code]).toEqual([0x300, 0x200]);
    expect(guest.answered.slice(-2)).toEqual([drain, destroy]);
  }));

test("defect 23: resources made later are used, and the stream has the coded format it was made with", () =>
  withVideo({ fake: { coded: "FWHT" } }, async (v) => {
    const { guest } = v;
    const { begin, want, feed } = await stream(v);
    expect((await guest.params(1, s.INPUT)).format).toBe(0x1006);
    await begin();
    await want(11);
    for (const id of [41, 42, 43]) {
      await guest.resource(1, s.OUTPUT, id, 8192);
      await feed(2, frame(id), BigInt(id));
      expect((await want(id)).time).toBe(BigInt(id));
    }
  }));

test("defect 24: no event to fetch is no error of the stream", async () => {
  const faults = new Map<string, number>();
  await withVideo({ fake: { faults } }, async (v) => {
    await v.guest.post(8);
    const { begin, want, feed } = await stream(v);
    await begin();
    faults.set("VIDIOC_DQEVENT", errno.ENOENT);
    await want(11);
    await feed(2, frame(2), 2n);
    expect((await want(12)).time).toBe(2n);
    expect(v.guest.events).toEqual([[s.EVENT_RESOLUTION_CHANGED, 1]]);
  });
});

test("defect 25: the visible part of a picture is that of the decoder", () =>
  withVideo({ fake: {} }, async (v) => {
    const { begin } = await stream(v);
    await begin();
    const output = await v.guest.params(1, s.OUTPUT);
    expect([output.frame_width, output["crop.width"], output["crop.left"]]).toEqual([W, W - 2, 0]);
    expect(v.scene.device.deviceId).toBe(31);
  }));

test("defect 26: once the rings stop nothing is written: not for a pause, not for a reboot", () =>
  withVideo({ fake: {} }, async (v) => {
    const { scene, guest, fake } = v;
    const { begin, want, feed, at } = await stream(v);
    await begin();
    await want(11);
    const held = [await want(12), await want(13)];
    await feed(2, frame(9), 9n); // one of them is done
    expect(held.map((sent) => sent.held)).toEqual([false, true]);
    await scene.hypervisor.stop();
    const copy = scene.ram.bytes(0, 8 * MIB).slice();
    fake?.settle();
    await turns(scene.loop, 4);
    expect(Buffer.compare(scene.ram.bytes(0, 8 * MIB), copy)).toBe(0);
    // The guest reboots: its rings are zeroed, held commands are dropped.
    for (const queue of scene.queues) queue.reset();
    for (const places of at.values()) scene.ram.bytes(places[0] ?? 0, 4096).fill(0);
    const blank = scene.ram.bytes(0, 8 * MIB).slice();
    fake?.settle();
    await turns(scene.loop, 4);
    expect(Buffer.compare(scene.ram.bytes(0, 8 * MIB), blank)).toBe(0);
    await scene.hypervisor.activate({ memory: false });
    expect(scene.commands.usedIndex).toBe(0);
    expect((await guest.drain(1)).code).toBe(0x302); // its streams were dropped
    expect(fake?.contexts.filter(({ closed }) => !closed).length).toBe(1);
  }));

test("defect 27: the null codec binds a driver: formats, parameters, buffers, pictures, EOS", () =>
  withVideo({}, async (v) => {
    await v.guest.post(4);
    const { begin, want } = await stream(v);
    await begin();
    expect(v.guest.events).toEqual([[s.EVENT_RESOLUTION_CHANGED, 1]]);
    expect((await want(11)).size).toBe(PICTURE);
    const drain = await v.guest.drain(1);
    expect([(await want(12)).flags, drain.code]).toEqual([s.BUFFER_EOS, 0x200]);
  }));

test.each(monitors)("defect 28: $name decodes, with the messages and the ring it uses", (row) =>
  withVideo(
    {
      monitor: row,
      places: [{ guest: 0, size: 16 * MIB }],
      sizes: row.name === "crosvm" ? [32_768, 32_768] : [256, 64],
    },
    async (v) => {
      const { begin, want } = await stream(v);
      await begin();
      expect((await want(11)).size).toBe(PICTURE);
    },
  ),
);

test("defect 28: reset, status, memory slots and inflight are offered", () =>
  withVideo({ monitor: monitor("QEMU") }, async ({ scene }) => {
    const offered = await scene.frontEnd.word("GET_PROTOCOL_FEATURES");
    for (const bit of [12n, 13n, 15n, 16n]) expect((offered >> bit) & 1n).toBe(1n);
  }));

test("defect 29: an unknown resource is reported as one", () =>
  withVideo({}, async (v) => {
    await stream(v);
    const sent = await v.guest.queue(1, s.OUTPUT, 77);
    expect([sent.code, sent.length, sent.flags]).toEqual([0x303, 24, s.BUFFER_ERR]);
  }));

test("defect 30: reading the config space past its end gives zeros", () =>
  withVideo({}, async ({ scene }) => {
    const { bytes } = await scene.frontEnd.ask("GET_CONFIG", payload.config(40, 100, 0));
    expect(bytes.length).toBe(112);
    expect([...bytes.slice(16)].every((byte) => byte === 0)).toBe(true);
  }));

test("defect 31: one broken ring stops neither the other nor the messages", () =>
  withVideo({}, async (v) => {
    const { scene, guest } = v;
    scene.events.publish(40_000);
    scene.events.notify();
    await turns(scene.loop);
    expect(scene.events.error.clear()).toBe(1);
    await serves(v);
    expect(scene.frontEnd).toBeInstanceOf(FrontEnd);
    expect(await scene.frontEnd.word("GET_FEATURES")).toBe(0x1_7000_0003n);
    expect((await guest.create(1)).code).toBe(0x200);
  }));
