// Asks the display servers that SDL would connect to whether they answer. Xlib and libwayland wait for the first answer without
// a limit, and inside of them no signal ends the tool. X Window System Protocol, "Connection Setup"; wayland.xml, wl_display.sync.
import { connect, type NetConnectOpts } from "node:net";
import { join } from "node:path";
import { log } from "../cli/log.ts";
import { UnavailableError } from "../errors.ts";
import type { Loop } from "../loop.ts";
import { x11Cookie } from "./x11-cookie.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A server that is busy with a login needs a second or two. */
const ANSWER_LIMIT_MS = 5000;
/** How often the runtime runs, which has these sockets. */
const COLLECT_MS = 5;

/** TCP: of display 0. */
const FIRST_PORT = 6000;

interface Server {
  /** SDL's name of the driver. */
  readonly driver: string;
  /** How messages name it: "DISPLAY=:0". */
  readonly name: string;
  /** Where it may listen; the first that accepts a connection is the one that the library uses. */
  readonly at: readonly NetConnectOpts[];
  /** A request that every server answers, if only with a refusal. */
  readonly request: Uint8Array;
}

type Answer = "answers" | "silent" | "absent";

/**
 * The driver that SDL has to use, because only its server answers; undefined when SDL may choose, and when `signal` aborts.
 * Throws UnavailableError when a server does not answer, and no other does.
 */
export async function answeringDriver(
  loop: Loop,
  env: Environment,
  signal: AbortSignal,
  limitMs = ANSWER_LIMIT_MS,
): Promise<string | undefined> {
  const servers = serversOf(env);
  using _collect = loop.every(COLLECT_MS, () => undefined);
  const answers = await Promise.all(servers.map((server) => ask(loop, server, signal, limitMs)));
  if (signal.aborted) return undefined;
  const silent = servers.filter((_, i) => answers[i] === "silent").map(({ name }) => name);
  if (silent.length === 0) return undefined;
  const text = `${silent.join(" and ")} did not answer in ${limitMs / 1000} s`;
  const other = servers.find((_, i) => answers[i] === "answers");
  if (other === undefined)
    throw new UnavailableError(`no display: ${text}; restart that server, or choose another`);
  log.warn(`display: ${text}; ${other.name} is used`);
  return other.driver;
}

/** The servers that SDL would connect to. */
function serversOf(env: Environment): readonly Server[] {
  const drivers = (env.SDL_VIDEODRIVER ?? "").toLowerCase().split(",");
  const all = [x11Server(env), waylandServer(env)].filter((server) => server !== undefined);
  return all.filter(({ driver }) => drivers[0] === "" || drivers.includes(driver));
}

/** DISPLAY is "[protocol/][host]:number[.screen]": X(7), "Display Names". */
function x11Server(env: Environment): Server | undefined {
  const { DISPLAY: display = "" } = env;
  const [, protocol, host = "", number = ""] =
    /^(?:(\w*)\/)?(.*):(\d+)(?:\.\d+)?$/.exec(display) ?? [];
  const port = FIRST_PORT + Number(number);
  if (number === "" || port > 65_535) return undefined;
  const path = `/tmp/.X11-unix/X${number}`;
  const isLocal = host === "" || host === "unix" || protocol === "unix";
  return {
    driver: "x11",
    name: `DISPLAY=${display}`,
    at: isLocal
      ? [{ path: `\0${path}` }, { path }]
      : [{ host: host.replace(/^\[(.*)\]$/, "$1"), port }],
    request: x11Setup(x11Cookie(env, number)),
  };
}

/** Version 11.0, little-endian, with a cookie. */
function x11Setup(cookie: Uint8Array): Uint8Array {
  const name = cookie.length === 0 ? "" : "MIT-MAGIC-COOKIE-1";
  const padded = (length: number) => (length + 3) & ~3;
  const bytes = Buffer.alloc(12 + padded(name.length) + padded(cookie.length));
  bytes.write("l");
  bytes.writeUInt16LE(11, 2);
  bytes.writeUInt16LE(name.length, 6);
  bytes.writeUInt16LE(cookie.length, 8);
  bytes.write(name, 12);
  bytes.set(cookie, 12 + padded(name.length));
  return bytes;
}

/** The socket of wl_display_connect(3). A descriptor in WAYLAND_SOCKET is for one connection only, so it is left alone. */
function waylandServer(env: Environment): Server | undefined {
  const { WAYLAND_DISPLAY: display, WAYLAND_SOCKET: inherited, XDG_RUNTIME_DIR: folder } = env;
  const name = display || "wayland-0";
  if (inherited !== undefined || (folder === undefined && !name.startsWith("/"))) return undefined;
  return {
    driver: "wayland",
    name: `WAYLAND_DISPLAY=${name}`,
    at: [{ path: name.startsWith("/") ? name : join(folder ?? "", name) }],
    request: new Uint8Array(Uint32Array.of(1, 12 << 16, 2).buffer), // wl_display.sync, new object 2
  };
}

async function ask(
  loop: Loop,
  { at, request }: Server,
  signal: AbortSignal,
  limitMs: number,
): Promise<Answer> {
  for (const address of at) {
    const answer = await askAt(loop, address, request, signal, limitMs);
    if (answer !== "absent") return answer;
  }
  return "absent";
}

async function askAt(
  loop: Loop,
  address: NetConnectOpts,
  request: Uint8Array,
  signal: AbortSignal,
  limitMs: number,
): Promise<Answer> {
  const { promise, resolve } = loop.promise<Answer>();
  const silent = () => resolve("silent");
  using _limit = loop.after(limitMs, silent);
  signal.addEventListener("abort", silent, { once: true });
  if (signal.aborted) silent();
  const socket = connect(address, () => socket.write(request));
  socket.on("data", () => resolve("answers"));
  socket.on("error", () => resolve("absent"));
  socket.on("close", () => resolve("answers")); // SDL then has an error, and no endless wait
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", silent);
    socket.destroy();
  }
}
