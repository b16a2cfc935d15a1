// What a user reads when a connection cannot be made.
import { expect, test } from "bun:test";
import { AF_INET, AF_VSOCK } from "../../../ffi/linux/socket.ts";
import { connectAdvice } from "../../../src/stream/socket/connect.ts";

test("a vsock port without a receiver is reset, and the advice is that of a refused connection", () => {
  const reset = { code: "ECONNRESET" };
  const refused = { code: "ECONNREFUSED" };
  for (const again of [false, true]) {
    const advice = connectAdvice(refused, { family: AF_INET }, again);
    expect(advice).toStartWith("start the receiver");
    expect(connectAdvice(reset, { family: AF_VSOCK }, again)).toBe(advice);
    expect(connectAdvice(reset, { family: AF_INET }, again)).toBe("");
  }
});
