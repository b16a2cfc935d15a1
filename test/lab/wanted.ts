// What a check says when something else was wanted.

/** Throws an error that names both where `got` is not what is wanted. */
export function wanted(what: string, got: unknown, want: unknown): void {
  if (got !== want) throw new Error(`${what}: ${got}, must be ${want}`);
}
