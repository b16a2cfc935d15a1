// A V4L2 node as a stateful decoder: whether it is one, and its formats. dev-decoder.rst, "Querying capabilities".
import { SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../errors.ts";
import { queryCapability, roles, type VideoDevice } from "./device.ts";
import { bufferType, setFormat } from "./format.ts";
import { listFormats } from "./format-list.ts";

export interface DecoderDevice {
  readonly card: string;
  readonly multiplanar: boolean;
  /** Buffer type of the queue that takes bitstream. */
  readonly bitstreamType: number;
  /** Buffer type of the queue that gives pictures. */
  readonly pictureType: number;
  /** Coded pixel formats, in the driver's order. */
  readonly coded: readonly number[];
}

/** The error for a node that is not a decoder we can serve. */
export function notADecoder({ path }: VideoDevice, why: string): UnavailableError {
  return new UnavailableError(`${path}: ${why}; ${roles.decoder.wrong}`);
}

/** Asks a node what it is. Throws UnavailableError unless it is a memory-to-memory device that streams. */
export function examineDecoder(device: VideoDevice): DecoderDevice {
  const { card, flags } = capabilityOf(device);
  const multiplanar = (flags & v.V4L2_CAP_VIDEO_M2M_MPLANE) !== 0;
  if (!multiplanar && (flags & v.V4L2_CAP_VIDEO_M2M) === 0)
    throw notADecoder(device, `${card} is not a memory-to-memory decoder`);
  if ((flags & v.V4L2_CAP_STREAMING) === 0) throw notADecoder(device, `${card} cannot stream`);
  const bitstreamType = bufferType("output", multiplanar);
  return {
    card,
    multiplanar,
    bitstreamType,
    pictureType: bufferType("capture", multiplanar),
    coded: listFormats(device, bitstreamType),
  };
}

function capabilityOf(device: VideoDevice) {
  try {
    return queryCapability(device);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw notADecoder(device, `${error.message}, not a video device`);
  }
}

/** The pixel formats a decoder makes of a coded format, which it is set to. */
export function listDecoded(
  device: VideoDevice,
  decoder: DecoderDevice,
  coded: number,
): readonly number[] {
  setFormat(device, decoder.bitstreamType, {
    fourcc: coded,
    width: 0,
    height: 0,
    planes: [{ sizeimage: 0, bytesperline: 0 }],
  });
  return listFormats(device, decoder.pictureType);
}
