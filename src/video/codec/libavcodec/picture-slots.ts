// The slots of shared memory that pictures come in, as the daemon knows them. What a decoder's process says about them is checked
// here: it may fill a slot that it was granted, and no other.
import { PICTURE_SLOTS } from "./messages.ts";

type State = "free" | "granted" | "full";

export class PictureSlots {
  readonly #states: State[] = new Array<State>(PICTURE_SLOTS).fill("free");
  granted = 0;
  full = 0;

  /** Grants a free slot; -1 when there is none. */
  grant(): number {
    const slot = this.#states.indexOf("free");
    if (slot < 0) return -1;
    this.#states[slot] = "granted";
    this.granted += 1;
    return slot;
  }

  /** The process has written a picture to the slot. False when it was not granted. */
  fill(slot: number): boolean {
    if (this.#states[slot] !== "granted") return false;
    this.#states[slot] = "full";
    this.granted -= 1;
    this.full += 1;
    return true;
  }

  /** The picture was copied or dropped. */
  free(slot: number): void {
    if (this.#states[slot] !== "full") return;
    this.#states[slot] = "free";
    this.full -= 1;
  }

  /** Takes back every slot that was granted and not filled. */
  revoke(): void {
    for (let slot = 0; slot < PICTURE_SLOTS; slot++)
      if (this.#states[slot] === "granted") this.#states[slot] = "free";
    this.granted = 0;
  }
}
