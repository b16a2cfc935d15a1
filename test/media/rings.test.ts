// The whole way through vhost-user: rings in guest memory, buffers that the monitor maps in the region, pictures of testsrc with a stamp
// in each. The guest lab does it with a real monitor.
import { expect, test } from "bun:test";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { fourcc, fourccName } from "../../src/format/formats.ts";
import { StampedBuffer } from "../../src/format/stamp.ts";
import { FrameSource } from "../../src/media/frame-source.ts";
import { madeOffers } from "../../src/media/made-offers.ts";
import { createMediaDevice } from "../../src/media/media-device.ts";
import { openDescriptors } from "../support/resources.ts";
import { MediaGuest } from "../support/vhost/media-guest.ts";
import { withDevice } from "../support/vhost/scene.ts";

const SIZE = { width: 160, height: 120, pixelformat: fourcc("YUYV") };
const BYTES = 160 * 120 * 2;

const testSource = () =>
  new FrameSource({
    name: "testsrc",
    offers: madeOffers(["YUYV", "NV12"], [[160, 120]], [200]),
    open: ({ width, height, pixelformat }, { numerator, denominator }) =>
      openTestSource("testsrc", {
        width,
        height,
        format: fourccName(pixelformat),
        fps: denominator / numerator,
        buffers: 4,
      }),
  });

/** Runs `act` with a guest that has the camera open. */
async function withGuest(act: (guest: MediaGuest) => Promise<void>): Promise<void> {
  const shown = testSource();
  await withDevice(
    {},
    () => createMediaDevice({ source: shown, card: "test", memoryBytes: 1 << 24 }),
    async (scene) => {
      using _source = shown; // before the loop ends
      await scene.hypervisor.realize();
      await scene.hypervisor.activate();
      const guest = new MediaGuest(scene);
      await guest.open();
      await act(guest);
      expect(scene.buffers?.crashes).toBe(0);
      expect(scene.ram.marginsIntact).toBe(true);
    },
  );
}

/** Takes `count` pictures; each must be whole and have the number after the last one. */
async function take(guest: MediaGuest, count: number): Promise<number[]> {
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) {
    const { index, bytesused } = await guest.frame();
    expect(bytesused).toBe(BYTES);
    const number = new StampedBuffer(guest.bytes(index).subarray(0, BYTES)).read();
    if (typeof number === "string") throw new Error(`picture ${i} is ${number}`);
    numbers.push(number);
    await guest.queue(index);
  }
  return numbers;
}

test("a guest maps its buffers and gets whole pictures in order, twice", () =>
  withGuest(async (guest) => {
    for (let times = 0; times < 2; times++) {
      await guest.prepare(4, SIZE);
      await guest.stream(true);
      const numbers = await take(guest, 60);
      for (const [i, number] of numbers.entries())
        expect(number).toBeGreaterThan(numbers[i - 1] ?? -1);
      await guest.stream(false);
      await guest.request(0);
    }
    await guest.close();
  }));

test("a stream allocates no memory for each picture, and a guest leaves no descriptor behind", async () => {
  const before = openDescriptors();
  await withGuest(async (guest) => {
    await guest.prepare(4, SIZE);
    await guest.stream(true);
    await take(guest, 50);
    Bun.gc(true);
    const { heapUsed } = process.memoryUsage();
    await take(guest, 400);
    Bun.gc(true);
    expect(process.memoryUsage().heapUsed - heapUsed).toBeLessThan(512 * 1024);
  });
  expect(openDescriptors()).toBe(before);
}, 20_000);
