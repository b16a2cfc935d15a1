// A system in a folder, entered in namespaces of its own: mounts, processes, and a network that has only loopback. What is
// written there is in memory and gone at the end. Needs root, util-linux and iproute2.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Ended, Tool, within } from "./tool.ts";

/** Words: a folder of our own, the folder with the system. Prints the process's number outside, then waits for its end. */
const enter = `
set -e
read -r pid rest < /proc/self/stat
mount -t tmpfs -o mode=755 root "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mkdir -p dev proc tmp
mount -t proc proc proc
mount --bind /dev dev
mount -t tmpfs -o mode=1777 tmp tmp
ip link set lo up
echo "$pid"
exec sleep infinity
`;

/** Namespaces that end with this process, however it ends. */
const alone = [
  ...["setpriv", "--pdeathsig", "KILL", "--"],
  ...["unshare", "-m", "-n", "-p", "-f", "--kill-child"],
];

export class SystemRoot implements AsyncDisposable {
  readonly #holder: Bun.Subprocess;
  readonly #folder: string;
  readonly #pid: string;

  private constructor(holder: Bun.Subprocess, folder: string, pid: string) {
    this.#holder = holder;
    this.#folder = folder;
    this.#pid = pid;
  }

  /** Enters the system in `lower`, which stays as it is. Throws one line when this host cannot. */
  static async enter(lower: string): Promise<SystemRoot> {
    const folder = mkdtempSync(join(tmpdir(), "framepass-root-"));
    const holder = Bun.spawn([...alone, "sh", "-c", enter, "sh", folder, lower], {
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const reader = holder.stdout.getReader();
    const first = await within(reader.read(), "the system root");
    const pid = new TextDecoder().decode(first.value).trim();
    if (/^\d+$/.test(pid)) return new SystemRoot(holder, folder, pid);
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`unshare: ${(await new Response(holder.stderr).text()).trim()}`);
  }

  /** The path of a file of the system for this process. */
  file(path: string): string {
    return join(`/proc/${this.#pid}/root`, this.#folder, "root", path);
  }

  /** Starts a program of the system, in its folder "/". */
  start(words: readonly string[]): Promise<Tool> {
    const inside = ["nsenter", "-m", "-n", "-p", "-t", this.#pid, "chroot"];
    const under = [...inside, join(this.#folder, "root")];
    const [path = "", ...rest] = words;
    const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
    return Tool.start("", rest, { under, path, env: { ...env, LC_ALL: "C.UTF-8", HOME: "/root" } });
  }

  /** Runs a program of the system to its end. */
  async run(words: readonly string[], limitMs = 60_000): Promise<Ended> {
    await using tool = await this.start(words);
    return await tool.ended(limitMs);
  }

  /** Runs it, and throws what it said when its status is not 0. Answers its stdout. */
  async ok(words: readonly string[], limitMs = 60_000): Promise<string> {
    const { status, stdout, stderr } = await this.run(words, limitMs);
    if (status === 0) return stdout;
    throw new Error(`${words.join(" ")}: status ${status}\n${stdout}${stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#holder.kill("SIGKILL"); // all processes in there end with it
    await within(this.#holder.exited, "the end of the system root");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
