import { expect, test } from "bun:test";
import fc from "fast-check";
import { shellWord } from "../../src/cli/shell.ts";
import { monitorNamed, sides } from "../../src/share/monitors.ts";

/** The words that bash makes of a line. */
function words(line: string): string[] {
  const child = Bun.spawnSync(["bash", "-c", `printf '%s\\0' ${line}`], {
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  return child.stdout.toString().split("\0").slice(0, -1);
}

test("a printed word is read back by a shell unchanged, on one line, whatever is in it", () => {
  const examples = [
    "",
    "a b",
    "it's",
    "$HOME",
    "`id`",
    '"',
    "\\",
    "a\nb",
    "\t",
    "*",
    "~",
    "é 漢",
    "-n",
    "a;b",
  ];
  const lines = examples.map(shellWord);
  expect(words(lines.join(" "))).toEqual(examples);
  for (const line of lines) expect(line).not.toMatch(/\p{Cc}/u);
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 20 }), (all) => {
      const whole = all.filter((word) => !word.includes("\0"));
      if (whole.length > 0) expect(words(whole.map(shellWord).join(" "))).toEqual(whole);
    }),
    { numRuns: 30 },
  );
});

test.each(["/tmp/my frames/f", "/tmp/a,b", "/tmp/it's, $HOME/f", "/tmp/f;id", "/tmp/a b,c=d,,e"])(
  "the QEMU options for %s are the same words after a shell, with the path whole",
  (path) => {
    for (const side of sides) {
      const line = monitorNamed("qemu").guest(side, { path, size: 4 << 20 });
      const list = words(line);
      const at = list.indexOf("-object");
      // QEMU reads ",," in a value as a comma.
      const values = (list[at + 1] ?? "").replaceAll(",,", "\0").split(",");
      const found = values.find((value) => value.startsWith("mem-path="));
      expect(found?.slice(9).replaceAll("\0", ",")).toBe(path);
      expect(list.slice(list.indexOf("-cpu"), list.indexOf("-cpu") + 2)).toEqual(["-cpu", "max"]);
      expect(list.filter((word) => word.startsWith("-"))).toHaveLength(5);
    }
  },
);
