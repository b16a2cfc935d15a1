// Numbers with what they count, for messages.

/** "1 frame", "0 frames". `noun` is the singular of a word whose plural ends in s. */
export const counted = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? "" : "s"}`;

/** "1 frame was", "3 frames were". */
export const countedWere = (count: number, noun: string): string =>
  `${counted(count, noun)} ${count === 1 ? "was" : "were"}`;
