// What a device counts, for statistics.

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
}
