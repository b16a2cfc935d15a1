// The HTTP server of --metrics against clients that are wrong, slow or many.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { serve } from "../../src/metrics/server.ts";
import { openDescriptors } from "../support/resources.ts";
import { within } from "../support/tool.ts";
import { until } from "../support/until.ts";

let server: Server;
let port: number;
const failures: string[] = [];
/** More than the buffers of a socket hold. */
const large = new Uint8Array(64 << 20);

beforeAll(async () => {
  server = await serve({
    place: { host: "127.0.0.1", port: 0, loopback: true },
    routes: {
      "/": () => ({ type: "text/html; charset=utf-8", body: "<p>hello</p>" }),
      "/large": () => ({ type: "application/octet-stream", body: large }),
      "/broken": () => {
        throw new Error("it is broken");
      },
    },
    failed: (error) => failures.push((error as Error).message),
  });
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const ask = (path: string, init: RequestInit = {}) =>
  fetch(`http://127.0.0.1:${port}${path}`, init);

const LIMIT_MS = 60_000;

/** A connection, and what has come on it. */
class Client implements Disposable {
  readonly socket: Socket;
  text = "";
  closed = false;
  constructor(at = port) {
    this.socket = connect(at, "127.0.0.1");
    this.socket.on("data", (data) => {
      this.text += data;
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.closed = true;
    });
  }
  async untilClosed(limitMs = 30_000): Promise<void> {
    const closed = new Promise<void>((resolve) => this.socket.once("close", () => resolve()));
    if (!this.closed) await within(closed, "the server to close a connection", limitMs);
  }
  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

test("GET has the body, HEAD the same headers without it", async () => {
  const [get, head] = [await ask("/?query=1"), await ask("/", { method: "HEAD" })];
  expect([get.status, head.status]).toEqual([200, 200]);
  expect(await get.text()).toBe("<p>hello</p>");
  expect(await head.text()).toBe("");
  for (const name of ["content-type", "content-length", "content-security-policy"])
    expect(head.headers.get(name), name).toBe(get.headers.get(name));
});

test("no other page may read, frame or script this one", async () => {
  for (const path of ["/", "/broken", "/nowhere"]) {
    const { headers } = await ask(path, { headers: { Origin: "https://evil.example" } });
    expect(headers.get("content-security-policy")).toStartWith("default-src 'none'; ");
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
    expect([...headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
  }
});

test.each(["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])("%s is refused", async (method) => {
  const { status, headers } = await ask("/", { method });
  expect(status).toBe(405);
  expect(headers.get("allow")).toBe("GET, HEAD");
});

test("a path that is not there is named as such, also one that every object has", async () => {
  for (const path of ["/nowhere", "/constructor", "/__proto__", "/x/..%2f"])
    expect((await ask(path)).status, path).toBe(404);
});

test("a page of the internet that gives its name this address gets nothing", async () => {
  const answer = await ask("/", { headers: { Host: "evil.example" } });
  expect(answer.status).toBe(403);
  expect(await answer.text()).not.toContain("hello");
});

test("a route that throws is status 500, is reported, and the server goes on", async () => {
  failures.length = 0;
  expect((await ask("/broken")).status).toBe(500);
  expect(failures).toEqual(["it is broken"]);
  expect((await ask("/")).status).toBe(200);
});

test("headers that are too large are refused, and the connection is closed", async () => {
  using client = new Client();
  client.socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(200_000)}\r\n\r\n`);
  await client.untilClosed();
  expect(client.text === "" || client.text.startsWith("HTTP/1.1 431")).toBe(true);
});

test("what is no HTTP is refused, and the connection is closed", async () => {
  using client = new Client();
  client.socket.write("\x16\x03\x01\x02\x00 hello\r\n\r\n");
  await client.untilClosed();
  expect(client.text === "" || client.text.startsWith("HTTP/1.1 400")).toBe(true);
});

test("a client whose headers are slow is closed by their own limit, however often it sends", async () => {
  const quick = await serve({
    place: { host: "127.0.0.1", port: 0, loopback: true },
    routes: {},
    failed: () => undefined,
    limits: { headersMs: 200, silentMs: 10 * LIMIT_MS },
  });
  try {
    using slow = new Client((quick.address() as AddressInfo).port);
    slow.socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
    const drip = setInterval(() => slow.socket.write("a"), 100);
    try {
      await slow.untilClosed(20_000); // the runtime alone would look after 30 s
    } finally {
      clearInterval(drip);
    }
    expect(slow.text).toStartWith("HTTP/1.1 408 ");
  } finally {
    quick.closeAllConnections();
    quick.close();
  }
});

test("silent clients, slow ones and those that do not read are closed, and at most 32 are connected", async () => {
  const before = openDescriptors();
  using silent = new Client();
  using slow = new Client();
  slow.socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
  const drip = setInterval(() => slow.socket.write("a"), 500);
  using deaf = new Client();
  deaf.socket.pause();
  deaf.socket.write("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const many = Array.from({ length: 200 }, () => new Client());
  for (const { socket } of many) socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  try {
    const open = () => [silent, slow, ...many].filter(({ closed }) => !closed).length;
    await until("most to be closed", LIMIT_MS, () => (open() < 32 ? true : undefined));
    await until("all to be closed", LIMIT_MS, () => (open() === 0 ? true : undefined));
    // Those that are answered stay connected for 5 s, so that few others take their places, even where this process is slow.
    const answered = many.filter(({ text }) => text.startsWith("HTTP/1.1 200"));
    expect(answered.length).toBeGreaterThan(0);
    expect(answered.length).toBeLessThanOrEqual(3 * 32);
    // What is left is the client that does not read; the server's end of it goes, too.
    await until("the server to close its sockets", LIMIT_MS, () =>
      openDescriptors() <= before + 1 ? true : undefined,
    );
    expect((await ask("/")).status).toBe(200);
  } finally {
    clearInterval(drip);
    for (const client of many) client[Symbol.dispose]();
  }
});
