// The ioctls that the device has, by their number. All others are refused with ENOTTY.
import { bufferIoctls } from "./buffer-ioctls.ts";
import { controlIoctls } from "./control-ioctls.ts";
import { formatIoctls } from "./format-ioctls.ts";
import { inputIoctls } from "./input-ioctls.ts";
import { type IoctlRow, numberOf } from "./ioctl-row.ts";
import { selectionIoctls } from "./selection-ioctls.ts";

export const ioctlRows: readonly IoctlRow[] = [
  ...formatIoctls,
  ...bufferIoctls,
  ...inputIoctls,
  ...controlIoctls,
  ...selectionIoctls,
];

export const ioctls: ReadonlyMap<number, IoctlRow> = new Map(
  ioctlRows.map((row) => [numberOf(row.ioctl), row]),
);
