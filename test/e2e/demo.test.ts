// `bun run demo` where things are missing. The demonstration itself runs in `bun run ci`.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { comparePictures } from "../../scripts/compare-pictures.ts";
import { projectDir } from "../../scripts/ensure.ts";
import { oneInTime } from "../support/in-time.ts";
import { painted } from "../support/painted.ts";
import { TempDir } from "../support/tool.ts";

/** A network namespace whose only route leads nowhere: questions to a name server get no answer. */
const nowhere = [
  "ip link set lo up",
  "ip link add nowhere type veth peer name other",
  "ip link set nowhere up",
  "ip link set other up",
  "ip addr add 198.51.100.1/24 dev nowhere",
  "ip neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev nowhere", // else "no route to host" after 3 s
  "ip route add default via 198.51.100.2",
].join(" && ");

const permitted = (setup: string) =>
  Bun.which("unshare") !== null &&
  Bun.spawnSync(["unshare", "-n", "sh", "-c", setup]).exitCode === 0;

test.skipIf(!permitted(nowhere)).each([
  ["there is no network", "true"],
  ["no answer comes from the network", nowhere],
])(
  "when %s, the demo says in 5 s what it could not get, and leaves nothing",
  (_, setup) =>
    // 5 s, and room for a machine busy with other tests.
    oneInTime(5000 + 1500, async () => {
      using temp = new TempDir();
      const files = ["scripts", "package.json", "bun.lock"].map((name) => join(projectDir, name));
      expect(Bun.spawnSync(["cp", "-r", ...files, temp.path]).exitCode).toBe(0);
      const fromMs = performance.now();
      const words = ["sh", "-c", `${setup} && exec "$0" "$@"`];
      const demo = Bun.spawnSync(
        ["unshare", "-n", ...words, process.execPath, temp.file("scripts/demo.ts")],
        {
          cwd: temp.path,
          env: { ...process.env, BUN_INSTALL_CACHE_DIR: temp.file("cache"), TMPDIR: temp.path },
          timeout: 30_000,
        },
      );
      const tookMs = performance.now() - fromMs;
      const lines = demo.stderr.toString().trim().split("\n");
      expect({ status: demo.exitCode, lines }).toEqual({ status: 3, lines: [expect.any(String)] });
      expect(lines[0]).toMatch(
        /bun install could not get .* from the npm registry; connect to a network/,
      );
      const find = ["find", temp.path, "-name", "framepass-demo-*"];
      expect(Bun.spawnSync(find).stdout.toString()).toBe("");
      return tookMs;
    }),
  120_000,
);

test("the demo compares each picture with the one of its number: a dropped one is a drop, a wrong byte is not", async () => {
  using temp = new TempDir();
  const wish = { width: 64, height: 48, format: "YUYV" };
  const size = 64 * 48 * 2;
  const all = painted(wish, 9);
  const arrived = async (numbers: number[], change?: (bytes: Uint8Array) => void) => {
    const bytes = Buffer.concat(numbers.map((n) => all.subarray(n * size, (n + 1) * size)));
    change?.(bytes);
    await Bun.write(temp.file("raw"), bytes);
    return await comparePictures(temp.file("raw"), numbers.length, wish).then(
      () => "equal",
      (error: Error) => error.message,
    );
  };
  expect(await arrived([0, 1, 2, 3])).toBe("equal");
  expect(await arrived([0, 1, 3, 7, 8])).toBe("equal");
  expect(await arrived([2, 5])).toBe("equal");
  expect(await arrived([0, 2, 1])).toBe("picture 2 is 1, after number 2");
  expect(await arrived([0, 0])).toBe("picture 1 is 0, after number 0");
  const flip = (bytes: Uint8Array) => {
    bytes[size + 100] = (bytes[size + 100] ?? 0) ^ 1;
  };
  expect(await arrived([0, 2], flip)).toBe("picture 1 is torn, after number 0");
});
