// A source that is silent, gone, or of another size: the guest's stream goes on, and the real picture is back with the next frame.
import { expect, spyOn, test } from "bun:test";
import * as clock from "../../ffi/clock.ts";
import { UnavailableError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import { StandbyCard } from "../../src/format/standby-card.ts";
import { madeOffers } from "../../src/media/made-offers.ts";
import { FakeSource, MediaDriver } from "../support/media-driver.ts";
import { MediaProgram } from "../support/media-program.ts";

const SIZE = { width: 64, height: 48 };
const offers = () => madeOffers(["YUYV", "NV12", "MJPG"], [[SIZE.width, SIZE.height]], [30]);

function streaming(format: string) {
  const driver = new MediaDriver({ source: new FakeSource(offers()) });
  const program = new MediaProgram(driver);
  program.setFormat({ ...SIZE, format });
  program.stream(4);
  return { driver, program };
}

const different = (bytes: Uint8Array) => new Set(bytes).size;

test.each(["YUYV", "NV12"])("%s: a card is shown at once when the source is lost", (format) => {
  const { driver: used, program } = streaming(format);
  using driver = used;
  driver.source.viewer?.lost(["NO SIGNAL", "webcam"]);
  expect(driver.frames).toMatchObject([{ index: 0, sequence: 0 }]);
  expect(different(program.bytes(0))).toBeGreaterThan(2);
  // The card is not shown oftener than twice a second.
  driver.source.viewer?.lost(["NO SIGNAL", "webcam"]);
  driver.loop.run();
  expect(driver.counts.cards).toBe(1);
  driver.source.show(0x33);
  expect(program.bytes(1).every((byte) => byte === 0x33)).toBe(true);
  expect(driver.frames.at(-1)).toMatchObject({ index: 1, sequence: 1 });
});

test("a card in MJPG is a JPEG picture", () => {
  const { driver: used, program } = streaming("MJPG");
  using driver = used;
  driver.source.viewer?.lost(["NO SIGNAL"]);
  const [frame] = driver.frames;
  const bytes = program.bytes(0).subarray(0, frame?.bytesused);
  expect([bytes[0], bytes[1], bytes.at(-2), bytes.at(-1)]).toEqual([0xff, 0xd8, 0xff, 0xd9]);
});

test("where the library that encodes JPEG is missing a guest of MJPG gets no card, and its stream goes on", () => {
  const { driver: used } = streaming("MJPG");
  using driver = used;
  const card = spyOn(StandbyCard.prototype, "with").mockImplementation(() => {
    throw new UnavailableError("libturbojpeg.so.0: not found; install libturbojpeg0");
  });
  try {
    for (let i = 0; i < 3; i++) driver.source.viewer?.lost(["NO SIGNAL"]);
    expect(driver.frames).toEqual([]);
    expect(card).toHaveBeenCalledTimes(1);
  } finally {
    card.mockRestore();
  }
  driver.source.show(0x33, { bytes: 100 });
  expect(driver.frames).toMatchObject([{ index: 0, bytesused: 100 }]);
});

test("a silent source is replaced by the card after a second, twice a second", () => {
  const { driver: used } = streaming("YUYV");
  using driver = used;
  let nowUs = clock.monotonicUs();
  const mocked = spyOn(clock, "monotonicUs").mockImplementation(() => nowUs);
  try {
    driver.source.show(1);
    for (let i = 0; i < 9; i++) {
      nowUs += 100_000;
      driver.loop.run();
    }
    expect(driver.counts.cards).toBe(0);
    for (let i = 0; i < 10; i++) {
      nowUs += 100_000;
      driver.loop.run();
    }
    expect(driver.counts.cards).toBe(2);
    driver.source.show(2);
    driver.loop.run();
    expect(driver.counts.cards).toBe(2);
  } finally {
    mocked.mockRestore();
  }
});

test.each([
  ["another size", { width: 32, height: 48, pixelformat: fourcc("YUYV"), sizeimage: 3072 }],
  ["another format", { ...SIZE, pixelformat: fourcc("NV12"), sizeimage: 4608 }],
])("a source of %s is converted", (_, picture) => {
  const { driver: used, program } = streaming("YUYV");
  using driver = used;
  driver.source.picture = picture;
  driver.source.viewer?.begin(picture, 1);
  driver.source.show(0x80, { piece: 64 });
  expect(driver.frames.at(-1)?.bytesused).toBe(64 * 48 * 2);
  // Grey stays grey, in the middle of the picture.
  const middle = program.bytes(0).subarray(24 * 128 + 60, 24 * 128 + 68);
  expect([...middle].every((byte) => Math.abs(byte - 0x80) <= 2)).toBe(true);
  // Back to the guest's own format: copied again.
  driver.source.picture = undefined;
  driver.source.viewer?.begin({ ...SIZE, pixelformat: fourcc("YUYV"), sizeimage: 6144 }, 1);
  driver.source.show(0x11);
  expect(program.bytes(1).every((byte) => byte === 0x11)).toBe(true);
});

test("a frame that is no whole picture is left out, and the buffer waits for the next one", () => {
  const { driver: used } = streaming("YUYV");
  using driver = used;
  for (const bytes of [0, 1, 6143, 6145]) driver.source.show(7, { bytes });
  expect(driver.frames.length).toBe(0);
  expect(driver.counts.damaged).toBe(4);
  driver.source.show(7);
  expect(driver.frames[0]).toMatchObject({ index: 0 });
});

test("compressed frames of any size go through, and one that is too large is left out", () => {
  const { driver: used, program } = streaming("MJPG");
  using driver = used;
  driver.source.show(5, { bytes: 1234 });
  expect(driver.frames[0]).toMatchObject({ bytesused: 1234, length: 65_536 });
  expect(program.bytes(0)[1233]).toBe(5);
  driver.source.show(5, { bytes: 65_537 });
  expect(driver.frames.length).toBe(1);
});

test("a source that only sends what is no picture is replaced by the card", () => {
  const { driver: used } = streaming("YUYV");
  using driver = used;
  let nowUs = clock.monotonicUs();
  const mocked = spyOn(clock, "monotonicUs").mockImplementation(() => nowUs);
  try {
    for (let i = 0; i < 14; i++) {
      nowUs += 100_000;
      driver.source.show(1, { bytes: 10 });
      driver.loop.run();
    }
    expect(driver.counts).toMatchObject({ delivered: 0, damaged: 14, cards: 1 });
  } finally {
    mocked.mockRestore();
  }
});

test("a picture that was taken before the last stand-by card was shown does not go back in time", () => {
  const { driver: used } = streaming("YUYV");
  using driver = used;
  driver.source.viewer?.lost(["NO SIGNAL"]);
  driver.source.show(1, { tsSec: 1, tsUsec: 5 });
  const [card, picture] = driver.frames;
  expect(card?.tsSec).toBeGreaterThan(1);
  expect([picture?.tsSec, picture?.tsUsec]).toEqual([card?.tsSec, card?.tsUsec]);
});

test("a picture that is stamped with the time of day gets the time of its arrival", () => {
  const { driver: used } = streaming("YUYV");
  using driver = used;
  const before = clock.monotonicUs();
  driver.source.show(1, { tsSec: 1_790_000_000, tsUsec: 5 });
  const [frame] = driver.frames;
  const stampUs = (frame?.tsSec ?? 0) * 1e6 + (frame?.tsUsec ?? 0);
  expect(stampUs).toBeGreaterThanOrEqual(before);
  expect(stampUs).toBeLessThanOrEqual(clock.monotonicUs());
});
