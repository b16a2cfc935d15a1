// Comparing a value in a check.

/** Throws an error that names both values when `got` is not `want`. */
export function wanted(what: string, got: unknown, want: unknown): void {
  if (got !== want) throw new Error(`${what}: ${got}, must be ${want}`);
}
