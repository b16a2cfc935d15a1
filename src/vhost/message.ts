// A row of the message table, and answers that several rows give.
import type { Fd } from "../../ffi/fd.ts";
import type { ProtocolFeature } from "./features.ts";
import * as p from "./payloads.ts";
import type { Session } from "./session.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The body of an answer. The descriptor is sent with it and closed afterwards. */
export interface Answer {
  readonly bytes: Bytes;
  readonly fd?: Fd;
}

/** A complete message. Descriptors that `run` leaves in `fds` are closed. */
export interface Message {
  readonly bytes: Bytes;
  readonly fds: Fd[];
}

export interface MessageRow {
  readonly request: number;
  readonly name: string;
  /** Bytes of the payload: exactly, or at least `from`. */
  readonly size?: number | { readonly from: number };
  /** Most descriptors that may come with it. */
  readonly fds?: number;
  /** The protocol feature that must have been negotiated. It is offered when `run` is there, too. */
  readonly needs?: ProtocolFeature;
  /** It has its own answer, so no acknowledgement is sent. */
  readonly answers?: true;
  /** The answer that means failure, for requests with an answer; without it a refusal ends the connection. */
  readonly refusal?: () => Bytes;
  /** Carries out the request. Throws RequestRefused. */
  readonly run?: (session: Session, message: Message) => Answer | undefined;
}

/** An answer of one word. */
export const wordOf = (value: bigint): Answer => {
  const word = p.word.alloc();
  word.value = value;
  return { bytes: word.$bytes };
};
/** The payload of a message of one word. */
export const wordIn = ({ bytes }: Message) => p.word.over(bytes).value;
/** An empty body. */
export const nothing = () => new Uint8Array(new ArrayBuffer(0));
