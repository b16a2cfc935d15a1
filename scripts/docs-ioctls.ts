// The table of the virtio-media device's ioctls, for its page.
import { gives, numberOf, takes } from "../src/media/ioctl-row.ts";
import { ioctlRows } from "../src/media/ioctls.ts";
import { table } from "./docs-table.ts";

const direction = (row: (typeof ioctlRows)[number]) =>
  [takes(row.ioctl) ? "in" : "", gives(row.ioctl) ? "out" : ""].filter(Boolean).join(", ");

const follows = { list: "a scatter list", array: "the controls, also in the answer" } as const;

export const ioctlTable = (): string =>
  table(
    ["number", "ioctl", "argument", "bytes", "direction", "what may follow it"],
    [...ioctlRows]
      .sort((a, b) => numberOf(a.ioctl) - numberOf(b.ioctl))
      .map((row) => [
        `${numberOf(row.ioctl)}`,
        row.ioctl.name.replace("VIDIOC_", ""),
        row.ioctl.argument.name,
        `${row.ioctl.argument.size}`,
        direction(row),
        row.tail === undefined ? "" : follows[row.tail],
      ]),
  );
