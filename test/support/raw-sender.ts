// A sender that says exactly what it is told to, byte by byte.
import type { Socket } from "bun";
import type { Picture } from "../../src/format/layout.ts";
import { FRAME_MAGIC, frameHeader, makeHello } from "../../src/wire/messages.ts";

export class RawSender implements Disposable {
  readonly #socket: Socket<undefined>;
  #closed = false;
  #waiting: Uint8Array = new Uint8Array(0);
  #sequence = 0;

  private constructor(socket: Socket<undefined>) {
    this.#socket = socket;
  }

  static async connect(port: number): Promise<RawSender> {
    let sender: RawSender | undefined;
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: () => undefined,
        drain: () => sender?.write(new Uint8Array(0)),
        close: () => {
          if (sender !== undefined) sender.#closed = true;
        },
      },
    });
    sender = new RawSender(socket);
    return sender;
  }

  /** Whether the receiver has hung up. */
  get closed(): boolean {
    return this.#closed;
  }

  hello(picture: Picture, bufferCount = 4): void {
    this.write(makeHello(picture, bufferCount).$bytes);
  }

  frame(payload: Uint8Array): void {
    this.header(payload.length);
    this.write(payload);
  }

  /** Announces a frame. */
  header(bytesused: number): void {
    const header = frameHeader.alloc();
    header.magic = FRAME_MAGIC;
    header.bytesused = bytesused;
    header.sequence = this.#sequence++;
    this.write(header.$bytes);
  }

  write(bytes: Uint8Array): void {
    const all = new Uint8Array(this.#waiting.length + bytes.length);
    all.set(this.#waiting);
    all.set(bytes, this.#waiting.length);
    const written = Math.max(0, this.#socket.write(all));
    this.#waiting = all.subarray(written);
  }

  [Symbol.dispose](): void {
    this.#socket.end();
  }
}

/** A port nobody listens on now. */
export function freePort(): number {
  using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  return server.port;
}
