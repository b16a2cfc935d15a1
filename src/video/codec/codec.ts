// What a codec back-end and the streams of the device are to each other. The stream keeps the driver's resources,
// answers its commands and decides when buffers may be used; the session decodes.
import type { DeviceLoop } from "../../virtio/virtio-device.ts";
import type { Resource } from "../resource.ts";
import type { QueueType } from "../structs.ts";

/** A range of sizes, pixels. */
export interface Range {
  readonly min: number;
  readonly max: number;
  readonly step: number;
}
export interface FrameSizes {
  readonly width: Range;
  readonly height: Range;
}
/** One format of a queue, as QUERY_CAPABILITY tells it. */
export interface FormatCapability {
  /** virtio-video number. */
  readonly format: number;
  /** Never empty: drivers rely on a first size. */
  readonly sizes: readonly FrameSizes[];
  /** Bit i: works with the i-th format of the other queue. */
  readonly mask: bigint;
}
export interface Capabilities {
  readonly input: readonly FormatCapability[];
  readonly output: readonly FormatCapability[];
}

/** The state of one queue, as GET_PARAMS tells it. Sizes in bytes and pixels. */
export interface QueueParams {
  readonly format: number;
  readonly width: number;
  readonly height: number;
  readonly minBuffers: number;
  readonly maxBuffers: number;
  readonly crop: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  };
  readonly planeSize: number;
  readonly stride: number;
}

/** What a driver asks for with SET_PARAMS; anything in it may be absurd. */
export interface ParamsWish {
  readonly format: number;
  readonly width: number;
  readonly height: number;
  readonly planeSize: number;
}

/** What a session sees of its stream. */
export interface StreamClient {
  /** A drain was asked for and `drained` has not been called yet. */
  readonly draining: boolean;
  /** Queued bitstream that has not been taken. */
  readonly inputsWaiting: number;
  /** The next queued bitstream, now the session's until `inputDone`. */
  takeInput(): Resource | undefined;
  /** The bitstream was consumed, or (`failed`) could not be. */
  inputDone(resource: Resource, failed: boolean): void;
  /** Picture buffers that may be used now. */
  readonly outputsWaiting: number;
  /** The next picture buffer with room for `bytes`, now the session's until `outputDone`; smaller ones are sent back. */
  takeOutput(bytes: number): Resource | undefined;
  /** A taken picture buffer comes back unused; it is the next one again. */
  returnOutput(resource: Resource): void;
  /** Every resource the driver has made for a queue. */
  resources(queue: QueueType): readonly Resource[];
  /** Something came of itself: the stream pumps. */
  wake(): void;
  /** A picture of `size` bytes is in the buffer; `timestamp` is that of its bitstream. */
  outputDone(resource: Resource, timestamp: bigint, size: number, failed: boolean): void;
  /** Everything queued before the drain has come out. */
  drained(): void;
  /** The parameters of the OUTPUT queue are new; `midStream`: the old ones had been in use. */
  resolutionChanged(midStream: boolean): void;
  /** The decoder is broken for this stream. */
  failed(reason: string): void;
}

/** One stream's decoder. Its methods may throw SysError: the stream has failed then. */
export interface CodecSession extends Disposable {
  /** Also after the session has been disposed: drivers of a failed stream still ask. */
  params(queue: QueueType): QueueParams;
  /** Takes over as much of the wish as possible; the rest stays or is clamped. */
  configure(queue: QueueType, wish: ParamsWish): void;
  /** A control's value in virtio-video numbers; undefined where the codec has none. */
  control(number: number): number | undefined;
  /** Sets a control; false where the codec has none. */
  setControl(number: number, value: number): boolean;
  /** Something came: input, output buffers, a drain. */
  pump(): void;
  /** Drops everything taken of that queue: neither codec nor hardware touches it afterwards. */
  clear(queue: QueueType): void;
  /** The queue's resources are gone for good. */
  release(queue: QueueType): void;
  /** Whether the codec works on the resources' own memory. */
  zeroCopy(queue: QueueType): boolean;
  /** The memory table changed, but no resource of that queue moved: host addresses of others may be used anew. */
  forgetPlaces(queue: QueueType): void;
  /** Stops calling the stream and writing pictures, until `resume`. */
  pause(): void;
  resume(): void;
}

/** A codec, open and checked. One for the life of the tool, a session per stream. */
export interface CodecBackend extends Disposable {
  readonly name: string;
  /** At most 31 bytes, for the config space. */
  readonly deviceName: string;
  readonly capabilities: Capabilities;
  /** Values of a control that a coded format can have; undefined where it has no such control. */
  controlValues(number: number, format: number): readonly number[] | undefined;
  /** Starts a session. Throws SysError where the host cannot take one more. */
  open(loop: DeviceLoop, format: number, client: StreamClient): CodecSession;
}
