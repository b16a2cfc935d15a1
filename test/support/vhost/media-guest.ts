// A guest with a camera, on real rings: commands by round trips, 16 event buffers that are posted again after use, and the region as
// the monitor has mapped it.

import type { Ioctl } from "../../../ffi/ioctl.ts";
import * as v from "../../../ffi/linux/videodev2.ts";
import type { Fields, Struct } from "../../../ffi/struct.ts";
import * as p from "../../../src/media/protocol.ts";
import { roundTrip, type Scene, turns } from "./scene.ts";

const EVENT_BUFFERS = 16;
const CAPTURE = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;

/** The machine of the guest. */
export type GuestScene = Pick<Scene, "loop" | "ram" | "commands" | "events" | "buffers">;

export class MediaGuest {
  readonly #scene: GuestScene;
  /** Where the event buffer of each head is. */
  readonly #events = new Map<number, number>();
  session = 0;
  /** Where each buffer is in the region. */
  readonly places: number[] = [];

  constructor(scene: GuestScene) {
    this.#scene = scene;
    for (let i = 0; i < EVENT_BUFFERS; i++) this.#post(scene.ram.allocate(p.DQBUF_EVENT_BYTES));
    scene.events.notify();
  }

  #post(at: number): void {
    const part = { at, length: p.DQBUF_EVENT_BYTES, writable: true };
    this.#events.set(this.#scene.events.add([part]), at);
  }

  async command(bytes: Uint8Array<ArrayBuffer>, room: number): Promise<Uint8Array<ArrayBuffer>> {
    const { used, answer } = await roundTrip(this.#scene, bytes, room);
    return answer.slice(0, used.length);
  }

  async open(): Promise<void> {
    const q = p.header.alloc();
    q.cmd = p.OPEN;
    const answer = p.openAnswer.over(await this.command(q.$bytes, p.openAnswer.size));
    if (answer.status !== 0) throw new Error(`OPEN: ${answer.status}`);
    this.session = answer.session_id;
  }

  /** An ioctl that must succeed. */
  async ioctl<F extends Fields>(row: Ioctl<F>, fill: (q: Struct<F>) => void): Promise<Struct<F>> {
    const head = p.ioctlCommand.size;
    const { size } = row.argument;
    const bytes = new Uint8Array(new ArrayBuffer(head + size));
    p.header.over(bytes).cmd = p.IOCTL;
    const command = p.ioctlCommand.over(bytes);
    command.session_id = this.session;
    command.code = row.code & 0xff;
    fill(row.argument.over(bytes, head));
    const gives = ((row.code >>> 30) & 2) !== 0;
    const answer = await this.command(bytes, p.answerHeader.size + (gives ? size : 0));
    const { status } = p.answerHeader.over(answer);
    if (status !== 0) throw new Error(`${row.name}: ${status}`);
    const q = row.argument.alloc();
    if (gives) q.$bytes.set(answer.subarray(p.answerHeader.size));
    return q;
  }

  async queue(index: number): Promise<void> {
    await this.ioctl(v.VIDIOC_QBUF, (q) => {
      q.index = index;
      q.type = CAPTURE;
      q.memory = v.V4L2_MEMORY_MMAP;
    });
  }

  /** REQBUFS. */
  async request(count: number): Promise<void> {
    await this.#withEvents(
      this.ioctl(v.VIDIOC_REQBUFS, (q) => {
        q.count = count;
        q.type = CAPTURE;
        q.memory = v.V4L2_MEMORY_MMAP;
      }),
    );
  }

  /** Sets a format, and maps and queues `count` buffers. */
  async prepare(
    count: number,
    format: { readonly width: number; readonly height: number; readonly pixelformat: number },
  ): Promise<void> {
    await this.ioctl(v.VIDIOC_S_FMT, (q) => {
      q.type = CAPTURE;
      q["fmt.pix.width"] = format.width;
      q["fmt.pix.height"] = format.height;
      q["fmt.pix.pixelformat"] = format.pixelformat;
    });
    await this.request(count);
    for (let index = 0; index < count; index++) {
      const buffer = await this.ioctl(v.VIDIOC_QUERYBUF, (q) => {
        q.index = index;
        q.type = CAPTURE;
      });
      const q = p.mmapCommand.alloc();
      p.header.over(q.$bytes).cmd = p.MMAP;
      q.session_id = this.session;
      q.flags = 1;
      q.offset = buffer["m.offset"];
      const answer = p.mmapAnswer.over(await this.command(q.$bytes, p.mmapAnswer.size));
      if (answer.status !== 0) throw new Error(`MMAP: ${answer.status}`);
      this.places[index] = Number(answer.driver_addr);
      await this.queue(index);
    }
  }

  async stream(on: boolean): Promise<void> {
    const command = this.ioctl(on ? v.VIDIOC_STREAMON : v.VIDIOC_STREAMOFF, (q) => {
      q.value = CAPTURE;
    });
    await (on ? command : this.#withEvents(command));
  }

  /** Waits for a command that ends a stream, and drops events meanwhile, as the Linux driver does: its event work goes on. */
  async #withEvents(command: Promise<unknown>): Promise<void> {
    let done = false;
    const end = () => {
      done = true;
    };
    void command.then(end, end);
    while (!done) {
      const used = this.#scene.events.takeUsed();
      for (const { head } of used) this.#postAgain(head);
      if (used.length > 0) this.#scene.events.notify();
      await turns(this.#scene.loop, 1);
    }
    await command;
  }

  /** Posts the event buffer of a chain that was returned; where it is. */
  #postAgain(head: number): number {
    const at = this.#events.get(head);
    if (at === undefined) throw new Error("no event");
    this.#events.delete(head);
    this.#post(at);
    return at;
  }

  /** The next picture. */
  async frame(): Promise<Struct<typeof v.v4l2Buffer.fields>> {
    const { events, ram } = this.#scene;
    const [used] = await events.used(1);
    if (used === undefined) throw new Error("no event");
    const bytes = ram.bytes(this.#events.get(used.head) ?? 0, used.length).slice();
    this.#postAgain(used.head);
    events.notify();
    if (p.eventHeader.over(bytes).event !== p.EVENT_DQBUF) throw new Error("another event");
    return v.v4l2Buffer.over(bytes, p.eventHeader.size);
  }

  /** The memory of a buffer, as the guest sees it. */
  bytes(index: number): Uint8Array<ArrayBuffer> {
    const mapped = this.#scene.buffers?.mapped.get(this.places[index] ?? -1);
    if (mapped === undefined) throw new Error(`buffer ${index} is not mapped`);
    return mapped.bytes;
  }

  async close(): Promise<void> {
    const q = p.closeCommand.alloc();
    p.header.over(q.$bytes).cmd = p.CLOSE;
    q.session_id = this.session;
    await this.#withEvents(this.command(q.$bytes, 0));
  }
}
