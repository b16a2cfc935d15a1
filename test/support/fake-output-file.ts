// A file of a fake output, which may be closed and opened again without ending the fake.
import type { OutputNode } from "../../src/v4l2/output-device.ts";
import type { FakeOutput } from "./fake-output.ts";

export const fileOf = (node: FakeOutput): OutputNode => ({
  path: node.path,
  fd: node.fd,
  ioctl: (request, argument) => node.ioctl(request, argument),
  map: (length, offset) => node.map(length, offset),
  write: () => node.write(),
  [Symbol.dispose]: () => undefined,
});
