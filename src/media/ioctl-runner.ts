// Runs the IOCTL command: copies the argument, checks its length and the room for the answer, calls the row, answers. The views of its
// memory are made once, so that an ioctl makes none.
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { log, logsDebug } from "../cli/log.ts";
import { memEntry } from "../virtio/guest-ranges.ts";
import type { Request } from "../virtio/virtio-device.ts";
import type { AnswerTime } from "./answer-time.ts";
import type { CameraNode } from "./camera-node.ts";
import { MAX_CONTROLS } from "./control-ioctls.ts";
import { gives, type IoctlRow, takes } from "./ioctl-row.ts";
import { ioctlRows, ioctls } from "./ioctls.ts";
import { asRefusal, check, MediaError } from "./media-error.ts";
import { answerHeader, ioctlCommand } from "./protocol.ts";
import type { Session } from "./session.ts";
import type { Settling } from "./settling.ts";
import { MAX_ENTRIES } from "./user-memory.ts";

const HEAD = answerHeader.size;
const nothing = new Uint8Array(new ArrayBuffer(0));

/** What a row works in: the answer's head, then its struct. */
interface Place {
  readonly q: unknown;
  /** Head and struct. */
  readonly answer: Uint8Array<ArrayBuffer>;
}

export class IoctlRunner {
  readonly #node: CameraNode;
  readonly #time: AnswerTime;
  readonly #settling: Settling;
  readonly #memory = new Uint8Array(
    new ArrayBuffer(HEAD + Math.max(...ioctlRows.map(({ ioctl }) => ioctl.argument.size))),
  );
  readonly #head = answerHeader.over(this.#memory);
  readonly #headBytes = this.#memory.subarray(0, HEAD);
  readonly #places: ReadonlyMap<IoctlRow, Place> = new Map(
    ioctlRows.map((row) => [
      row,
      {
        q: row.ioctl.argument.over(this.#memory, HEAD),
        answer: this.#memory.subarray(0, HEAD + row.ioctl.argument.size),
      },
    ]),
  );

  constructor(node: CameraNode, time: AnswerTime, settling: Settling) {
    this.#node = node;
    this.#time = time;
    this.#settling = settling;
  }

  /** Runs an IOCTL command, whose fixed part is there. Throws MediaError for what is not an ioctl of the device. */
  run(request: Request, takenMs: number, session: Session, code: number): void {
    const row = ioctls.get(code);
    const place = row && this.#places.get(row);
    if (row === undefined || place === undefined)
      throw new MediaError("ENOTTY", `ioctl ${code} is not offered`);
    const tail = this.#take(row, request);
    const answered = gives(row.ioctl) ? row.ioctl.argument.size : 0;
    const echoed = row.tail === "array" ? tail.length : 0;
    check(request.room >= HEAD + answered + echoed, `${row.ioctl.name}: no room for the answer`);
    this.#head.status = 0;
    try {
      row.run(place.q, { node: this.#node, session, tail });
    } catch (error) {
      this.#head.status = refusedWith(row, session, error);
    }
    if (!this.#time.mayAnswer(takenMs)) return;
    const { status } = this.#head;
    const whole = status === 0 || (row.tail === "array" && status !== errno.ENOTTY);
    if (row.settles && status === 0)
      this.#settling.answer(request, takenMs, answered === 0 ? this.#headBytes : place.answer);
    else if (answered === 0 || !whole) request.answer(this.#headBytes);
    else if (echoed === 0) request.answer(place.answer);
    else request.answer(joined(place.answer, tail));
  }

  /** Copies the argument to its place; answers what follows it. Throws MediaError for a wrong length. */
  #take({ ioctl, tail }: IoctlRow, request: Request): Uint8Array<ArrayBuffer> {
    const { bytes } = request;
    const { size } = ioctl.argument;
    const from = ioctlCommand.size;
    const given = bytes.length - from;
    const memory = this.#memory;
    if (!takes(ioctl)) {
      // Linux sends the argument of G_INPUT although its direction is R.
      check(given === 0 || given === size, `${ioctl.name} has ${given} bytes and needs none`);
      memory.fill(0, HEAD, HEAD + size);
      return nothing;
    }
    check(given >= size, `${ioctl.name} has ${given} bytes and needs ${size}`);
    for (let i = 0; i < size; i++) memory[HEAD + i] = bytes[from + i] ?? 0;
    if (tail === undefined) {
      check(given === size, `${ioctl.name} has ${given} bytes and needs ${size}`);
      return nothing;
    }
    const most =
      tail === "list" ? MAX_ENTRIES * memEntry.size : MAX_CONTROLS * v.v4l2ExtControl.size;
    check(given - size <= most, `${ioctl.name} has ${given} bytes, which is too many`);
    return given === size ? nothing : bytes.slice(from + size);
  }
}

function refusedWith({ ioctl }: IoctlRow, session: Session, error: unknown): number {
  const refusal = asRefusal(error);
  if (logsDebug())
    log
      .withTag("media")
      .debug(`session ${session.id}: ${ioctl.name}: ${refusal.code} (${refusal.message})`);
  return refusal.errno;
}

/** The bytes of `first`, then those of `second`. */
function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(new ArrayBuffer(first.length + second.length));
  all.set(first);
  all.set(second, first.length);
  return all;
}
