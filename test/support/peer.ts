// The other side of a connection, written from the protocol note alone (messages of src/stream/copy/messages.ts, byte by
// byte) and with the runtime's sockets: an error that our two sides share shows here.
import { connect, createServer, type Server, type Socket } from "node:net";
import { within } from "./tool.ts";

/** Fields of a hello: magic, version, width, height, pixelformat, sizeimage, buffer_count; big endian words. */
export interface Hello {
  magic: number;
  version: number;
  width: number;
  height: number;
  pixelformat: number;
  sizeimage: number;
  bufferCount: number;
}
export const GREY = 0x59455247; // "GREY", first letter in the low byte

/** 28 bytes; a grey picture of 64x48 by default. */
export function helloBytes(other: Partial<Hello> = {}): Uint8Array {
  const hello: Hello = {
    magic: 0x56344c42,
    version: 2,
    width: 64,
    height: 48,
    pixelformat: GREY,
    sizeimage: 64 * 48,
    bufferCount: 4,
    ...other,
  };
  const view = new DataView(new ArrayBuffer(28));
  const { magic, version, width, height, pixelformat, sizeimage, bufferCount } = hello;
  for (const [i, value] of [
    magic,
    version,
    width,
    height,
    pixelformat,
    sizeimage,
    bufferCount,
  ].entries())
    view.setUint32(4 * i, value);
  return new Uint8Array(view.buffer);
}

/** 40 bytes before a payload. */
export function frameBytes(sequence: number, bytesused: number, magic = 0x5652464d): Uint8Array {
  const view = new DataView(new ArrayBuffer(40));
  view.setUint32(0, magic);
  view.setUint32(4, sequence % 4);
  view.setUint32(8, bytesused);
  view.setBigUint64(16, BigInt(sequence));
  return new Uint8Array(view.buffer);
}

/** A connection to a receiver, for sending anything. */
export class RawSender implements Disposable {
  readonly #socket: Socket;
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => undefined); // a reset is a way to close
    socket.resume();
  }

  static async to(target: { host: string; port: number } | { path: string }): Promise<RawSender> {
    const socket = connect(target);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("connect", resolve);
    socket.once("error", reject);
    await within(promise, "a connection");
    socket.removeListener("error", reject);
    return new RawSender(socket);
  }

  async send(bytes: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.write(bytes, () => resolve());
    await within(Promise.race([promise, this.closed]), "room to send");
  }

  end(): void {
    this.#socket.end();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** One frame as it arrived. */
export interface RawFrame {
  readonly sequence: number;
  readonly index: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

/** Listens on 127.0.0.1 or a path and takes the stream of one sender apart. `pause` stops reading. */
export class RawReceiver implements Disposable {
  readonly #server: Server;
  readonly ended = Promise.withResolvers<void>();
  readonly connected = Promise.withResolvers<void>();
  readonly frames: RawFrame[] = [];
  hello: Uint8Array | undefined;
  #socket: Socket | undefined;
  #parts: Uint8Array[] = [];
  #waiting = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** `paused`: accepts a connection and reads nothing. With a path it listens on a Unix socket. */
  static async listen(paused = false, path?: string): Promise<RawReceiver> {
    const server = createServer({ pauseOnConnect: paused });
    const receiver = new RawReceiver(server);
    server.on("connection", (socket) => receiver.#accept(socket, paused));
    const { promise, resolve } = Promise.withResolvers<void>();
    if (path === undefined) server.listen(0, "127.0.0.1", () => resolve());
    else server.listen(path, () => resolve());
    await within(promise, "a listening socket");
    return receiver;
  }

  get port(): string {
    return String((this.#server.address() as { port: number }).port);
  }

  #accept(socket: Socket, paused: boolean): void {
    this.#socket = socket;
    socket.on("error", () => undefined);
    socket.on("close", () => this.ended.resolve());
    socket.on("end", () => this.ended.resolve());
    if (!paused) socket.on("data", (bytes: Buffer) => this.#take(new Uint8Array(bytes)));
    this.connected.resolve();
  }

  /** Bytes that came after the last whole frame. */
  get rest(): number {
    return this.#waiting;
  }

  pause(): void {
    this.#socket?.pause();
  }
  resume(): void {
    this.#socket?.resume();
  }

  #take(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#waiting += bytes.length;
    while (this.#next()) {}
  }

  #next(): boolean {
    if (this.hello === undefined) {
      this.hello = this.#cut(28);
      return this.hello !== undefined;
    }
    if (this.#waiting < 40) return false;
    const all = Buffer.concat(this.#parts);
    this.#parts = [new Uint8Array(all)];
    const bytesused = all.readUInt32BE(8);
    if (all.length < 40 + bytesused) return false;
    if (all.readUInt32BE(0) !== 0x5652464d) throw new Error("no frame magic");
    this.frames.push({
      index: all.readUInt32BE(4),
      flags: all.readUInt32BE(12),
      sequence: Number(all.readBigUInt64BE(16)),
      bytes: new Uint8Array(all.subarray(40, 40 + bytesused)),
    });
    return this.#cut(40 + bytesused) !== undefined;
  }

  #cut(size: number): Uint8Array | undefined {
    if (this.#waiting < size) return undefined;
    const all = Buffer.concat(this.#parts);
    this.#parts = [new Uint8Array(all.subarray(size))];
    this.#waiting = all.length - size;
    return new Uint8Array(all.subarray(0, size));
  }

  [Symbol.dispose](): void {
    this.#socket?.destroy();
    this.#server.close();
  }
}
