// --on-demand: a receiver that listens only while its frames are wanted.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Demand } from "../../src/stream/demand.ts";
import { serveSenders } from "../../src/stream/serve.ts";
import type { ServeRun } from "../../src/stream/serve-connection.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { connect } from "../../src/stream/socket/connect.ts";
import { quiet } from "../support/camera-options.ts";
import { onLoop } from "../support/loop.ts";
import { helloBytes } from "../support/peer.ts";
import { put } from "../support/streams.ts";
import { TempDir } from "../support/tool.ts";

quiet();

test("frames are wanted from the first reader until some time after the last", () =>
  onLoop(async (loop, signal) => {
    const demand = new Demand(loop);
    let begun = 0;
    const first = demand.begins(signal).then((ends) => {
      begun += 1;
      return ends;
    });
    await loop.sleep(20, signal);
    expect(begun).toBe(0);
    demand.set("a", 1);
    const ends = await first;
    demand.set("b", 1);
    demand.set("a", 0);
    await loop.sleep(20, signal);
    expect(ends.aborted).toBe(false);
    demand.set("b", 0);
    await loop.sleep(500, signal);
    demand.set("b", 1); // a program that opens the camera again
    await loop.sleep(1800, signal);
    expect(ends.aborted).toBe(false);
    demand.set("b", 0);
    const fromMs = performance.now();
    while (!ends.aborted) await loop.sleep(20, signal);
    expect(performance.now() - fromMs).toBeGreaterThan(1900);
  }, 10_000));

test("a camera that is gone has no readers; without the last camera, frames are wanted as before", () =>
  onLoop(async (loop, signal) => {
    const demand = new Demand(loop);
    demand.set("a", 1);
    demand.set("b", 0);
    const ends = await demand.begins(signal);
    demand.set("a", undefined);
    await loop.sleep(2200, signal);
    expect(ends.aborted).toBe(true);
    demand.set("b", 1);
    const again = await demand.begins(signal);
    demand.set("b", undefined);
    await loop.sleep(2200, signal);
    expect(again.aborted).toBe(false);
  }, 10_000));

test("a stop ends the wait for a reader", () =>
  onLoop(async (loop) => {
    const stop = new AbortController();
    const demand = new Demand(loop);
    const waiting = demand.begins(stop.signal);
    loop.after(20, () => stop.abort());
    expect((await waiting).aborted).toBe(true);
  }));

test("a receiver listens only while frames are wanted, and lets its sender go when they are not", () =>
  onLoop(async (loop, signal) => {
    using temp = new TempDir();
    const path = temp.file("s");
    const address = parseAddress("--listen", `unix:${path}`, undefined);
    const demand = new Demand(loop);
    const stop = new AbortController();
    const streams: string[] = [];
    const receive = async (run: ServeRun) => {
      streams.push("begin");
      while (!run.signal.aborted) await loop.sleep(10, signal);
      streams.push("end");
      return "stopped" as const;
    };
    const serving = serveSenders(
      loop,
      {
        address,
        allowed: () => true,
        keep: true,
        stallMs: 1000,
        stats: 0,
        json: false,
        demand,
        receive,
      },
      stop.signal,
    );
    const until = async (condition: () => boolean) => {
      while (!condition()) await loop.sleep(10, signal);
    };
    await loop.sleep(50, signal);
    expect(existsSync(path)).toBe(false);
    for (const round of [1, 2]) {
      demand.set("a", 1);
      await until(() => existsSync(path));
      using sender = await connect(loop, address, 1000, false, signal);
      if (sender !== undefined) put(sender, new Uint8Array(helloBytes()));
      await until(() => streams.length === 2 * round - 1);
      demand.set("a", 0);
      await until(() => streams.length === 2 * round);
      await until(() => !existsSync(path));
    }
    stop.abort();
    expect(await serving).toBe("stopped");
  }, 15_000));
