// `bun run demo`: builds, sends 300 pictures of the built-in source over a real connection on this machine, lends
// 300 more without copying them, compares every byte of every one with what was painted, and saves the last as a PNG.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureNpm, projectDir } from "./ensure.ts";

const wish = { width: 640, height: 480, format: "YUYV", fps: 30, frames: 300 };
/** The zero-copy part runs at a higher rate, so that the demonstration takes less time. */
const LENT_FPS = 100;
const dist = join(projectDir, "dist");
/** Holds the received pictures, 184 MB, while the demonstration runs. */
const work = mkdtempSync(join(tmpdir(), "framepass-demo-"));
const raw = join(work, "pictures");
const png = join(dist, "demo.png");

type Stopped = Readonly<Record<string, unknown>>;

const running = new Set<Bun.Subprocess>();
// However the demonstration ends, also by ctrl-C.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  rmSync(work, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => process.exit(130));

/** Starts a tool with --json; `summary` is its last record. */
function start(tool: string, words: readonly string[]) {
  console.log(`$ ${tool} ${words.join(" ").replaceAll(`${work}/`, "")}`);
  const child = Bun.spawn([join(dist, tool), ...words, "--json"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  });
  running.add(child);
  return async (): Promise<Stopped> => {
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const status = await child.exited;
    running.delete(child);
    const reason = err.trim().split("\n").at(-1);
    if (status !== 0)
      throw new Error(`${tool} ended with ${child.signalCode ?? status}: ${reason}`);
    return JSON.parse(out.trim().split("\n").at(-1) ?? "{}");
  };
}

/** A free TCP port of the loopback address. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}

/** Compares what has arrived, and saves the last picture. Throws at the first difference. */
async function compare(frames: number): Promise<void> {
  const { comparePictures } = await import("./compare-pictures.ts");
  await Bun.write(png, await comparePictures(raw, frames, wish));
}

/** Runs the demonstration. Throws when a picture, a count or an exit status is wrong. */
export async function runDemo(): Promise<void> {
  ensureNpm();
  const build = Bun.spawnSync([process.execPath, "run", "build"], {
    cwd: projectDir,
    stdin: "ignore",
  });
  if (build.exitCode !== 0) throw new Error(`bun run build: ${build.stderr.toString().trim()}`);
  const { width, height, format, fps, frames } = wish;
  const picture = ["-W", String(width), "-H", String(height), "-f", format];
  const count = ["-n", String(frames), "--reconnect"]; // the receiver may not listen yet
  const port = String(freePort());
  const received = start("receiver", ["-l", "127.0.0.1", "-p", port, "--verify", "-o", raw]);
  const sent = start("sender", [
    ...["-d", "testsrc", ...picture, "-r", String(fps)],
    ...["-a", "127.0.0.1", "-p", port, ...count],
  ]);
  const [receiver, sender] = await Promise.all([received(), sent()]);
  await compare(Number(receiver.frames));
  console.log(
    `sent      ${sender.frames} frames of ${width}x${height} ${format}, ${sender.bytes} bytes`,
  );
  console.log(`received  ${receiver.frames} frames, every byte equal to what was painted`);
  console.log(`rate      ${digits(receiver, "fps")} frames/s, asked for ${fps}`);
  console.log(`latency   ${percentiles(receiver)} from capture to received`);
  console.log(`dropped   ${sender.drops} by the sender, ${receiver.drops} on the way`);
  console.log(`picture   ${png.replace(`${projectDir}/`, "")}, the last one received`);
  await lend([...picture, "-r", String(LENT_FPS), ...count]);
}

/** The zero-copy flow: the receiver reads the pictures where they were painted. */
async function lend(words: readonly string[]): Promise<void> {
  const address = `unix:${join(work, "socket")}`;
  const borrowed = start("receiver_zc", ["-l", address, "--verify", "-o", raw]);
  const lent = start("sender_zc", ["-d", "testsrc", ...words, "-a", address]);
  const [receiver, sender] = await Promise.all([borrowed(), lent()]);
  await compare(Number(receiver.frames));
  console.log(`lent      ${sender.frames} frames, ${sender.returned} came back, no byte was sent`);
  console.log(`read      ${receiver.frames} frames in place, every byte equal to what was painted`);
  console.log(`latency   ${percentiles(receiver)} from capture to read`);
}

const digits = (record: Stopped, field: string) => Number(record[field]).toFixed(2);

const percentiles = (record: Stopped) =>
  [50, 95, 99].map((p) => `p${p} ${digits(record, `latency_p${p}_ms`)} ms`).join(", ");

if (import.meta.main) {
  await runDemo().catch((error: Error) => {
    console.error(`demo: ${error.message}`);
    process.exitCode = 1;
  });
}
