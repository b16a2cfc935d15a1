// The controls of a device with their ranges, values and menus: control.rst, extended-controls.rst, VIDIOC_QUERYCTRL.
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { getLong, getText } from "./control-values.ts";
import { getControl } from "./controls.ts";
import { printable, type VideoDevice } from "./device.ts";

/** The types by their numbers, as v4l2-ctl names them. */
const typeNames = new Map([
  [v.V4L2_CTRL_TYPE_INTEGER, "int"],
  [v.V4L2_CTRL_TYPE_BOOLEAN, "bool"],
  [v.V4L2_CTRL_TYPE_MENU, "menu"],
  [v.V4L2_CTRL_TYPE_BUTTON, "button"],
  [v.V4L2_CTRL_TYPE_INTEGER64, "int64"],
  [v.V4L2_CTRL_TYPE_STRING, "str"],
  [v.V4L2_CTRL_TYPE_BITMASK, "bitmask"],
  [v.V4L2_CTRL_TYPE_INTEGER_MENU, "intmenu"],
] as const);
type NamedType = typeof typeNames extends Map<number, infer N> ? N : never;
/** "compound": arrays and structs, which have no single value. */
export type ControlType = NamedType | "compound";

/** An entry of a menu: its number, and its text or the number that it stands for. */
export interface MenuItem {
  readonly index: number;
  readonly text: string;
}

export interface Control {
  readonly id: number;
  /** As v4l2-ctl spells it: "power_line_frequency". */
  readonly name: string;
  readonly type: ControlType;
  readonly min: bigint;
  readonly max: bigint;
  readonly step: bigint;
  readonly default: bigint;
  /** Undefined where there is none, or the driver does not tell it. */
  readonly value: bigint | string | undefined;
  readonly menu: readonly MenuItem[];
  /** "read-only", "inactive", "grabbed", "write-only", "volatile". */
  readonly flags: readonly string[];
}

/** A device has a few dozen; a broken one may have no end. */
const MAX_CONTROLS = 1024;
/** Entries of a menu that are asked for. */
const MAX_MENU = 256;
const LAST_INDEX = 0xffff_ffff;
/** Controls before NEXT_CTRL existed: V4L2_CID_BASE and the next ones. */
const OLD_CONTROLS = 44;
const NEXT = (v.V4L2_CTRL_FLAG_NEXT_CTRL | v.V4L2_CTRL_FLAG_NEXT_COMPOUND) >>> 0;

const flagNames: readonly (readonly [number, string])[] = [
  [v.V4L2_CTRL_FLAG_GRABBED, "grabbed"],
  [v.V4L2_CTRL_FLAG_READ_ONLY, "read-only"],
  [v.V4L2_CTRL_FLAG_INACTIVE, "inactive"],
  [v.V4L2_CTRL_FLAG_WRITE_ONLY, "write-only"],
  [v.V4L2_CTRL_FLAG_VOLATILE, "volatile"],
];

/** The name of a control as v4l2-ctl spells it: lower case, one underscore for what is neither letter nor digit. */
export const controlName = (name: string) =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_|_$/g, "");

/** What QUERY_EXT_CTRL or QUERYCTRL answers: numbers and names as the driver has them. */
export interface RawControl extends Omit<Control, "name" | "type" | "value" | "menu" | "flags"> {
  readonly type: number;
  readonly title: string;
  readonly flags: number;
}

type Query = (device: VideoDevice, id: number) => RawControl | undefined;

const queryExtended: Query = (device, id) => {
  const q = v.v4l2QueryExtCtrl.alloc();
  q.id = id;
  return device.ioctl(v.VIDIOC_QUERY_EXT_CTRL, q) < 0 ? undefined : answerOf(q, (n) => n);
};

/** For drivers without QUERY_EXT_CTRL: before Linux 3.17. */
const queryOld: Query = (device, id) => {
  const q = v.v4l2Queryctrl.alloc();
  q.id = id;
  return device.ioctl(v.VIDIOC_QUERYCTRL, q) < 0 ? undefined : answerOf(q, BigInt);
};

