// A peer whose kernel answers is not gone, however long its program pauses; a peer whose machine is gone is noticed within
// 10 s. The machines are network namespaces, which need root: elsewhere these tests are skipped.
import { expect, test } from "bun:test";
import { Fd } from "../../ffi/fd.ts";
import { Tool } from "../support/tool.ts";
import { TwoHosts } from "../support/two-hosts.ts";
import { Xvfb } from "../support/xvfb.ts";

const PAUSE_MS = 14_000;
const NOTICED_MS = 10_000;

test.skipIf(!TwoHosts.permitted())(
  "a receiver that is paused for 14 s keeps its sender, and a link that is cut is noticed within 10 s by both ends, in all six tools",
  async () => {
    using owned = new DisposableStack();
    using hosts = TwoHosts.make();
    await using screen = await Xvfb.start();
    await using tools = new AsyncDisposableStack();
    /** A region in a memfd, which both programs open as a file of this process. */
    const region = (name: string) => {
      const memory = owned.use(Fd.memory(name, 16 * 2 ** 20));
      return ["--share", "dax", "--region", `/proc/${process.pid}/fd/${memory.number}`];
    };
    const env = { DISPLAY: screen.display, WAYLAND_DISPLAY: undefined, SDL_VIDEODRIVER: undefined };
    let port = 5000;
    const pair = async (from: string, to: string, size: string, shared: string[] = []) => {
      port += 1;
      const at = ["-p", `${port}`, ...shared, "--stats", "0"];
      const under = { under: hosts.on("far"), env };
      const receiver = tools.use(await Tool.start(to, ["-l", TwoHosts.far, ...at], under));
      await receiver.says("listening on");
      const [width = "", height = ""] = size.split("x");
      const picture = ["-d", "testsrc", "-W", width, "-H", height, "-r", "30"];
      const words = [...picture, "-a", TwoHosts.far, ...at];
      const sender = tools.use(await Tool.start(from, words, { under: hosts.on("near") }));
      await receiver.says(" sends ");
      return { from, to, sender, receiver };
    };
    const running = [
      await pair("sender", "receiver", "160x120"),
      await pair("sender", "receiver_sdl", "160x120"),
      await pair("sender_zc", "receiver_zc", "160x120", region("one")),
      await pair("sender_zc", "receiver_zc_sdl", "160x120", region("two")),
    ];
    const paused = [
      await pair("sender", "receiver", "640x480"), // its window closes
      await pair("sender_zc", "receiver_zc", "160x120", region("three")), // buffers stay lent
    ];
    for (const { receiver } of paused) receiver.signal("SIGSTOP");
    await Bun.sleep(PAUSE_MS);
    for (const { sender } of paused) expect(sender.stderr).not.toContain("error");

    hosts.cut();
    const cutMs = performance.now();
    const ends = [
      ...[...running, ...paused].map(({ from, sender }) => ({ name: from, tool: sender })),
      ...running.map(({ to, receiver }) => ({ name: to, tool: receiver })),
    ].map(async ({ name, tool }) => {
      const { status, stderr } = await tool.ended();
      return { name, status, inTime: performance.now() - cutMs < NOTICED_MS, stderr };
    });
    for (const { name, status, inTime, stderr } of await Promise.all(ends)) {
      expect({ name, status, inTime }, stderr).toEqual({ name, status: 1, inTime: true });
      expect(stderr).toMatch(/error: (send|recv) .*: (ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)/);
    }
    for (const { receiver } of paused) receiver.signal("SIGCONT");
  },
);
