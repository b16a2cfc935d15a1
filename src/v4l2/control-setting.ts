// `-c NAME=VALUE`: finds the control by the name that v4l2-ctl uses, checks the value, sets it.
import { SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { log } from "../cli/log.ts";
import { UnavailableError, UsageError } from "../errors.ts";
import { type Control, controlName, currentValue, listControls } from "./control-list.ts";
import { setLong, setText } from "./control-values.ts";
import { deviceAdvice, printable, type VideoDevice } from "./device.ts";

/** Sets controls in the order of `settings`, each a "NAME=VALUE". Throws UsageError or UnavailableError. */
export function applySettings(device: VideoDevice, settings: readonly string[]): void {
  for (const setting of settings) {
    const [, name = "", text = ""] = /^([^=]+)=(.*)$/s.exec(setting) ?? [];
    if (name === "") throw new UsageError(`--control must be NAME=VALUE, got "${setting}"`);
    // Read again each time: setting one control can change the range of another, and whether it is active.
    const control = findControl(device, name);
    const value = valueFrom(control, text);
    set(device, control, value);
    report(device, control, value);
  }
}

function findControl(device: VideoDevice, name: string): Control {
  const controls = listControls(device);
  const control = controls.find((one) => one.name === controlName(name));
  const { path } = device;
  if (control === undefined) {
    const names = controls.filter(({ type }) => type !== "compound").map((one) => one.name);
    const has = names.length === 0 ? "it has no controls" : `it has ${names.join(", ")}`;
    throw new UsageError(`--control ${path} has no control "${name}"; ${has}`);
  }
  if (control.type === "compound")
    throw new UsageError(
      `--control ${control.name} of ${path} is an array or a struct, which cannot be set`,
    );
  if (control.flags.includes("read-only"))
    throw new UsageError(`--control ${control.name} of ${path} is read-only`);
  return control;
}

const switches: Readonly<Record<string, bigint>> = {
  ...{ 0: 0n, off: 0n, false: 0n, no: 0n },
  ...{ 1: 1n, on: 1n, true: 1n, yes: 1n },
};

/** The value that `text` means. Throws UsageError with the range. */
function valueFrom(control: Control, text: string): bigint | string {
  const { type, min, max } = control;
  if (type === "button") return 0n; // any value presses it
  if (type === "str") {
    const { length } = new TextEncoder().encode(text);
    if (BigInt(length) >= min && BigInt(length) <= max) return text;
    throw wrongValue(control, text);
  }
  const value = type === "bool" ? switches[text.toLowerCase()] : numberFrom(control, text);
  if (value === undefined) throw wrongValue(control, text);
  if (type === "bitmask" ? (value & ~max) !== 0n : value < min || value > max)
    throw wrongValue(control, text);
  return value;
}

/** A decimal or hexadecimal number, or an entry of the control's menu. */
function numberFrom({ menu, type }: Control, text: string): bigint | undefined {
  if (/^-?(\d+|0x[\da-f]+)$/i.test(text)) {
    const value = text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
    const isMenu = type === "menu" || type === "intmenu";
    return isMenu && !menu.some(({ index }) => BigInt(index) === value) ? undefined : value;
  }
  const wanted = controlName(text);
  const item =
    menu.find((one) => one.text === text) ??
    menu.find((one) => wanted !== "" && controlName(one.text) === wanted);
  return item === undefined ? undefined : BigInt(item.index);
}

/** The values a control takes, as text: "0 to 255 in steps of 5". */
export function rangeOf({ type, min, max, step, menu }: Control): string {
  if (type === "bool") return "0 or 1 (off or on)";
  if (menu.length > 0) return menu.map(({ index, text }) => `${index} (${text})`).join(", ");
  if (type === "str") return `a text of ${min} to ${max} bytes`;
  if (type === "bitmask") return `bits of 0x${max.toString(16)}`;
  return `${min} to ${max}${step > 1n ? ` in steps of ${step}` : ""}`;
}

const wrongValue = (control: Control, text: string) =>
  new UsageError(`--control ${control.name} must be ${rangeOf(control)}, got "${text}"`);

function set(device: VideoDevice, control: Control, value: bigint | string): void {
  const { id, name, type, max } = control;
  let call = "VIDIOC_S_EXT_CTRLS";
  let r: number;
  if (typeof value === "string") r = setText(device, id, value, Number(max));
  else if (type === "int64") r = setLong(device, id, value);
  else {
    const argument = v.v4l2Control.alloc();
    argument.id = id;
    argument.value = Number(BigInt.asIntN(32, value));
    call = "VIDIOC_S_CTRL";
    r = device.ioctl(v.VIDIOC_S_CTRL, argument);
  }
  if (r >= 0) return;
  const error = new SysError(call, `${device.path} (${name})`, -r);
  const { code } = error;
  if (code === "ERANGE" || code === "EINVAL")
    throw new UsageError(`${error.message}; it must be ${rangeOf(control)}`, { cause: error });
  const governed = control.flags.includes("inactive");
  const advice = governed
    ? "another control decides it now, see framepass devices --controls"
    : code === "EACCES"
      ? "" // of a control, not of the node
      : deviceAdvice(error);
  throw new UnavailableError(`${error.message}${advice && `; ${advice}`}`, { cause: error });
}

/** Warns when the driver took another value, or when the value has no effect for now. */
function report(device: VideoDevice, control: Control, value: bigint | string): void {
  const { name, flags, type } = control;
  if (flags.includes("inactive"))
    log.warn(`${device.path}: ${name} is set, but inactive: another control decides it now`);
  const now = flags.includes("write-only") ? undefined : currentValue(device, control);
  if (type === "button" || now === undefined || now === asRead(value)) return;
  log.warn(`${device.path}: ${name} is ${now}, asked for ${value}`);
}

/** A value as `currentValue` gives it. */
const asRead = (value: bigint | string) => (typeof value === "string" ? printable(value) : value);
