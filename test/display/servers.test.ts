// Display servers that accept a connection and never answer: frozen ones, and what listens on a forwarded port.
import { beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { answeringDriver, type Environment } from "../../src/display/servers.ts";
import { onLoop } from "../support/loop.ts";
import { freePort, run, TempDir, Tool } from "../support/tool.ts";
import { until } from "../support/until.ts";

beforeAll(() => ensureDebian(displayNeeds), 120_000);

/** A server that sends `answers[n]` to its nth connection, and nothing to the later ones. */
class FakeServer implements AsyncDisposable {
  readonly received: Buffer[] = [];
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(answers: readonly string[]) {
    this.#server = createServer((socket) => {
      const answer = answers[this.connections++];
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("data", (bytes) => {
        this.received.push(bytes as Buffer);
        if (answer !== undefined) socket.write(answer);
      });
    });
  }

  static async at(address: string | number, ...answers: string[]): Promise<FakeServer> {
    const fake = new FakeServer(answers);
    const { promise, resolve } = Promise.withResolvers<void>();
    if (typeof address === "string") fake.#server.listen(address, resolve);
    else fake.#server.listen(address, "127.0.0.1", resolve);
    await promise;
    return fake;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await promise;
  }
}

/** The port of an X server, and the DISPLAY that names it. */
function x11Place(): { readonly port: number; readonly DISPLAY: string } {
  const port = Number(freePort());
  return { port, DISPLAY: `127.0.0.1:${port - 6000}.0` };
}

/** Only these variables choose a display. */
const only = (variables: Environment) => ({
  env: {
    DISPLAY: undefined,
    WAYLAND_DISPLAY: undefined,
    WAYLAND_SOCKET: undefined,
    XDG_RUNTIME_DIR: undefined,
    SDL_VIDEODRIVER: undefined,
    ...variables,
  },
});

const driverOf = (env: Environment, limitMs: number) =>
  onLoop((loop, signal) => answeringDriver(loop, env, signal, limitMs), 20_000);

const silentLine = (variable: string) =>
  `receiver_sdl: no display: ${variable} did not answer in 5 s; restart that server, or choose another`;

test("a display server that never answers ends receiver_sdl and doctor with one line and status 3", async () => {
  using temp = new TempDir();
  const { port, DISPLAY } = x11Place();
  const WAYLAND_DISPLAY = temp.file("wayland-7");
  await using _x = await FakeServer.at(port);
  await using _wayland = await FakeServer.at(WAYLAND_DISPLAY);
  const [shown, examined] = await Promise.all([
    run("receiver_sdl", ["-p", freePort()], only({ DISPLAY })),
    run("framepass", ["doctor", "receiver_zc_sdl"], only({ WAYLAND_DISPLAY })),
  ]);
  expect(shown).toMatchObject({ status: 3, lines: [silentLine(`DISPLAY=${DISPLAY}`)] });
  expect(examined).toMatchObject({
    status: 3,
    lines: ["framepass doctor: receiver_zc_sdl cannot run here: SDL2"],
    stdout: expect.stringMatching(
      /^missing +SDL2 +no display: WAYLAND_DISPLAY=.* did not answer in 5 s/m,
    ),
  });
});

test("a signal ends a tool that waits for its display server", async () => {
  const { port, DISPLAY } = x11Place();
  await using x = await FakeServer.at(port);
  for (const [name, words] of [
    ["receiver_sdl", ["-p", freePort()]],
    ["framepass", ["doctor", "receiver_sdl"]],
  ] as const) {
    const before = x.connections;
    await using tool = await Tool.start(name, [...words], only({ DISPLAY }));
    await until("a connection", 20_000, () => x.connections > before || undefined);
    tool.signal("SIGTERM");
    expect((await tool.ended()).status).toBe(130);
  }
});

test("a signal ends a tool inside of SDL, which waits for a server that has stopped to answer", async () => {
  const { port, DISPLAY } = x11Place();
  await using x = await FakeServer.at(port, "\0");
  const { env } = only({ DISPLAY });
  await using tool = await Tool.start("receiver_sdl", ["-p", freePort()], { env });
  await until("the connection of SDL", 20_000, () => x.received.length >= 2 || undefined);
  tool.signal("SIGTERM");
  expect((await tool.ended()).status).toBe(128 + 15);
});

test("a server that answers is used where another does not, and SDL chooses where both answer", async () => {
  using temp = new TempDir();
  const WAYLAND_DISPLAY = temp.file("wayland-7");
  const { port, DISPLAY } = x11Place();
  await using _wayland = await FakeServer.at(WAYLAND_DISPLAY);
  await using x = await FakeServer.at(port, ..."xxx");
  const both = { DISPLAY, WAYLAND_DISPLAY, HOME: temp.path };
  expect(await driverOf(both, 300)).toBe("x11");
  expect(await driverOf({ DISPLAY, HOME: temp.path }, 20_000)).toBeUndefined();
  expect(await driverOf({ ...both, SDL_VIDEODRIVER: "X11" }, 20_000)).toBeUndefined();
  expect(x.connections).toBe(3);
});

test("no server is asked where SDL asks none, and one that is not there is left to SDL's message", async () => {
  using temp = new TempDir();
  const WAYLAND_DISPLAY = temp.file("wayland-7");
  await using wayland = await FakeServer.at(WAYLAND_DISPLAY);
  expect(await driverOf({ WAYLAND_DISPLAY, SDL_VIDEODRIVER: "dummy" }, 300)).toBeUndefined();
  expect(await driverOf({ WAYLAND_DISPLAY, WAYLAND_SOCKET: "7" }, 300)).toBeUndefined();
  expect(await driverOf({ DISPLAY: ":54321", XDG_RUNTIME_DIR: temp.path }, 300)).toBeUndefined();
  for (const DISPLAY of ["nonsense", "127.0.0.1:59536", `:${"9".repeat(300)}`, "[::1]:59535.0"])
    expect(await driverOf({ DISPLAY }, 20_000)).toBeUndefined();
  expect(await driverOf({ WAYLAND_DISPLAY: `/${"x".repeat(200)}` }, 20_000)).toBeUndefined();
  expect(wayland.connections).toBe(0);
});

test("the X server gets the cookie of its display, so that a forwarded one does not warn its user", async () => {
  using temp = new TempDir();
  const { port, DISPLAY } = x11Place();
  await using x = await FakeServer.at(port, "\0");
  const field = (text: string) => `\0${String.fromCharCode(text.length)}${text}`;
  const entry = (number: string, cookie: string) =>
    `\x01\0${["host", number, "MIT-MAGIC-COOKIE-1", cookie].map(field).join("")}`;
  const cookie = "0123456789abcdef";
  const others = entry("1", "fedcba9876543210");
  const XAUTHORITY = temp.file("authority");
  writeFileSync(XAUTHORITY, `${others}${entry(`${port - 6000}`, cookie)}\x01\0\0`, "latin1");
  expect(await driverOf({ DISPLAY, XAUTHORITY }, 20_000)).toBeUndefined();
  const setup = `l\0\x0b\0\0\0\x12\0\x10\0\0\0MIT-MAGIC-COOKIE-1\0\0${cookie}`;
  expect(Buffer.concat(x.received).toString("latin1")).toBe(setup);
});
