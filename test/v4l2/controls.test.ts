// Controls as v4l2-ctl names them: listed with ranges, values and menus; set by name. The fakes answer as uvcvideo and vivid.
import { expect, spyOn, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { log } from "../../src/cli/log.ts";
import { UnavailableError, UsageError } from "../../src/errors.ts";
import { controlName, listControls } from "../../src/v4l2/control-list.ts";
import { applySettings } from "../../src/v4l2/control-setting.ts";
import { FakeNode, vivid, webcam } from "../support/fake-node.ts";

const silent = Object.assign(() => undefined, { raw: () => undefined });

/** What applySettings throws, and the warnings it logs. */
function outcome(node: FakeNode, ...settings: readonly string[]) {
  const warn = spyOn(log, "warn").mockImplementation(silent);
  try {
    applySettings(node, settings);
    return { warnings: warn.mock.calls.map(([text]) => String(text)) };
  } catch (error) {
    return { error: error as Error };
  } finally {
    warn.mockRestore();
  }
}

test.each([
  ["Brightness", "brightness"],
  ["White Balance, Automatic", "white_balance_automatic"],
  ["HDMI 000-0 Is Connected To", "hdmi_000_0_is_connected_to"],
  ["  (Exposure)  ", "exposure"],
  ["Übergröße 3", "bergr_e_3"],
  ["---", ""],
])("v4l2-ctl calls the control %p %p", (title, name) => {
  expect(controlName(title)).toBe(name);
});

test("a webcam's controls have the names, ranges, values and menus that v4l2-ctl prints, without headings", () => {
  const controls = listControls(new FakeNode(webcam()));
  expect(controls.map(({ name }) => name)).toEqual([
    "brightness",
    "white_balance_automatic",
    "power_line_frequency",
    "white_balance_temperature",
    "auto_exposure",
    "exposure_time_absolute",
    "focus_absolute",
  ]);
  expect(controls[0]).toMatchObject({
    type: "int",
    min: 0n,
    max: 255n,
    default: 128n,
    value: 128n,
  });
  expect(controls[2]).toMatchObject({ type: "menu", value: 2n });
  expect(controls[2]?.menu.map(({ text }) => text)).toEqual(["Disabled", "50 Hz", "60 Hz"]);
  expect(controls[4]?.menu.map(({ index }) => index)).toEqual([1, 3]); // 0 and 2 are left out
  expect(controls[5]?.flags).toEqual(["inactive"]);
});

test("every type of control that vivid has is read, also 64 bits, texts and bit masks", () => {
  const controls = listControls(new FakeNode(vivid()));
  const values = controls.map(({ name, type, value }) => [name, type, value]);
  expect(values).toEqual([
    ["button", "button", undefined],
    ["boolean", "bool", 1n],
    ["integer_64_bits", "int64", 0n],
    ["menu", "menu", 3n],
    ["string", "str", "abc"],
    ["bitmask", "bitmask", 0x80002000n],
    ["integer_menu", "intmenu", 2n],
    ["u32_1_element_array", "compound", undefined],
    ["read_only_integer", "int", 0n],
  ]);
  expect(controls[6]?.menu.map(({ text }) => text)).toEqual(["1", "-42", String(2n ** 40n)]);
});

test("a kernel without QUERY_EXT_CTRL, or a driver without NEXT_CTRL, has its controls listed as well", () => {
  const names = (node: FakeNode) => listControls(node).map(({ name }) => name);
  const all = names(new FakeNode(webcam()));
  expect(names(new FakeNode({ ...webcam(), old: true }))).toEqual(all);
  const plain = new FakeNode({ ...webcam(), old: true });
  const brightness = { id: 0x980900, name: "Brightness", type: 1, max: 255 };
  plain.answer(v.VIDIOC_QUERYCTRL, (q) => {
    if (q.id !== brightness.id) return -errno.EINVAL;
    q.type = brightness.type;
    q.$bytes.set(new TextEncoder().encode("Brightness\0"), 8);
    return 0;
  });
  expect(names(plain)).toEqual(["brightness"]);
});

test.each([
  ["int", "brightness=7", "Brightness", 7],
  ["int, hexadecimal", "brightness=0x20", "Brightness", 32],
  ["int, by its title", "Brightness=9", "Brightness", 9],
  ["bool", "white_balance_automatic=off", "White Balance, Automatic", 0],
  ["bool, as a number", "white_balance_automatic=0", "White Balance, Automatic", 0],
  ["menu, by number", "power_line_frequency=1", "Power Line Frequency", 1],
  ["menu, by text", "power_line_frequency=50 Hz", "Power Line Frequency", 1],
  ["menu, by text in v4l2-ctl's spelling", "auto_exposure=manual_mode", "Auto Exposure", 1],
])("-c sets a control: %s", (_, setting, title, value) => {
  const node = new FakeNode(webcam());
  expect(outcome(node, setting)).toEqual({ warnings: [] });
  expect(node.control(title).value).toBe(value);
});

test.each([
  ["integer_64_bits=-9223372036854775808", "Integer 64 Bits", -(2n ** 63n)],
  ["string=xyz", "String", "xyz"],
  ["bitmask=0x80000000", "Bitmask", -0x80000000],
  ["integer_menu=3", "Integer Menu", 3],
  ["integer_menu=1099511627776", "Integer Menu", undefined], // a number is the entry's number, as for v4l2-ctl
  ["menu=Menu Item 4", "Menu", 4],
])("-c %s on vivid", (setting, title, value) => {
  const node = new FakeNode(vivid());
  const { error } = outcome(node, setting);
  if (value === undefined) expect(error?.message).toContain("must be 1 (1), 2 (-42)");
  else expect([error, node.control(title).value]).toEqual([undefined, value]);
});

test("a button is pressed with any value", () => {
  const node = new FakeNode(vivid());
  expect(outcome(node, "button=1")).toEqual({ warnings: [] });
  expect(node.calls.get("VIDIOC_S_CTRL")).toBe(1);
});

test.each([
  ["brightness=300", 'brightness must be 0 to 255, got "300"'],
  ["brightness=", 'brightness must be 0 to 255, got ""'],
  ["brightness=1e2", 'must be 0 to 255, got "1e2"'],
  ["focus_absolute=-5", 'focus_absolute must be 0 to 250 in steps of 5, got "-5"'],
  ["white_balance_automatic=2", 'must be 0 or 1 (off or on), got "2"'],
  ["power_line_frequency=70 Hz", 'must be 0 (Disabled), 1 (50 Hz), 2 (60 Hz), got "70 Hz"'],
  ["auto_exposure=2", "must be 1 (Manual Mode), 3 (Aperture Priority Mode)"],
  ["brightness", '--control must be NAME=VALUE, got "brightness"'],
  ["=5", '--control must be NAME=VALUE, got "=5"'],
  ["exposur=5", 'has no control "exposur"; it has brightness, white_balance_automatic, power_line'],
])("-c %p is wrong usage, and the line says what is possible", (setting, text) => {
  const node = new FakeNode(webcam());
  const { error } = outcome(node, setting);
  expect(error).toBeInstanceOf(UsageError);
  expect(error?.message).toContain(text);
  expect(node.calls.get("VIDIOC_S_CTRL")).toBeUndefined();
});

test.each([
  ["read_only_integer=1", "is read-only"],
  ["u32_1_element_array=1", "is an array or a struct"],
  ["string=x", "must be a text of 2 to 4 bytes"],
  ["string=abcde", "must be a text of 2 to 4 bytes"],
  ["bitmask=1", "must be bits of 0x80002000"],
])("-c %s on vivid is refused: %s", (setting, text) => {
  const { error } = outcome(new FakeNode(vivid()), setting);
  expect(error).toBeInstanceOf(UsageError);
  expect(error?.message).toContain(text);
});

test("a device without controls says so", () => {
  const { error } = outcome(new FakeNode({ ...webcam(), controls: [] }), "brightness=1");
  expect(error?.message).toBe(
    '--control /dev/video0 has no control "brightness"; it has no controls',
  );
});

test("settings are applied in order, and each sees what the last one changed", () => {
  const node = new FakeNode(webcam());
  let active = false;
  const { controls = [] } = node.options;
  node.answer(v.VIDIOC_S_CTRL, (q) => {
    active ||= q.id === 0x9a0901 && q.value === 1;
    if (q.id === 0x9a0902 && !active) return -errno.EACCES;
    const one = controls.find(({ id }) => id === q.id);
    if (one !== undefined) one.value = q.value;
    return 0;
  });
  const { error } = outcome(node, "exposure_time_absolute=100");
  expect(error).toBeInstanceOf(UnavailableError);
  expect(error?.message).toContain("EACCES");
  expect(error?.message).toContain("another control decides it now");
  expect(outcome(node, "auto_exposure=1", "exposure_time_absolute=100").error).toBeUndefined();
  expect(node.control("Exposure Time, Absolute").value).toBe(100);
});

test("a value that the driver changes, and one that has no effect now, are warned of", () => {
  const node = new FakeNode(webcam());
  expect(outcome(node, "focus_absolute=7").warnings).toEqual([
    "/dev/video0: focus_absolute is 5, asked for 7",
  ]);
  expect(outcome(node, "exposure_time_absolute=9").warnings?.[0]).toContain("inactive");
});

test("a control that another program holds is one line with what to do", () => {
  const options = webcam();
  const grabbed = options.controls?.map((one) => ({ ...one, flags: v.V4L2_CTRL_FLAG_GRABBED }));
  const { error } = outcome(new FakeNode({ ...options, controls: grabbed ?? [] }), "brightness=1");
  expect(error?.message).toContain("VIDIOC_S_CTRL /dev/video0 (brightness): EBUSY");
  expect(error?.message).toContain("close the program that uses it");
});

test("a driver whose list of controls has no end, or goes in a circle, costs a bounded number of calls", () => {
  const endless = new FakeNode(webcam()).answer(v.VIDIOC_QUERY_EXT_CTRL, (q) => {
    q.id = (q.id & 0x0fff_ffff) + 1;
    q.type = v.V4L2_CTRL_TYPE_MENU;
    q.minimum = -(2n ** 63n);
    q.maximum = 2n ** 63n - 1n;
    return 0;
  });
  expect(listControls(endless).length).toBe(1024);
  expect(endless.total).toBeLessThan(400_000);
  for (const id of [0x980900, 0]) {
    const circle = new FakeNode(webcam()).answer(v.VIDIOC_QUERY_EXT_CTRL, (q) => {
      q.id = id;
      return 0;
    });
    circle.answer(v.VIDIOC_QUERYCTRL, () => -errno.EINVAL);
    expect(listControls(circle).length).toBeLessThan(2);
    expect(circle.total).toBeLessThan(60);
  }
});

test("names and texts without NUL or with control characters, and impossible ranges, are shown safely", () => {
  const node = new FakeNode({
    ...webcam(),
    controls: [
      { id: 0x980900, name: "\x1b[2J".padEnd(32, "x"), type: 1, min: 9, max: -9, step: -1 },
      {
        ...{ id: 0x980901, name: "Menu", type: 3, min: 2n ** 62n, max: 2n ** 62n + 300n },
        menu: {},
      },
      { id: 0x980902, name: "Text", type: 7, max: 2n ** 62n, value: "a\x1b[2J" },
      { id: 0x980903, name: "Less", type: 7, max: -5, value: "" },
      { id: 0x980904, name: "Unknown Type", type: 77 },
    ],
  });
  const controls = listControls(node);
  expect(controls[0]?.name).toBe(`2j${"x".repeat(28)}`);
  expect(controls[1]?.menu).toEqual([]);
  expect(controls[2]?.value).toBe("a?[2J");
  expect(controls[3]?.value).toBe("");
  expect(controls[4]?.type).toBe("compound");
  expect(outcome(node, `2j${"x".repeat(28)}=1`).error?.message).toContain("must be 9 to -9");
});
