// What a device counts of its pictures: one set for each stream of a guest.
import { counted } from "../cli/counted.ts";

export class MediaCounts {
  /** Pictures of the source that guests got. */
  delivered = 0;
  /** Pictures that came while no buffer waited: the guest was slow. */
  dropped = 0;
  /** Pictures left out to keep the guest's rate. */
  passed = 0;
  /** Frames that were no pictures, or that could not be converted. */
  damaged = 0;
  /** Stand-by cards. */
  cards = 0;
  bytes = 0;

  /** For a line of the log. */
  get text(): string {
    const others = [
      [this.dropped, "lost: no buffer of the guest waited"],
      [this.passed, "left out to keep the guest's rate"],
      [this.damaged, "left out: they were no pictures"],
      [this.cards, "stand-by"],
    ] as const;
    const more = others.flatMap(([count, what]) => (count > 0 ? `${count} ${what}` : []));
    return [`${counted(this.delivered, "picture")} of the source shown`, ...more].join(", ");
  }

  /** Begins again. */
  restart(): void {
    this.delivered = 0;
    this.dropped = 0;
    this.passed = 0;
    this.damaged = 0;
    this.cards = 0;
    this.bytes = 0;
  }
}
