// How many bytes TCP collects before it wakes a receiver.
import { expect, test } from "bun:test";
import type { Fd } from "../../../ffi/fd.ts";
import { SO_RCVLOWAT, SOL_SOCKET } from "../../../ffi/linux/socket.ts";
import { inetAddress } from "../../../ffi/sockaddr.ts";
import { getOption, listenOn, socketPair } from "../../../ffi/socket.ts";
import { LowWater } from "../../../src/stream/socket/low-water.ts";

const MIB = 1024 * 1024;
const markOf = (socket: Fd) => getOption(socket, SOL_SOCKET, SO_RCVLOWAT);

test("the first frame is received as it comes; at a camera's rate TCP collects 256 KiB at most, and 1 MiB as fast as it goes", () => {
  using socket = listenOn(inetAddress("127.0.0.1", 0));
  using lowWater = LowWater.of(socket);
  const markAt = (nowMs: number) => {
    lowWater?.begins(nowMs);
    lowWater?.expect(4 * MIB);
    const mark = markOf(socket);
    lowWater?.expect(0);
    return mark;
  };
  expect([0, 16.7, 24.7, 32.6, 36, 52].map(markAt)).toEqual([
    ...[1, MIB / 4, MIB / 4],
    ...[MIB, MIB, MIB / 4],
  ]);
});

test("the mark is never above the bytes that are certain to come, and 1 when it is disposed", () => {
  using socket = listenOn(inetAddress("127.0.0.1", 0));
  {
    using lowWater = LowWater.of(socket);
    lowWater?.begins(0);
    lowWater?.begins(1);
    for (const bytes of [MIB, 700_000, 300_000, 5000, 2, 1]) {
      lowWater?.expect(bytes);
      expect(markOf(socket)).toBeLessThanOrEqual(bytes);
      expect(markOf(socket) * 2).toBeGreaterThanOrEqual(bytes);
    }
    lowWater?.expect(MIB);
  }
  expect(markOf(socket)).toBe(1);
});

test("a Unix socket has no mark", () => {
  const [near, far] = socketPair();
  using one = near;
  using _other = far;
  expect(LowWater.of(one)).toBeUndefined();
});
