// What a row of the message table is, and what rows share.
import type { Fd } from "../../ffi/fd.ts";
import type { ProtocolFeature } from "./features.ts";
import * as p from "./payloads.ts";
import type { Session } from "./session.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A body to answer with; the descriptor goes along and is closed afterwards. */
export interface Answer {
  readonly bytes: Bytes;
  readonly fd?: Fd;
}

/** A message that was received whole. What `run` does not take out of `fds` is closed. */
export interface Message {
  readonly bytes: Bytes;
  readonly fds: Fd[];
}

export interface MessageRow {
  readonly request: number;
  readonly name: string;
  /** Bytes of the payload: exactly, or from so many on. */
  readonly size?: number | { readonly from: number };
  /** Most descriptors that may come along. */
  readonly fds?: number;
  /** Only when this was negotiated. */
  readonly needs?: ProtocolFeature;
  /** It has an answer of its own, which is never acknowledged on top. */
  readonly answers?: true;
  /** What tells the front-end that it failed, for those with an answer; without it the connection is closed. */
  readonly refusal?: () => Bytes;
  /** Does it. Throws RequestRefused. */
  readonly run?: (session: Session, message: Message) => Answer | undefined;
}

/** An answer of one word. */
export const wordOf = (value: bigint): Answer => {
  const word = p.word.alloc();
  word.value = value;
  return { bytes: word.$bytes };
};
/** The word a message consists of. */
export const wordIn = ({ bytes }: Message) => p.word.over(bytes).value;
/** An answer's body of no bytes. */
export const nothing = () => new Uint8Array(new ArrayBuffer(0));
