// Which pixel formats can be made from others, and their names in messages.
import { fourcc, fourccName, pixelFormat } from "./formats.ts";
import type { PictureFormat } from "./picture-layout.ts";

/** Compressed formats that are JPEG pictures. */
export const jpegFormats: readonly number[] = [fourcc("MJPG"), fourcc("JPEG")];

/** Whether pictures of that format can be made from others, and others from them. */
export const isConvertible = (pixelformat: number) =>
  pixelFormat(pixelformat) !== undefined || jpegFormats.includes(pixelformat);

/** "640x480 YUYV". */
export const formatText = ({ width, height, pixelformat }: PictureFormat) =>
  `${width}x${height} ${fourccName(pixelformat)}`;
