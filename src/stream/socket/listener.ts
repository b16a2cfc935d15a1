// Listens on one address and accepts one sender at a time, if it is allowed.
import { lstatSync, unlinkSync } from "node:fs";
import { EPOLLIN } from "../../../ffi/epoll.ts";
import { SysError } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/linux/socket.ts";
import { type Sockaddr, unixPath } from "../../../ffi/sockaddr.ts";
import { accept, isServed, listenOn, localAddress } from "../../../ffi/socket.ts";
import { FoldedLog } from "../../cli/folded.ts";
import { log } from "../../cli/log.ts";
import { needed, PeerGone, UnavailableError } from "../../errors.ts";
import type { Loop } from "../../loop.ts";
import { refuse } from "../refusal.ts";
import { type Address, resolveUnless } from "./address.ts";
import { noticeLoss } from "./liveness.ts";

/** Most refused senders that receive the reason at the same time; others are closed at once. */
const MOST_LEAVING = 8;

/** Senders that wait to be accepted. */
const BACKLOG = 16;

/** What the process or the host may lack for a while: open files or memory. accept(2), "Errors". */
const SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);
/** How long an accept that failed for a shortage waits for the next try. */
const SHORTAGE_MS = 500;

/** An accepted sender. */
export interface Peer {
  readonly socket: Fd;
  readonly address: Sockaddr;
}

export class Listener implements Disposable {
  /** The address it listens on, with the port that the kernel chose for port 0. */
  readonly name: string;
  readonly #socket: Fd;
  readonly #loop: Loop;
  readonly #allowed: (peer: string) => boolean;
  readonly #path: { readonly path: string; readonly inode: number } | undefined;

  readonly #folded = new FoldedLog();
  readonly #closing = new AbortController();
  /** Refused senders whose connections are not closed yet. */
  #leaving = 0;

  /** `path` is the path of a Unix socket that this listener has made, and removes. */
  private constructor(loop: Loop, socket: Fd, allowed: (peer: string) => boolean, path?: string) {
    this.#loop = loop;
    this.#socket = socket;
    this.#allowed = allowed;
    const at = localAddress(socket);
    const bound = path ?? unixPath(at);
    this.name = bound === undefined ? at.name : `unix:${bound}`;
    this.#path = path === undefined ? undefined : { path, inode: lstatSync(path).ino };
  }

  /**
   * Listens on `address`, whose socket it owns if it has one. A Unix socket without a listening program is replaced. Undefined when `signal` aborts first.
   * Throws UnavailableError.
   */
  static async open(
    loop: Loop,
    address: Address,
    allowed: (peer: string) => boolean,
    signal: AbortSignal,
  ): Promise<Listener | undefined> {
    const { socket: passed, access } = address;
    if (passed !== undefined) return new Listener(loop, passed, allowed);
    const [at] = await resolveUnless(loop, address, signal);
    if (signal.aborted) return undefined;
    if (at === undefined) throw new UnavailableError(`${address.text}: the name has no address`);
    if (address.path !== undefined) removeStale(address.path, at);
    const socket = needed(() => listenOn(at, BACKLOG, access), listenAdvice);
    return needed(() => new Listener(loop, socket, allowed, address.path), listenAdvice);
  }

  /** Accepts from `socket`, which another program has bound and whose path it removes. Owns `socket`. */
  static inherited(loop: Loop, socket: Fd): Listener {
    return new Listener(loop, socket, () => true);
  }

