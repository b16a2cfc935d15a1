// A session: one open file in the guest.
import type { Subscription } from "./subscriptions.ts";

export class Session {
  readonly id: number;
  /** By the id of the control. */
  readonly subscriptions = new Map<number, Subscription>();

  constructor(id: number) {
    this.id = id;
  }
}

/** Sessions of one guest at a time. A session costs a few hundred bytes and opens nothing. */
export const MAX_SESSIONS = 32;

/**
 * The open sessions. Their numbers begin at a random one and only grow: a guest that outlives this process must not reach a session
 * of the next one by an old number.
 */
export class Sessions {
  readonly #open = new Map<number, Session>();
  #next = Math.floor(Math.random() * 0x4000_0000) + 1;

  get count(): number {
    return this.#open.size;
  }

  get(id: number): Session | undefined {
    return this.#open.get(id);
  }

  all(): Iterable<Session> {
    return this.#open.values();
  }

  /** Undefined when there are as many as one guest may have. */
  open(): Session | undefined {
    if (this.#open.size >= MAX_SESSIONS) return undefined;
    while (this.#open.has(this.#next)) this.#step();
    const session = new Session(this.#next);
    this.#open.set(session.id, session);
    this.#step();
    return session;
  }

  #step(): void {
    this.#next = this.#next >= 0xffff_fffe ? 1 : this.#next + 1;
  }

  /** Forgets the session; undefined when there is none of that number. */
  close(id: number): Session | undefined {
    const session = this.#open.get(id);
    this.#open.delete(id);
    return session;
  }
}
