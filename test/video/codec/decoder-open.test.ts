// Opening the V4L2 decoder back-end: what a guest is offered of a device, and devices that are refused.
import { expect, test } from "bun:test";
import { errno } from "../../../ffi/errno.ts";
import { decoderOn, openV4l2Decoder } from "../../../src/video/codec/v4l2-decoder.ts";
import * as s from "../../../src/video/structs.ts";
import { rig } from "../../support/decoder-rig.ts";
import { FakeDecoder, type FakeOptions } from "../../support/fake-decoder.ts";
import { localDriver } from "../../support/video-driver.ts";

test("capabilities: known formats only, sizes continuous with step 1", () => {
  using r = rig();
  const input = [
    ...new Uint32Array(r.driver.capability(s.INPUT).reply?.buffer ?? new ArrayBuffer(0)),
  ];
  expect(input.slice(2, 10)).toEqual([1, 0, 7, 0, 0x1006, 1, 0, 1]);
  expect(input.slice(10, 18)).toEqual([16, 2048, 1, 0, 16, 2048, 1, 0]);
  const output = [
    ...new Uint32Array(r.driver.capability(s.OUTPUT).reply?.buffer ?? new ArrayBuffer(0)),
  ];
  expect([output[2], output[6], output[22], output[38]]).toEqual([3, 4, 5, 3]);
});

test("a stream that the host cannot open is answered OUT_OF_MEMORY, and the device continues", () => {
  const fake = new FakeDecoder({ faults: new Map() });
  const backend = decoderOn(fake.open(), () => fake.open());
  using driver = localDriver(backend, { watcher: fake.watcher });
  fake.options.faults?.set("VIDIOC_SUBSCRIBE_EVENT", errno.EMFILE);
  expect(driver.create(1).code).toBe(0x301);
  fake.options.faults?.clear();
  expect(driver.create(1).code).toBe(0x200);
  expect(fake.contexts.filter(({ closed }) => !closed).length).toBe(2);
  driver.device.reset();
  backend[Symbol.dispose]();
});

const badDevices: [string, FakeOptions, RegExp][] = [
  [
    "no coded format a guest knows",
    { coded: "SFWH" },
    /decodes SFWH, no format a guest can be offered/,
  ],
  ["no raw format a guest knows", { raw: ["GREY"] }, /makes no pictures a guest can be offered/],
  [
    "no video device",
    { faults: new Map([["VIDIOC_QUERYCAP", errno.ENOTTY]]) },
    /ENOTTY.*not a video device/,
  ],
];
test.each(badDevices)("%s: the error is one line that names the reason", (_, options, text) => {
  const fake = new FakeDecoder(options);
  expect(() => decoderOn(fake.open(), () => fake.open())).toThrow(text);
  expect(fake.contexts.every(({ closed }) => closed)).toBe(true);
});

test("a path that is missing, a file or a folder is refused and not changed", async () => {
  const file = `/tmp/framepass-video-${process.pid}`;
  await Bun.write(file, "precious");
  expect(() => openV4l2Decoder(file)).toThrow(/not a character device.*--v4l2-device/);
  expect(await Bun.file(file).text()).toBe("precious");
  await Bun.file(file).delete();
  expect(() => openV4l2Decoder(file)).toThrow(/ENOENT.*--v4l2-device/);
  expect(await Bun.file(file).exists()).toBe(false);
  expect(() => openV4l2Decoder("/tmp")).toThrow(/EISDIR.*--v4l2-device/);
  expect(() => openV4l2Decoder("/dev/null")).toThrow(/ENOTTY.*not a video device/);
});