  /** Waits for the next allowed sender; undefined when `signal` aborts first. */
  async next(signal: AbortSignal): Promise<Peer | undefined> {
    const { promise, resolve, reject } = this.#loop.promise<Peer | undefined>();
    let open = true; // accepts one only; others wait in the kernel's backlog
    const tryAccept = () => {
      try {
        const peer = this.#accept();
        if (peer === undefined) return;
        open = false;
        resolve(peer);
      } catch (error) {
        if (!(error instanceof SysError) || !SHORTAGES.has(error.code)) return reject(error);
        this.#folded.say("warn", `${error.message}; trying again`, error.code);
        watch.setEvents(0); // they wait in the backlog
        owned.use(this.#loop.after(SHORTAGE_MS, () => watch.setEvents(EPOLLIN)));
      }
    };
    using owned = new DisposableStack();
    const abort = () => {
      open = false; // the same turn may have one to accept, which would be lost
      resolve(undefined);
    };
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    const watch = owned.use(
      this.#loop.watch(this.#socket.number, EPOLLIN, () => {
        if (open) tryAccept();
      }),
    );
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Until it is disposed, accepts senders and refuses them with `reason`. */
  refuseOthers(reason: string): Disposable {
    const watch = this.#loop.watch(this.#socket.number, EPOLLIN, () => {
      try {
        const peer = this.#accept();
        if (peer === undefined) return;
        this.turnAway(peer, reason);
      } catch (error) {
        watch.setEvents(0); // out of descriptors: they wait in the backlog
        log.warn((error as Error).message);
      }
    });
    return watch;
  }

  /** Refuses an accepted sender with `reason`. Owns its socket. */
  turnAway({ socket, address }: Peer, reason: string): void {
    this.#folded.say("warn", `${address.name} refused: ${reason}`, reason);
    this.#turnAway(socket, reason);
  }

  /** Tells a sender why it is refused, and closes its connection. */
  #turnAway(socket: Fd, reason: string): void {
    if (this.#leaving >= MOST_LEAVING) {
      socket[Symbol.dispose]();
      return;
    }
    this.#leaving += 1;
    refuse(this.#loop, socket, reason, this.#closing.signal)
      .catch(() => undefined) // it has gone
      .finally(() => {
        this.#leaving -= 1;
        socket[Symbol.dispose]();
      });
  }

  #accept(): Peer | undefined {
    for (;;) {
      if (this.#path === undefined) this.#socket.setNonBlocking(true); // another program may share it
      const peer = accept(this.#socket);
      if (peer === undefined) return undefined;
      const { socket, peer: address } = peer;
      const inet = address.family === AF_INET || address.family === AF_INET6;
      if (inet && !this.#allowed(address.name)) {
        this.#folded.say("warn", `${address.name} is not in --allow, refused`, "--allow");
        this.#turnAway(socket, `${address.name} is not in its --allow`);
        continue;
      }
      try {
        noticeLoss(socket);
      } catch (error) {
        if (!(error instanceof PeerGone)) throw error;
        socket[Symbol.dispose](); // it has gone already
        continue;
      }
      return { socket, address };
    }
  }

  [Symbol.dispose](): void {
    if (this.#socket.closed) return;
    this.#folded.flush();
    this.#closing.abort();
    // Before the socket is closed: until then no other file gets its inode number.
    this.#removePath();
    this.#socket[Symbol.dispose]();
  }

  /** Removes the path, unless another program has put something else there. */
  #removePath(): void {
    if (this.#path === undefined) return;
    const { path, inode } = this.#path;
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === inode) unlinkSync(path);
  }
}

const listenAdvice = ({ code }: SysError): string => {
  if (code === "EADDRINUSE") return "another program listens there: choose another --port";
  if (code === "ENOENT") return "make the folder first, or choose another path";
  if (code === "ENOTDIR" || code === "ELOOP")
    return "choose another path: a part of this one is no folder";
  if (code === "ENODEV" || code === "EAFNOSUPPORT")
    return "this host lacks that kind of address: use another --listen";
  if (code === "EADDRNOTAVAIL") return "this host has no such address: choose another --listen";
  if (code === "EPERM") return "run as root, or name a group that this user is in";
  if (code === "EACCES")
    return "choose a port from 1024 on, a folder you may write to, or run as root";
  return "";
};

/** Removes a stale socket at `path`. Throws UnavailableError when a program listens there, or when it is no socket. */
export function removeStale(path: string, at: Sockaddr): void {
  const there = needed(() => lstatSync(path, { throwIfNoEntry: false }), listenAdvice);
  if (there === undefined) return;
  if (!there.isSocket()) {
    throw new UnavailableError(
      `bind unix:${path}: something that is no socket is there; remove it or choose another path`,
    );
  }
  if (!needed(() => isServed(at), listenAdvice)) {
    needed(() => unlinkSync(path), listenAdvice);
    return;
  }
  throw new UnavailableError(
    `bind unix:${path}: another program listens there; stop it or choose another path`,
  );
}
