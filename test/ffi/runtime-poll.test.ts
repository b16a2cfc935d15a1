import { expect, test } from "bun:test";
import { runtimePoll } from "../../ffi/runtime-poll.ts";

test("where a process must not see its descriptors, the runtime's epoll is not found, and nothing fails", async () => {
  expect(await runtimePoll("/nonexistent")).toBeUndefined();
});
