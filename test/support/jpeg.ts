// JPEG pictures for tests, by libjpeg-turbo's encoder.
import { FFIType } from "bun:ffi";
import { addressOf, viewOf } from "../../ffi/libc.ts";
import { openLibrary } from "../../ffi/library.ts";
import { TURBOJPEG_SONAME } from "../../ffi/turbojpeg.ts";

const TJPF_RGB = 0;
const TJSAMP_422 = 1; // what cameras send

/** Encodes rows of RGB bytes. */
export function encodeJpeg(rgb: Uint8Array<ArrayBuffer>, width: number, height: number) {
  const at = FFIType.u64_fast;
  const int = FFIType.i32;
  const tj = openLibrary(TURBOJPEG_SONAME, {
    tjInitCompress: { args: [], returns: FFIType.i64_fast },
    tjCompress2: { args: [at, at, int, int, int, int, at, at, int, int, int], returns: int },
    tjFree: { args: [at], returns: FFIType.void },
    tjDestroy: { args: [at], returns: int },
  });
  const out = new BigUint64Array(new ArrayBuffer(16));
  const outAt = addressOf(out);
  const handle = tj.tjInitCompress();
  const r = tj.tjCompress2(
    handle,
    addressOf(rgb),
    width,
    width * 3,
    height,
    TJPF_RGB,
    outAt,
    outAt + 8,
    TJSAMP_422,
    95,
    0,
  );
  if (r !== 0) throw new Error("tjCompress2 failed");
  const from = Number(out[0]);
  const view = viewOf(from, Number(out[1]));
  const jpeg = view.slice();
  view.buffer.transfer(0);
  tj.tjFree(from);
  tj.tjDestroy(handle);
  return jpeg;
}
