// A small X11 client for tests: finds a window, takes its picture, resizes it, presses keys, asks it to close.
// X Window System Protocol, version 11, chapters 8 and appendix B; XTEST for keys.
import type { Socket } from "bun";

/** A picture of a window: rows of B, G, R, unused. */
export interface Shot {
  readonly width: number;
  readonly height: number;
  at(x: number, y: number): readonly [number, number, number];
}

export interface XWindow {
  readonly id: number;
  readonly width: number;
  readonly height: number;
}

/** A client's message to the window manager. */
export interface ManagerMessage {
  readonly window: number;
  readonly type: number;
  readonly words: readonly number[];
}

const REPLY = 1;
const ERROR = 0;
const CLIENT_MESSAGE = 33;
const SENT = 0x80;

export class X11 implements Disposable {
  readonly root: number;
  readonly #socket: Socket<undefined>;
  readonly #incoming: Incoming;
  readonly #messages: ManagerMessage[] = [];

  private constructor(socket: Socket<undefined>, incoming: Incoming, setup: DataView) {
    this.#socket = socket;
    this.#incoming = incoming;
    const vendor = (setup.getUint16(16, true) + 3) & ~3;
    this.root = setup.getUint32(32 + vendor + setup.getUint8(21) * 8, true);
  }

  /** Connects to the server of display `number` on this host. */
  static async connect(number: number): Promise<X11> {
    const incoming = new Incoming();
    const socket = await Bun.connect({
      unix: `/tmp/.X11-unix/X${number}`,
      socket: {
        data: (_, bytes) => incoming.push(bytes),
        close: () => incoming.end(),
        error: () => incoming.end(),
      },
    });
    const hello = new DataView(new ArrayBuffer(12));
    hello.setUint8(0, "l".charCodeAt(0));
    hello.setUint16(2, 11, true);
    socket.write(new Uint8Array(hello.buffer));
    const head = await incoming.take(8);
    if (head.getUint8(0) !== 1) throw new Error("the X server refuses us");
    return new X11(socket, incoming, await incoming.take(head.getUint16(6, true) * 4));
  }

