// Wrong messages of a front-end: each is refused or ends the connection, and has no other effect.
import { expect, spyOn, test } from "bun:test";
import { Signal } from "../../ffi/epoll.ts";
import { Fd } from "../../ffi/fd.ts";
import { log } from "../../src/cli/log.ts";
import { messageRows } from "../../src/vhost/messages.ts";
import { openDescriptors } from "../support/resources.ts";
import { payload } from "../support/vhost/front-end.ts";
import { requestParts, roundTrip, type Scene, turns, withScene } from "../support/vhost/scene.ts";

const bytes = (length: number) => new Uint8Array(new ArrayBuffer(length));
const ALL = 0x1b209n;

async function negotiated(act: (scene: Scene) => Promise<void>): Promise<void> {
  await withScene({}, async (scene) => {
    scene.frontEnd.send("SET_PROTOCOL_FEATURES", payload.word(ALL));
    await act(scene);
  });
}

/** The connection still works: it answers. */
async function alive({ frontEnd }: Scene): Promise<void> {
  expect(await frontEnd.word("GET_FEATURES")).toBe(0x1_7000_0003n);
}

test("features and protocol features are those we have, and may be asked for at any time", () =>
  withScene({}, async (scene) => {
    await alive(scene);
    expect(await scene.frontEnd.word("GET_PROTOCOL_FEATURES")).toBe(ALL);
    await alive(scene);
  }));

const framing = [
  { what: "version 0", flags: 0, size: 0 },
  { what: "version 2", flags: 2, size: 0 },
  { what: "the bit of an answer", flags: 5, size: 0 },
  { what: "a payload of 4097 bytes", flags: 1, size: 4097 },
  { what: "a payload of 4 GiB", flags: 1, size: 0xffff_ffff },
];
test.each(framing)("$what ends the connection", ({ flags, size }) =>
  withScene({}, async ({ frontEnd, connection }) => {
    frontEnd.send("GET_FEATURES", undefined, { flags, size });
    expect(await connection.over).toBeInstanceOf(Error);
  }),
);

test("a front-end that leaves between messages has left; in the middle of a message it is an error", async () => {
  await withScene({}, async ({ frontEnd, connection }) => {
    frontEnd[Symbol.dispose]();
    expect(await connection.over).toBe("left");
  });
  await withScene({}, async ({ frontEnd, connection }) => {
    frontEnd.raw(bytes(5));
    frontEnd[Symbol.dispose]();
    expect(await connection.over).toBeInstanceOf(Error);
  });
});

