// The interface between streams and codecs. The stream owns the driver's resources, answers its commands and decides when
// buffers may be used; the session decodes.
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
/** A format of a queue, for QUERY_CAPABILITY. */
export interface FormatCapability {
  /** virtio-video number. */
  readonly format: number;
  /** Never empty: drivers read the first size without a check. */
  readonly sizes: readonly FrameSizes[];
  /** Bit i: can be combined with format i of the other queue. */
  readonly mask: bigint;
}
export interface Capabilities {
  readonly input: readonly FormatCapability[];
  readonly output: readonly FormatCapability[];
}

/** The parameters of a queue, for GET_PARAMS. Sizes are in pixels, `planeSize` and `stride` in bytes. */
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

/** What a driver asks for with SET_PARAMS. No value has been checked. */
export interface ParamsWish {
  readonly format: number;
  readonly width: number;
  readonly height: number;
  readonly planeSize: number;
}

/** The stream, for its session. */
export interface StreamClient {
  /** Whether a drain was asked for and `drained` has not been called yet. */
  readonly draining: boolean;
  /** Number of queued bitstream buffers that were not taken yet. */
  readonly inputsWaiting: number;
  /** Takes the next bitstream buffer: the session has it until `inputDone`. */
  takeInput(): Resource | undefined;
  /** Returns a bitstream buffer; `failed`: it could not be decoded. */
  inputDone(resource: Resource, failed: boolean): void;
  /** Number of picture buffers that may be used now. */
  readonly outputsWaiting: number;
  /** Takes the next picture buffer with room for `bytes`: the session has it until `outputDone`. Smaller ones are returned. */
  takeOutput(bytes: number): Resource | undefined;
  /** Returns a picture buffer unused. It waits again in its old place. */
  returnOutput(resource: Resource): void;
  /** All resources of a queue. */
  resources(queue: QueueType): readonly Resource[];
  /** The session calls this when the decoder has finished a buffer or has an event; the stream then calls `pump`. */
  wake(): void;
  /** Returns a picture buffer with `size` bytes; `timestamp` is that of its bitstream. */
  outputDone(resource: Resource, timestamp: bigint, size: number, failed: boolean): void;
  /** The drain is complete: all pictures were returned. */
  drained(): void;
  /**
   * A header was read: the parameters of the OUTPUT queue were `before` and are now as `params` answers. The stream decides
   * whether the driver gets an event. `midStream`: pictures with the old parameters were decoded.
   */
  headerRead(before: QueueParams, midStream: boolean): void;
  /** The decoder cannot continue this stream. */
  failed(reason: string): void;
}

/** The decoder of a stream. When a method throws SysError, the stream has failed. */
export interface CodecSession extends Disposable {
  /** May be called after dispose: drivers still send GET_PARAMS for a failed stream. */
  params(queue: QueueType): QueueParams;
  /** Applies as much of the wish as possible; other values stay or are clamped. */
  configure(queue: QueueType, wish: ParamsWish): void;
  /** The value of a control, in virtio-video numbers. Undefined when the codec does not have it. */
  control(number: number): number | undefined;
  /** Sets a control. False when the codec does not have it. */
  setControl(number: number, value: number): boolean;
  /** Continues decoding: input, picture buffers or a drain have come. */
  pump(): void;
  /** Drops all buffers taken from that queue: neither codec nor hardware uses them afterwards. */
  clear(queue: QueueType): void;
  /** The resources of the queue were destroyed. */
  release(queue: QueueType): void;
  /**
   * Host addresses may mean other memory from now on. `moved`: resources of that queue are in another place now. From its
   * return nothing is written to the old places; it may return what the hardware has finished until `lateMs`.
   */
  forgetPlaces(queue: QueueType, moved?: { readonly lateMs: number }): void;
  /**
   * From its return until `resume` neither codec nor hardware writes to a resource, and it does not call the stream. It may
   * return what the hardware has finished until `lateMs` (of performance.now).
   */
  pause(lateMs: number): void;
  resume(): void;
}

/** A codec that was opened and checked. The tool has one; each stream has a session of it. */
export interface CodecBackend extends Disposable {
  readonly name: string;
  /** At most 31 bytes, for the config space. */
  readonly deviceName: string;
  readonly capabilities: Capabilities;
  /** The possible values of a control with a coded format. Undefined when there is no such control. */
  controlValues(number: number, format: number): readonly number[] | undefined;
  /** Opens a session. Throws SysError when the host cannot open one more. */
  open(loop: DeviceLoop, format: number, client: StreamClient): CodecSession;
}
