// The tables of ffi/linux/v4l2loopback.ts against v4l2loopback.h, as the compiler lays it out, and against the codes that
// were read off modules in use.
import { expect, test } from "bun:test";
import * as k from "../../ffi/linux/v4l2loopback.ts";
import type { Fields, StructType } from "../../ffi/struct.ts";
import { compareWithHeader } from "./compare.ts";

const tables = [k.v4l2LoopbackConfig, k.v4l2EventClientUsage] as StructType<Fields>[];
const codes = {
  V4L2LOOPBACK_CTL_VERSION: [k.V4L2LOOPBACK_CTL_VERSION, 0x8004_7e00],
  V4L2LOOPBACK_CTL_ADD: [k.V4L2LOOPBACK_CTL_ADD, 0x4048_7e01],
  V4L2LOOPBACK_CTL_REMOVE: [k.V4L2LOOPBACK_CTL_REMOVE, 0x4004_7e02],
  V4L2LOOPBACK_CTL_QUERY: [k.V4L2LOOPBACK_CTL_QUERY, 0xc048_7e03],
  V4L2LOOPBACK_CTL_ADD_legacy: [k.V4L2LOOPBACK_CTL_ADD_legacy, 0x4c80],
  V4L2LOOPBACK_CTL_REMOVE_legacy: [k.V4L2LOOPBACK_CTL_REMOVE_legacy, 0x4c81],
  V4L2LOOPBACK_CTL_QUERY_legacy: [k.V4L2LOOPBACK_CTL_QUERY_legacy, 0x4c82],
} as const;

test("sizes, offsets and codes are the compiler's and the modules'", () => {
  compareWithHeader("v4l2loopback.h", {
    tables,
    codes,
    constants: { V4L2_EVENT_PRI_CLIENT_USAGE: k.V4L2_EVENT_PRI_CLIENT_USAGE },
  });
});

test("a label is cut after 31 bytes and never in the middle of a character", () => {
  const config = k.v4l2LoopbackConfig.alloc();
  config.card_label = `${"a".repeat(30)}\u00e9`;
  expect(config.card_label).toBe("a".repeat(30));
  config.card_label = "short";
  expect(config.card_label).toBe("short");
  expect(config.min_width).toBe(0);
});
