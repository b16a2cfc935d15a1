// The controls of a host's camera, which guests see and set. Each value that a guest sends is checked (control-values.ts). Then
// a new structure is made of it for the host's driver.
import { errno, SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../errors.ts";
import { currentValue, menuOf, type RawControl, rawControls } from "../v4l2/control-list.ts";
import { setLong } from "../v4l2/control-values.ts";
import type { VideoDevice } from "../v4l2/device.ts";
import type { ControlRow, Controls, MenuEntry } from "./controls.ts";
import { MediaError } from "./media-error.ts";

/** Types with one number as their value, and headings. */
const offered = new Map<
  number,
  "int" | "int64" | "bool" | "menu" | "intmenu" | "bitmask" | "button"
>([
  [v.V4L2_CTRL_TYPE_INTEGER, "int"],
  [v.V4L2_CTRL_TYPE_BOOLEAN, "bool"],
  [v.V4L2_CTRL_TYPE_MENU, "menu"],
  [v.V4L2_CTRL_TYPE_BUTTON, "button"],
  [v.V4L2_CTRL_TYPE_INTEGER64, "int64"],
  [v.V4L2_CTRL_TYPE_BITMASK, "bitmask"],
  [v.V4L2_CTRL_TYPE_INTEGER_MENU, "intmenu"],
]);
/** Flags of types that are not offered. */
const NOT_OFFERED = v.V4L2_CTRL_FLAG_DISABLED | v.V4L2_CTRL_FLAG_HAS_PAYLOAD;

/** Calls `what` with the camera: the node that streams, or one that is opened for the call. Throws UnavailableError. */
export type WithCamera = <T>(what: (device: VideoDevice) => T) => T;

export class HostControls implements Controls {
  readonly #with: WithCamera;
  #rows: readonly ControlRow[];
  /** Values that guests have set, for a camera that is plugged in again. */
  readonly #set = new Map<number, bigint>();

  /** Reads the controls. Throws UnavailableError. */
  constructor(withCamera: WithCamera) {
    this.#with = withCamera;
    this.#rows = withCamera(rowsOf);
  }

  get rows(): readonly ControlRow[] {
    return this.#rows;
  }

  get(row: ControlRow): bigint | MediaError {
    return this.#try((device) => {
      const type = offered.get(row.type) ?? "int";
      const value = currentValue(device, { id: row.id, type, max: row.maximum });
      return typeof value === "bigint" ? value : new MediaError("EIO", `${row.name} has no value`);
    });
  }

  set(row: ControlRow, value: bigint): bigint | MediaError {
    return this.#try((device) => {
      const r = put(device, row, value);
      if (r < 0) return refusalOf(-r, row);
      this.#rows = rowsOf(device); // one control may have changed the flags of another
      this.#set.set(row.id, value);
      if ((row.flags & v.V4L2_CTRL_FLAG_WRITE_ONLY) !== 0) return value;
      const now = currentValue(device, {
        id: row.id,
        type: offered.get(row.type) ?? "int",
        max: row.maximum,
      });
      return typeof now === "bigint" ? now : value;
    });
  }

  /** Sets on `device`, which was opened again, what guests have set before. */
  restore(device: VideoDevice): void {
    for (const [id, value] of this.#set) {
      const row = this.#rows.find((one) => one.id === id);
      if (row !== undefined && row.type !== v.V4L2_CTRL_TYPE_BUTTON) put(device, row, value);
    }
  }

  #try(what: (device: VideoDevice) => bigint | MediaError): bigint | MediaError {
    try {
      return this.#with(what);
    } catch (error) {
      if (!(error instanceof UnavailableError || error instanceof SysError)) throw error;
      return new MediaError("EIO", error.message);
    }
  }
}

/** 0, or a negative errno. */
function put(device: VideoDevice, { id, type }: ControlRow, value: bigint): number {
  if (type === v.V4L2_CTRL_TYPE_INTEGER64) return setLong(device, id, value);
  const one = v.v4l2Control.alloc();
  one.id = id;
  one.value = Number(BigInt.asIntN(32, value));
  return device.ioctl(v.VIDIOC_S_CTRL, one);
}

function refusalOf(code: number, { name }: ControlRow): MediaError {
  const text = `the camera refuses ${name}`;
  if (code === errno.EACCES || code === errno.EPERM) return new MediaError("EACCES", text);
  if (code === errno.EBUSY) return new MediaError("EBUSY", text);
  if (code === errno.ERANGE) return new MediaError("ERANGE", text);
  return new MediaError(code === errno.EINVAL ? "EINVAL" : "EIO", text);
}

function rowsOf(device: VideoDevice): readonly ControlRow[] {
  return rawControls(device)
    .filter(({ type, flags }) => isOffered(type) && (flags & NOT_OFFERED) === 0)
    .map((raw) => rowOf(device, raw))
    .sort((a, b) => a.id - b.id);
}

const isOffered = (type: number) => offered.has(type) || type === v.V4L2_CTRL_TYPE_CTRL_CLASS;

function rowOf(device: VideoDevice, raw: RawControl): ControlRow {
  const { id, type, title: name, min: minimum, max: maximum, step, flags } = raw;
  const kind = offered.get(type);
  const isMenu = kind === "menu" || kind === "intmenu";
  const entries = isMenu ? menuOf(device, { id, type: kind, min: minimum, max: maximum }) : [];
  const menu = entries.map(
    ({ index, text }): MenuEntry => ({ index, value: kind === "intmenu" ? BigInt(text) : text }),
  );
  return { id, type, name, minimum, maximum, step, default: raw.default, flags, menu };
}
