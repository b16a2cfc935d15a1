// The HTTP server of --metrics: which requests it answers, and what limits a client that is slow, wrong or one of many.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIP } from "node:net";
import type { Place } from "./messages.ts";

/** Connections at the same time; a further one is closed at once. */
const MOST_CONNECTIONS = 32;
const LIMITS = {
  /** A client has this long for its headers, or between two requests. */
  headersMs: 5000,
  /** A connection on which nothing moves is closed. A whole request may take as long. */
  silentMs: 10_000,
} as const;
/** How often the runtime looks for clients that are too slow. Its own choice is 30 s. */
const CHECK_MS = 1000;
const MOST_HEADER_BYTES = 8192;

/** What is sent for a path. */
export interface Reply {
  readonly status?: number;
  readonly type: string;
  readonly body: string | Uint8Array;
}

export type Route = () => Reply | Promise<Reply>;

const text = (status: number, body: string): Reply => ({
  status,
  type: "text/plain; charset=utf-8",
  body: `${body}\n`,
});

/** No page may frame, script or read this one; it loads nothing from elsewhere. */
const securityHeaders = {
  "Cache-Control": "no-store",
  "Content-Security-Policy":
    "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
} as const;

export interface ServerOptions {
  readonly place: Place;
  readonly routes: Readonly<Record<string, Route>>;
  /** Called when a route has thrown; the client gets status 500. */
  readonly failed: (error: unknown) => void;
  /** Other limits, for tests. */
  readonly limits?: Readonly<Record<keyof typeof LIMITS, number>>;
}

/** Listens at `place`. Throws the error of the system call. */
export async function serve(options: ServerOptions): Promise<Server> {
  const { headersMs, silentMs } = options.limits ?? LIMITS;
  const server = createServer(
    {
      maxHeaderSize: MOST_HEADER_BYTES,
      headersTimeout: headersMs,
      requestTimeout: silentMs,
      connectionsCheckingInterval: CHECK_MS,
    },
    (request, response) => {
      answer(options, request).then(
        (reply) => send(request, response, reply),
        () => response.destroy(),
      );
    },
  );
  server.maxConnections = MOST_CONNECTIONS;
  server.keepAliveTimeout = headersMs;
  server.timeout = silentMs;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  const { place } = options;
  if ("path" in place) server.listen({ path: place.path }, resolve);
  else server.listen({ host: place.host, port: place.port }, resolve);
  await promise;
  return server;
}

async function answer(
  { place, routes, failed }: ServerOptions,
  { method, url = "/", headers }: IncomingMessage,
): Promise<Reply> {
  if (!isOurs(place, headers.host)) {
    return text(403, "this address is for this host only: use its IP address or localhost");
  }
  if (method !== "GET" && method !== "HEAD") return text(405, "only GET and HEAD are served");
  const [path = ""] = url.split("?");
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return text(404, `there is ${Object.keys(routes).join(", ")}`);
  try {
    return await route();
  } catch (error) {
    failed(error);
    return text(500, "this page has failed");
  }
}

/**
 * Whether a request on the loopback address names it. A page of the internet can give its own name this address, and its script
 * could then read what is served (DNS rebinding). A Unix socket and an address that was given can have any name.
 */
export function isOurs(place: Place, host: string | undefined): boolean {
  if ("path" in place || !place.loopback || host === undefined) return true;
  const [, v6, name = ""] = /^(?:\[(.*)\]|([^:]*))(?::\d+)?$/.exec(host) ?? [];
  if (v6 !== undefined) return isIP(v6) === 6;
  return isIP(name) !== 0 || [place.name?.toLowerCase(), "localhost"].includes(name.toLowerCase());
}

function send(request: IncomingMessage, response: ServerResponse, reply: Reply): void {
  const { status = 200, type, body } = reply;
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  response.writeHead(status, {
    ...securityHeaders,
    "Content-Type": type,
    "Content-Length": bytes.length,
    ...(status === 405 && { Allow: "GET, HEAD" }),
  });
  response.end(request.method === "HEAD" ? undefined : bytes);
}
