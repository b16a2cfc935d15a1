// /healthz while the loop of the tool runs, and when it hangs.
import { expect, test } from "bun:test";
import { Heartbeat, health } from "../../src/metrics/heartbeat.ts";
import { control } from "../../src/metrics/messages.ts";

test("a loop that counts up is heard, one that does not is silent for longer and longer", async () => {
  const cells = new Int32Array(control.cells);
  const heartbeat = new Heartbeat(cells);
  await Bun.sleep(30);
  const silentMs = heartbeat.silentMs;
  expect(silentMs).toBeGreaterThanOrEqual(25);
  cells[control.beats] = 1;
  expect(heartbeat.silentMs).toBeLessThan(silentMs);
});

test("the answer is 200 and ok, after 10 silent seconds 503 and for how long", () => {
  expect(health(9_999)).toMatchObject({ body: "ok\n" });
  expect(health(9_999).status ?? 200).toBe(200);
  expect(health(12_345)).toMatchObject({ status: 503, body: "the tool has not run for 12 s\n" });
});
