// Runs the two processes of a way to move frames, and what the kernel says that they used. wait4(2), getrusage(2)
import { existsSync, readFileSync, rmSync } from "node:fs";
import type { Command, Way, Wish } from "./peer-programs.ts";

/** Processor time in seconds. */
export interface Used {
  readonly user: number;
  readonly system: number;
}

export interface Run {
  /** From the start of the process that connects until the receiver has ended. */
  readonly seconds: number;
  readonly send: Used;
  readonly receive: Used;
}

/** A run takes a few seconds. A process that does not end by then waits for ever. */
const LIMIT_MS = 20_000;
const POLL_MS = 2;
const LISTENING = "0A"; // TCP_LISTEN
const ACCEPTS = "00010000"; // __SO_ACCEPTCON

const total = ({ user, system }: Used) => user + system;
export const cpuOf = ({ send, receive }: Run) => total(send) + total(receive);

/** Whether a process listens there. proc_net(5) */
function listens(at: number | string): boolean {
  const lines = (path: string) =>
    existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(1) : [];
  if (typeof at === "string")
    return lines("/proc/net/unix").some(
      (line) => line.includes(` ${ACCEPTS} `) && line.endsWith(at),
    );
  const port = `:${at.toString(16).toUpperCase().padStart(4, "0")}`;
  return [...lines("/proc/net/tcp"), ...lines("/proc/net/tcp6")].some((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    return local.endsWith(port) && state === LISTENING;
  });
}

function start(words: readonly string[]) {
  const child = Bun.spawn([...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const text = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { child, text, program: words[0] };
}
type Started = ReturnType<typeof start>;

async function used({ child }: Started): Promise<Used> {
  await child.exited;
  const { cpuTime } = child.resourceUsage() ?? {};
  return { user: Number(cpuTime?.user) / 1e6, system: Number(cpuTime?.system) / 1e6 };
}

/** Sends the frames once. Throws when a process fails. */
export async function runWay({ name, command }: Way, wish: Wish): Promise<Run> {
  const about = command(wish);
  if (typeof about.at === "string") rmSync(about.at, { force: true });
  const listener = start(about[about.listens]);
  const started: Started[] = [listener];
  try {
    while (!listens(about.at)) {
      const { exitCode, signalCode } = listener.child; // one of them, when it has ended
      if (exitCode !== null || signalCode !== null) throw await failure(name, listener);
      await Bun.sleep(POLL_MS);
    }
    const from = performance.now();
    const other = start(about[about.listens === "send" ? "receive" : "send"]);
    started.push(other);
    const [send, receive] = about.listens === "send" ? [listener, other] : [other, listener];
    const received = await used(receive);
    const seconds = (performance.now() - from) / 1000;
    if (about.endless) send.child.kill("SIGTERM");
    const sent = await used(send);
    await check(name, about, wish, { send, receive });
    return { seconds, send: sent, receive: received };
  } finally {
    for (const { child } of started) child.kill("SIGKILL");
  }
}

async function check(
  name: string,
  about: Command,
  { frames }: Wish,
  { send, receive }: { readonly send: Started; readonly receive: Started },
): Promise<void> {
  if (receive.child.exitCode !== 0) throw await failure(name, receive);
  if (send.child.exitCode !== 0 && !about.endless) throw await failure(name, send);
  const [text] = await receive.text;
  const [, counted] = /"record":"stopped".*?"frames":(\d+)/.exec(text) ?? [];
  if (counted !== undefined && Number(counted) !== frames)
    throw new Error(`${name}: ${counted} of ${frames} frames arrived`);
}

async function failure(name: string, { child, text, program }: Started): Promise<Error> {
  const how = child.signalCode ?? `status ${child.exitCode}`;
  const line = (await text)[1].trim().split("\n").at(-1);
  return new Error(`${name}: ${program} ended with ${how}: ${line}`);
}

/** What one process uses that copies frames in memory. */
export async function runMemcpy(program: string, wish: Wish, passes: 1 | 2): Promise<Run> {
  const bytes = wish.width * wish.height * 2;
  const from = performance.now();
  const copies = start([program, `${bytes}`, `${wish.frames}`, `${passes}`]);
  const receive = await used(copies);
  if (copies.child.exitCode !== 0) throw await failure("memcpy", copies);
  const seconds = (performance.now() - from) / 1000;
  return { seconds, send: { user: 0, system: 0 }, receive };
}
