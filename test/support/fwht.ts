// FWHT frames with a header and a body of zeros: code that cuts a byte stream into frames reads no more.

/** A frame of `width` x `height` with `body` bytes of nothing. */
export function fwhtFrame(width: number, height: number, body: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(44 + body));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x4f4f4f4f);
  view.setUint32(4, 0xffffffff);
  view.setUint32(8, 3); // version
  view.setUint32(12, width);
  view.setUint32(16, height);
  view.setUint32(40, body);
  return bytes;
}