test("a message in pieces of one byte is understood, its descriptor with the first", () =>
  negotiated(async (scene) => {
    using signal = new Signal();
    const message = Uint8Array.from([13, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (const [i, byte] of message.entries()) {
      scene.frontEnd.raw(Uint8Array.from([byte]), i === 0 ? [signal.fd] : []);
      await scene.loop.sleep(0, new AbortController().signal);
    }
    const got = await scene.frontEnd.receive();
    expect(got?.flags).toBe(5);
    expect([...(got?.bytes ?? [])]).toEqual(new Array(8).fill(0));
  }));

test("every request without an answer of its own and of a wrong size is refused, and the connection lives", () =>
  negotiated(async (scene) => {
    for (const row of messageRows.filter(({ answers }) => answers === undefined)) {
      const exact = typeof row.size === "object" ? row.size.from : (row.size ?? 8);
      for (const length of [exact === 0 ? 1 : exact - 1, 0, 7, 4096]) {
        const right = typeof row.size === "object" ? length >= row.size.from : length === row.size;
        if (right) continue;
        const word = await scene.frontEnd.acknowledged(row.name, bytes(length));
        expect(word, `${row.name} of ${length} bytes`).toBe(1n);
      }
    }
    await alive(scene);
  }));

test.each(messageRows.filter(({ answers }) => answers === true))(
  "$name of a wrong size is answered with a refusal, or ends the connection",
  (row) =>
    negotiated(async ({ frontEnd }) => {
      const exact = typeof row.size === "object" ? row.size.from - 1 : (row.size ?? 8) + 1;
      frontEnd.send(row.name, bytes(exact));
      const got = await frontEnd.receive();
      if (row.refusal === undefined) expect(got).toBeUndefined();
      else expect(got?.bytes).toEqual(row.refusal());
    }),
);

test("a request with an unassigned number is refused", () =>
  negotiated(async (scene) => {
    for (const request of [0, 45, 255, 0xffff_ffff]) {
      scene.frontEnd.send(request, bytes(16), { needReply: true });
      const got = await scene.frontEnd.receive();
      expect(new DataView(got?.bytes.buffer ?? new ArrayBuffer(8)).getBigUint64(0, true)).toBe(1n);
    }
    await alive(scene);
  }));

test("requests that were not negotiated are refused, by their own answer where they have one", () =>
  withScene({}, async (scene) => {
    const { frontEnd } = scene;
    frontEnd.send("SET_PROTOCOL_FEATURES", payload.word(8n));
    const memory = payload.region({ guest: 0n, size: 4096n, user: 0n, offset: 0n });
    expect(await frontEnd.acknowledged("ADD_MEM_REG", memory, { fds: [scene.ram.fd.number] })).toBe(
      1n,
    );
    expect(await frontEnd.acknowledged("SET_STATUS", payload.word(8n))).toBe(1n);
    expect(await frontEnd.acknowledged("RESET_DEVICE")).toBe(1n);
    expect((await frontEnd.ask("GET_CONFIG", payload.config(0, 44, 0))).bytes.length).toBe(0);
    const inflight = await frontEnd.ask("GET_INFLIGHT_FD", payload.inflight(0, 0, 2, 64));
    expect([...inflight.bytes]).toEqual(new Array(24).fill(0));
    expect(inflight.fds).toEqual([]);
    await alive(scene);
    frontEnd.send("GET_STATUS");
    expect(await frontEnd.closed()).toBe(true);
  }));

test("without REPLY_ACK no request is acknowledged", () =>
  withScene({}, async (scene) => {
    scene.frontEnd.send("SET_OWNER", undefined, { needReply: true });
    scene.frontEnd.send("SET_VRING_NUM", payload.state(9, 64), { needReply: true });
    await alive(scene);
  }));

test("descriptors on any request are closed, wanted or not, known or not", async () => {
  const before = openDescriptors();
  await negotiated(async (scene) => {
    using signal = new Signal();
    const fds = [signal.fd, signal.fd, signal.fd, signal.fd, signal.fd];
    const here = openDescriptors();
    for (const row of messageRows.filter(({ answers }) => answers === undefined)) {
      const length = typeof row.size === "object" ? row.size.from : (row.size ?? 8);
      await scene.frontEnd.acknowledged(row.name, bytes(length), { fds });
    }
    expect(openDescriptors()).toBe(here);
    const many = new Array<number>(253).fill(signal.fd);
    await scene.frontEnd.acknowledged("SET_OWNER", undefined, { fds: many });
    expect(openDescriptors()).toBe(here);
    scene.frontEnd.send("GET_FEATURES", undefined, { fds });
    await scene.frontEnd.closed();
    expect(openDescriptors()).toBe(here - 1); // the back-end's end of the connection
  });
  expect(openDescriptors()).toBe(before);
});

test("a kick word and its descriptor must agree", () =>
  negotiated(async (scene) => {
    using signal = new Signal();
    const { frontEnd } = scene;
    for (const name of ["SET_VRING_KICK", "SET_VRING_CALL", "SET_VRING_ERR"]) {
      expect(await frontEnd.acknowledged(name, payload.word(0n))).toBe(1n);
      const none = payload.word(0x100n);
      expect(await frontEnd.acknowledged(name, none, { fds: [signal.fd] })).toBe(1n);
      const two = { fds: [signal.fd, signal.fd] };
      expect(await frontEnd.acknowledged(name, payload.word(0n), two)).toBe(1n);
      for (const index of [2n, 0xffn]) {
        expect(await frontEnd.acknowledged(name, payload.word(index), { fds: [signal.fd] })).toBe(
          1n,
        );
      }
    }
    await alive(scene);
  }));

test("a ring's number, size, base and enabling are checked", () =>
  negotiated(async (scene) => {
    const ack = (name: string, index: number, num: number) =>
      scene.frontEnd.acknowledged(name, payload.state(index, num));
    for (const index of [2, 256, 0xffff_ffff]) {
      for (const name of ["SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ENABLE"]) {
        expect(await ack(name, index, 1)).toBe(1n);
      }
    }
    for (const size of [0, 3, 48, 32_769, 65_536, 0x8000_0000]) {
      expect(await ack("SET_VRING_NUM", 0, size)).toBe(1n);
    }
    for (const size of [1, 2, 64, 32_768]) expect(await ack("SET_VRING_NUM", 0, size)).toBe(0n);
    expect(await ack("SET_VRING_BASE", 0, 65_536)).toBe(1n);
    expect(await ack("SET_VRING_BASE", 0, 65_535)).toBe(0n);
    expect(await ack("SET_VRING_ENABLE", 0, 2)).toBe(1n);
    scene.frontEnd.send("GET_VRING_BASE", payload.state(2, 0));
    expect(await scene.frontEnd.closed()).toBe(true);
  }));

test("any part of the config space is answered, zero beyond its end, and nothing past the limit", () =>
  negotiated(async ({ frontEnd }) => {
    const read = async (offset: number, size: number) =>
      (await frontEnd.ask("GET_CONFIG", payload.config(offset, size, 1))).bytes;
    expect((await read(0, 44)).slice(12)).toEqual(Uint8Array.from({ length: 44 }, (_, i) => i + 1));
    expect([...(await read(42, 6)).slice(12)]).toEqual([43, 44, 0, 0, 0, 0]);
    expect((await read(4000, 84)).length).toBe(96);
    for (const [offset, size] of [
      [0, 0],
      [4084, 1],
      [0xffff_ffff, 1],
      [0xffff_fff0, 0x20],
      [0, 0xffff_ffff],
    ] as const) {
      const { bytes: answer } = await frontEnd.ask(
        "GET_CONFIG",
        payload.config(offset, size, 0, 44),
      );
      expect(answer.length).toBe(0);
    }
    expect(await frontEnd.acknowledged("SET_CONFIG", payload.config(0, 4, 0))).toBe(1n);
  }));

test("features that were not offered are masked, those that change the rings are refused", () =>
  negotiated(async (scene) => {
    const { frontEnd, hypervisor, device } = scene;
    for (const bit of [33n, 34n]) {
      expect(await frontEnd.acknowledged("SET_FEATURES", payload.word(1n << bit))).toBe(1n);
    }
    await hypervisor.realize();
    await hypervisor.activate();
    await roundTrip(scene, bytes(8), 8);
    expect(device.host?.ackedFeatures).toBe(0x1_7000_0003n);
    const more = payload.word(0x1_7000_0003n | (1n << 40n) | (1n << 26n));
    expect(await frontEnd.acknowledged("SET_FEATURES", more)).toBe(0n);
    await roundTrip(scene, bytes(8), 8);
  }));

test("without bit 30 rings are enabled as soon as they start", () =>
  withScene({ without: 1n << 30n }, async (scene) => {
    const { frontEnd, ram, commands } = scene;
    frontEnd.send("SET_FEATURES", payload.word(0x1_3000_0003n));
    frontEnd.send("SET_MEM_TABLE", payload.regions(ram.rows), { fds: [ram.fd.number] });
    frontEnd.send("SET_VRING_NUM", payload.state(0, commands.size));
    frontEnd.send("SET_VRING_BASE", payload.state(0, 0));
    frontEnd.send("SET_VRING_ADDR", payload.addresses(0, commands.user));
    frontEnd.send("SET_VRING_CALL", payload.word(0n), { fds: [commands.call.fd] });
    frontEnd.send("SET_VRING_KICK", payload.word(0n), { fds: [commands.kick.fd] });
    const { answer } = await roundTrip(scene, Uint8Array.of(0, 1, 2), 3);
    expect([...answer]).toEqual([0, 1, 2]);
  }));

test("the status byte is kept, FEATURES_OK only for features that are, and 0 resets the device", () =>
  negotiated(async (scene) => {
    const { frontEnd, device, hypervisor } = scene;
    await frontEnd.acknowledged("SET_STATUS", payload.word(0xbn));
    expect(await frontEnd.word("GET_STATUS")).toBe(3n); // VERSION_1 was not acknowledged yet
    await hypervisor.realize();
    await hypervisor.activate();
    await roundTrip(scene, bytes(8), 8);
    expect(await frontEnd.word("GET_STATUS")).toBe(8n);
    expect(await frontEnd.acknowledged("SET_STATUS", payload.word(256n))).toBe(1n);
    await frontEnd.acknowledged("SET_STATUS", payload.word(0n));
    expect(device.calls).toEqual(["start", "reset"]);
    expect(await frontEnd.word("GET_STATUS")).toBe(0n);
  }));

test("the requests of a front-end that does not read its answers are not read either, and none is lost", () =>
  negotiated(async ({ frontEnd }) => {
    let sent = 0;
    const message = Uint8Array.from([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    for (let i = 0; i < 20_000; i++) {
      if (frontEnd.raw(message) !== 12) break;
      sent += 1;
    }
    expect(sent).toBeGreaterThan(100);
    for (let i = 0; i < sent; i++) expect((await frontEnd.receive())?.request).toBe(1);
  }));

test("descriptors that cannot be waited for or written to are refused", () =>
  negotiated(async (scene) => {
    using file = Fd.open("/proc/self/exe", 0);
    const kick = { fds: [file.number] };
    expect(await scene.frontEnd.acknowledged("SET_VRING_KICK", payload.word(0n), kick)).toBe(1n);
    await alive(scene);
  }));

test("a table with too few or too many descriptors is refused, and none of them stays open", () =>
  negotiated(async (scene) => {
    const { frontEnd, ram } = scene;
    const here = openDescriptors();
    const table = payload.regions(ram.rows);
    for (const count of [0, 2, 33]) {
      const fds = new Array<number>(count).fill(ram.fd.number);
      expect(await frontEnd.acknowledged("SET_MEM_TABLE", table, { fds })).toBe(1n);
    }
    for (const count of [0, 2]) {
      const [row] = ram.rows;
      if (row === undefined) throw new Error("no region");
      const fds = new Array<number>(count).fill(ram.fd.number);
      expect(await frontEnd.acknowledged("ADD_MEM_REG", payload.region(row), { fds })).toBe(1n);
    }
    expect(openDescriptors()).toBe(here);
    await alive(scene);
  }));

test("a table of 33 regions, or of more than its bytes hold, is refused", () =>
  negotiated(async (scene) => {
    for (const count of [0, 2, 33, 0x0800_0000, 0xffff_ffff]) {
      const table = payload.regions(scene.ram.rows);
      new DataView(table.buffer).setUint32(0, count, true);
      const fds = [scene.ram.fd.number];
      expect(await scene.frontEnd.acknowledged("SET_MEM_TABLE", table, { fds })).toBe(1n);
    }
    await alive(scene);
  }));

test("an incomplete message is waited for five seconds", () =>
  withScene({}, async ({ frontEnd, connection, loop }) => {
    const real = performance.now.bind(performance);
    let aheadMs = 0;
    const clock = spyOn(performance, "now").mockImplementation(() => real() + aheadMs);
    try {
      frontEnd.raw(bytes(3));
      await turns(loop);
      aheadMs = 4900;
      await turns(loop);
      aheadMs = 5100;
      const end = await connection.over;
      expect((end as Error).message).toBe("a message was not complete after 5000 ms");
    } finally {
      clock.mockRestore();
    }
  }));

test("the log lines that a guest and its front-end can cause are limited", () =>
  negotiated(async (scene) => {
    const { frontEnd, hypervisor, commands, ram, loop } = scene;
    const lines: string[] = [];
    const reporters = log.options.reporters;
    log.options.reporters = [{ log: ({ args }) => lines.push(args.join(" ")) }];
    log.level = 3;
    try {
      await hypervisor.realize();
      await hypervisor.activate();
      for (let i = 0; i < 200; i++) {
        await frontEnd.acknowledged("SET_VRING_NUM", payload.state(9, i));
        const [part] = requestParts(ram, bytes(8), 8);
        if (part !== undefined) commands.add([{ ...part, at: 2 ** 40 }]);
        commands.notify();
        await turns(loop, 1);
        commands.takeUsed();
      }
      expect(lines.length).toBe(20);
      expect(lines.at(-1)).toEndWith("--log-level debug");
    } finally {
      log.options.reporters = reporters;
      log.level = -1;
    }
  }));