  #send(opcode: number, detail: number, body: readonly number[] | Uint8Array): void {
    const padded = (body.length + 3) & ~3;
    const bytes = new Uint8Array(4 + padded);
    bytes[0] = opcode;
    bytes[1] = detail;
    new DataView(bytes.buffer).setUint16(2, 1 + padded / 4, true);
    bytes.set(body, 4);
    this.#socket.write(bytes);
  }

  async #ask(opcode: number, detail: number, body: readonly number[] | Uint8Array) {
    this.#send(opcode, detail, body);
    for (;;) {
      const head = await this.#incoming.take(32);
      if (head.getUint8(0) === ERROR) {
        // An error of an earlier request without a reply, or of this one.
        if (head.getUint8(10) !== opcode) continue;
        throw new Error(`X error ${head.getUint8(1)} for request ${opcode}`);
      }
      if (head.getUint8(0) === (CLIENT_MESSAGE | SENT)) this.#note(head);
      if (head.getUint8(0) !== REPLY) continue; // an event
      return { head, rest: await this.#incoming.take(head.getUint32(4, true) * 4) };
    }
  }

  /** The mapped windows on the screen, with their sizes. */
  async windows(): Promise<XWindow[]> {
    const { head, rest } = await this.#ask(15, 0, u32(this.root));
    const found: XWindow[] = [];
    for (let i = 0; i < head.getUint16(16, true); i++) {
      const id = rest.getUint32(i * 4, true);
      try {
        const { rest: attributes, head: first } = await this.#ask(3, 0, u32(id));
        void attributes;
        if (first.getUint8(26) !== 2) continue; // not viewable
        const { head: geometry } = await this.#ask(14, 0, u32(id));
        const [width, height] = [geometry.getUint16(16, true), geometry.getUint16(18, true)];
        if (width > 1 && height > 1) found.push({ id, width, height });
      } catch {
        // the window was closed meanwhile
      }
    }
    return found;
  }

  /** The window's title. */
  async title(id: number): Promise<string> {
    const name = await this.#atom("_NET_WM_NAME");
    const { head, rest } = await this.#ask(20, 0, [id, name, 0, 0, 256].flatMap(u32));
    return new TextDecoder().decode(
      new Uint8Array(rest.buffer, rest.byteOffset, head.getUint32(16, true)),
    );
  }

  /** The picture in the window. Throws while the window changes its size. */
  async shot(id: number): Promise<Shot> {
    const { head } = await this.#ask(14, 0, u32(id));
    const [width, height] = [head.getUint16(16, true), head.getUint16(18, true)];
    const body = [...u32(id), ...u16(0), ...u16(0), ...u16(width), ...u16(height), ...u32(~0)];
    const { rest } = await this.#ask(73, 2, body);
    return {
      width,
      height,
      at: (x, y) => {
        const at = (y * width + x) * 4;
        return [rest.getUint8(at + 2), rest.getUint8(at + 1), rest.getUint8(at)];
      },
    };
  }

  resize(id: number, width: number, height: number): void {
    this.#send(12, 0, [...u32(id), ...u16(0x0c), ...u16(0), ...u32(width), ...u32(height)]);
  }

  /** Sends what a window manager sends when the close button is pressed. */
  async close(id: number): Promise<void> {
    const [protocols, del] = [
      await this.#atom("WM_PROTOCOLS"),
      await this.#atom("WM_DELETE_WINDOW"),
    ];
    const event = [33, 32, 0, 0, ...[id, protocols, del, 0, 0, 0, 0].flatMap(u32)];
    this.#send(25, 0, [...u32(id), ...u32(0), ...event]);
  }

  /** Presses and releases a key, by its X key code, in the window. */
  async press(id: number, keyCode: number): Promise<void> {
    this.#send(42, 1, [...u32(id), ...u32(0)]);
    const name = new TextEncoder().encode("XTEST");
    const { head } = await this.#ask(98, 0, [...u16(name.length), 0, 0, ...name]);
    const xtest = head.getUint8(9);
    const KEY_PRESS = 2;
    const KEY_RELEASE = 3;
    for (const type of [KEY_PRESS, KEY_RELEASE]) {
      const event = new Uint8Array(32);
      event[0] = type;
      event[1] = keyCode;
      this.#send(xtest, 2, event);
    }
  }

  /** Receives from now on what clients ask of the window manager; this screen has no window manager. */
  hearManagerMessages(): void {
    const SUBSTRUCTURE_NOTIFY = 0x8_0000;
    this.#send(2, 0, [...u32(this.root), ...u32(0x800), ...u32(SUBSTRUCTURE_NOTIFY)]);
  }

  /** What a window has asked of the window manager about its state, "add full screen". */
  async stateRequests(id: number): Promise<string[]> {
    const state = await this.#atom("_NET_WM_STATE");
    const fullscreen = await this.#atom("_NET_WM_STATE_FULLSCREEN");
    return this.#messages
      .filter(
        ({ window, type, words }) => window === id && type === state && words[1] === fullscreen,
      )
      .map(({ words }) => `${["remove", "add", "toggle"][words[0] ?? 0]} full screen`);
  }

  #note(event: DataView): void {
    const words = [12, 16, 20].map((at) => event.getUint32(at, true));
    const [window, type] = [event.getUint32(4, true), event.getUint32(8, true)];
    this.#messages.push({ window, type, words });
  }

  async #atom(name: string): Promise<number> {
    const text = new TextEncoder().encode(name);
    const { head } = await this.#ask(16, 0, [...u16(text.length), 0, 0, ...text]);
    return head.getUint32(8, true);
  }

  [Symbol.dispose](): void {
    this.#socket.end();
  }
}

const u16 = (value: number) => [value & 0xff, (value >> 8) & 0xff];
const u32 = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** The server's bytes, cut into pieces of the wanted size. */
class Incoming {
  #chunks: Uint8Array[] = [];
  #size = 0;
  #over = false;
  #wake: (() => void) | undefined;

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes.slice());
    this.#size += bytes.length;
    this.#wake?.();
  }

  end(): void {
    this.#over = true;
    this.#wake?.();
  }

  async take(size: number): Promise<DataView> {
    while (this.#size < size) {
      if (this.#over) throw new Error("the X server is gone");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const all =
      this.#chunks.length === 1 ? (this.#chunks[0] ?? new Uint8Array()) : concat(this.#chunks);
    this.#chunks = all.length > size ? [all.subarray(size)] : [];
    this.#size -= size;
    return new DataView(all.buffer, all.byteOffset, size);
  }
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
