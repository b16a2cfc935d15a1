// What a misspelled word was probably meant to be.

/** The candidate nearest to `word`: the same but for upper and lower case, one it is the beginning of, or a few typos away. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const folded = fold(word);
  const same = candidates.find((candidate) => fold(candidate) === folded);
  if (same !== undefined || folded === "") return same;
  const beginsWith = candidates.filter((candidate) => fold(candidate).startsWith(folded));
  if (folded.length >= 3 && beginsWith.length === 1) return beginsWith[0];
  const most = Math.min(3, Math.floor(folded.length / 3));
  const [best] = candidates
    .map((candidate) => ({ candidate, typos: distance(folded, fold(candidate)) }))
    .filter(({ typos }) => typos <= most)
    .sort((a, b) => a.typos - b.typos);
  return best?.candidate;
}

/** "; you probably meant X", or nothing. */
export const probablyMeant = (meant: string | undefined): string =>
  meant === undefined ? "" : `; you probably meant ${meant}`;

const fold = (word: string) => word.toLowerCase().replaceAll("_", "-");

/** Typos between two words: characters that are missing, surplus, different, or swapped with their neighbour. */
export function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const typo = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + typo,
        swapped ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