function answerOf<N extends bigint | number>(
  q: {
    id: number;
    type: number;
    name: string;
    flags: number;
    minimum: N;
    maximum: N;
    step: N;
    default_value: N;
  },
  big: (n: N) => bigint,
): RawControl {
  const unsigned = q.type === v.V4L2_CTRL_TYPE_BITMASK;
  const bits = (n: N) => (unsigned ? BigInt.asUintN(32, big(n)) : big(n));
  const { id, type, name: title, flags } = q;
  const [min, max] = [bits(q.minimum), bits(q.maximum)];
  return { id, type, title, flags, min, max, step: big(q.step), default: bits(q.default_value) };
}

/** The controls of a device, in the driver's order, with disabled ones and headings. */
export function rawControls(device: VideoDevice): readonly RawControl[] {
  const answers =
    chain(device, queryExtended, NEXT) ?? chain(device, queryOld, v.V4L2_CTRL_FLAG_NEXT_CTRL);
  return answers ?? oldControls(device);
}

/** The controls of a device, in the driver's order, without disabled ones and headings. */
export function listControls(device: VideoDevice): readonly Control[] {
  return rawControls(device)
    .filter(({ type }) => type !== v.V4L2_CTRL_TYPE_CTRL_CLASS)
    .filter(({ flags }) => (flags & v.V4L2_CTRL_FLAG_DISABLED) === 0)
    .map((answer) => describe(device, answer));
}

/** Follows the chain of controls; undefined where the driver does not have the call or the flag. */
function chain(device: VideoDevice, query: Query, next: number): readonly RawControl[] | undefined {
  const found: RawControl[] = [];
  let id = 0;
  while (found.length < MAX_CONTROLS) {
    const answer = query(device, (id | next) >>> 0);
    // Ids grow, so a driver that answers the same one again has lost its place.
    if (answer === undefined || answer.id <= id) break;
    id = answer.id;
    found.push(answer);
  }
  return found.length === 0 ? undefined : found;
}

function oldControls(device: VideoDevice): readonly RawControl[] {
  const ids = Array.from({ length: OLD_CONTROLS }, (_, i) => v.V4L2_CID_BASE + i);
  return ids.flatMap((id) => queryOld(device, id) ?? []);
}

function describe(device: VideoDevice, answer: RawControl): Control {
  const { id, title, min, max, step } = answer;
  const payload = (answer.flags & v.V4L2_CTRL_FLAG_HAS_PAYLOAD) !== 0;
  const named = typeNames.get(answer.type as never);
  const type = named === undefined || (payload && named !== "str") ? "compound" : named;
  const isMenu = type === "menu" || type === "intmenu";
  const readable = (answer.flags & v.V4L2_CTRL_FLAG_WRITE_ONLY) === 0;
  return {
    id,
    name: controlName(title),
    type,
    ...{ min, max, step, default: answer.default },
    value: readable ? currentValue(device, { id, type, max }) : undefined,
    menu: isMenu ? menuOf(device, { id, type, min, max }) : [],
    flags: flagNames.flatMap(([flag, name]) => ((answer.flags & flag) === 0 ? [] : name)),
  };
}

/** The value of a control now. Undefined for a button and for a compound one. */
export function currentValue(
  device: VideoDevice,
  { id, type, max }: Pick<Control, "id" | "type" | "max">,
): bigint | string | undefined {
  if (type === "button" || type === "compound") return undefined;
  if (type === "int64") return getLong(device, id);
  if (type === "str") {
    const text = getText(device, id, Number(max));
    return text === undefined ? undefined : printable(text);
  }
  const value = getControl(device, id);
  if (value === undefined) return undefined;
  return BigInt(type === "bitmask" ? value >>> 0 : value);
}

/** The entries that a menu has, with their texts or numbers. */
export function menuOf(
  device: VideoDevice,
  { id, type, min, max }: Pick<Control, "id" | "type" | "min" | "max">,
): readonly MenuItem[] {
  const items: MenuItem[] = [];
  const first = Math.max(0, Number(min));
  const last = Math.min(Number(max), LAST_INDEX);
  for (let entry = 0; entry < MAX_MENU && first + entry <= last; entry++) {
    const index = first + entry;
    const item = v.v4l2Querymenu.alloc();
    item.id = id;
    item.index = index;
    const r = device.ioctl(v.VIDIOC_QUERYMENU, item);
    if (r === -errno.ENOTTY) break;
    if (r < 0) continue; // this device leaves the entry out
    items.push({ index, text: type === "menu" ? printable(item.name) : `${item.value}` });
  }
  return items;
}
