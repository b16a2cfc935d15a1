// Controls: vidioc-queryctrl.rst, vidioc-g-ctrl.rst, vidioc-g-ext-ctrls.rst. Guests before Linux 6.15 use the old calls as well.
import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import {
  classOf,
  fitted,
  fromShort,
  isLong,
  queried,
  read,
  rowOf,
  shortOf,
  someControls,
  write,
} from "./control-values.ts";
import type { ControlRow, Controls } from "./controls.ts";
import { type IoctlCall, type IoctlRow, ioctlRow } from "./ioctl-row.ts";
import { check } from "./media-error.ts";

/** Controls in one call; drivers of cameras have a few dozen. */
export const MAX_CONTROLS = 256;

type ExtControls = Struct<typeof v.v4l2ExtControls.fields>;
type ExtControl = Struct<typeof v.v4l2ExtControl.fields>;

/** One entry of the array, with its control and the value that was checked. */
interface Entry {
  readonly q: ExtControl;
  readonly row: ControlRow;
  readonly value: bigint;
}

function describeShort(q: Struct<typeof v.v4l2Queryctrl.fields>, row: ControlRow): void {
  q.$bytes.fill(0);
  q.id = row.id;
  q.type = row.type;
  q.name = row.name;
  q.flags = row.flags;
  if (isLong(row)) return; // its range does not fit
  q.minimum = shortOf(row.minimum);
  q.maximum = shortOf(row.maximum);
  q.step = shortOf(row.step);
  q.default_value = shortOf(row.default);
}

function describe(q: Struct<typeof v.v4l2QueryExtCtrl.fields>, row: ControlRow): void {
  q.$bytes.fill(0);
  q.id = row.id;
  q.type = row.type;
  q.name = row.name;
  q.minimum = row.minimum;
  q.maximum = row.maximum;
  q.step = row.step;
  q.default_value = row.default;
  q.flags = row.flags;
  if (row.type === v.V4L2_CTRL_TYPE_CTRL_CLASS) return;
  q.elem_size = isLong(row) ? 8 : 4;
  q.elems = 1;
}

/** The array behind the struct. `set`: its values are checked as well. Throws MediaError; error_idx says where. */
function entriesOf(
  q: ExtControls,
  tail: Uint8Array<ArrayBuffer>,
  controls: Controls,
  set: boolean,
): Entry[] {
  const { which, count } = q;
  const found: Entry[] = [];
  for (let i = 0; i < count; i++) {
    q.error_idx = i;
    const one = v.v4l2ExtControl.over(tail, i * v.v4l2ExtControl.size);
    const fits = which === 0 || which === v.V4L2_CTRL_WHICH_DEF_VAL || classOf(one.id) === which;
    check(fits, "the control is of another class");
    check(one.size === 0, "no control here has a payload");
    const row = rowOf(controls, one.id);
    const given = isLong(row) ? one.value64 : fromShort(row, one.value);
    found.push({ q: one, row, value: set ? fitted(row, given) : given });
  }
  return found;
}

/** What all three calls check first; then `run` gets the entries. */
function extControls(
  q: ExtControls,
  { node, tail }: IoctlCall,
  { set, changes }: { readonly set: boolean; readonly changes: boolean },
  run: (controls: Controls, entries: readonly Entry[]) => void,
): void {
  const controls = someControls(node.source.controls);
  const { which, count } = q;
  check(count <= MAX_CONTROLS, "too many controls in one call");
  check(tail.length === count * v.v4l2ExtControl.size, "the array is not as long as its count");
  q.error_idx = count;
  const isDefault = which === v.V4L2_CTRL_WHICH_DEF_VAL;
  check(!(isDefault && set), "default values cannot be set");
  const known = which === 0 || isDefault || controls.rows.some(({ id }) => classOf(id) === which);
  check(known, "there is no control of that class");
  const validated = set && !changes; // TRY_EXT_CTRLS says which control is wrong
  let entries: readonly Entry[];
  try {
    entries = entriesOf(q, tail, controls, set);
  } catch (error) {
    if (!validated) q.error_idx = count;
    throw error;
  }
  q.error_idx = count;
  run(controls, entries);
}

function put({ q, row }: Entry, value: bigint): void {
  if (isLong(row)) q.value64 = value;
  else {
    q.value64 = 0n; // the upper half of the union
    q.value = shortOf(value);
  }
}

export const controlIoctls: readonly IoctlRow[] = [
  ioctlRow(v.VIDIOC_QUERYCTRL, (q, { node }) =>
    describeShort(q, queried(someControls(node.source.controls), q.id)),
  ),
  ioctlRow(v.VIDIOC_QUERY_EXT_CTRL, (q, { node }) =>
    describe(q, queried(someControls(node.source.controls), q.id)),
  ),
  ioctlRow(v.VIDIOC_QUERYMENU, (q, { node }) => {
    const { id, index } = q;
    const row = rowOf(someControls(node.source.controls), id);
    const entry = row.menu.find((one) => one.index === index);
    check(entry !== undefined, "the menu has no such entry");
    q.$bytes.fill(0);
    q.id = id;
    q.index = index;
    if (typeof entry.value === "string") q.name = entry.value;
    else q.value = entry.value;
  }),
  ioctlRow(v.VIDIOC_G_CTRL, (q, { node }) => {
    const controls = someControls(node.source.controls);
    const row = rowOf(controls, q.id);
    check(!isLong(row), "the value does not fit into 32 bits");
    q.value = shortOf(read(controls, row));
  }),
  ioctlRow(v.VIDIOC_S_CTRL, (q, { node, session }) => {
    const controls = someControls(node.source.controls);
    const row = rowOf(controls, q.id);
    check(!isLong(row), "the value does not fit into 32 bits");
    const value = write(controls, row, fitted(row, fromShort(row, q.value)));
    q.value = shortOf(value);
    node.controlChanged(session, row.id, value);
  }),
  ioctlRow(
    v.VIDIOC_G_EXT_CTRLS,
    (q, call) => {
      const isDefault = q.which === v.V4L2_CTRL_WHICH_DEF_VAL;
      extControls(q, call, { set: false, changes: false }, (controls, entries) => {
        for (const entry of entries)
          put(entry, isDefault ? entry.row.default : read(controls, entry.row));
      });
    },
    "array",
  ),
  ioctlRow(
    v.VIDIOC_TRY_EXT_CTRLS,
    (q, call) =>
      extControls(q, call, { set: true, changes: false }, (_, entries) => {
        for (const entry of entries) put(entry, entry.value);
      }),
    "array",
  ),
  ioctlRow(
    v.VIDIOC_S_EXT_CTRLS,
    (q, call) =>
      extControls(q, call, { set: true, changes: true }, (controls, entries) => {
        for (const [i, entry] of entries.entries()) {
          q.error_idx = i; // where it stopped, when the device refuses
          const value = write(controls, entry.row, entry.value);
          put(entry, value);
          call.node.controlChanged(call.session, entry.row.id, value);
        }
        q.error_idx = entries.length;
      }),
    "array",
  ),
];
