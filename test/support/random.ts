// Seeded random numbers for fuzz tests: the seed reproduces a case.

/** A generator of its own for each seed (mulberry32). */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** 32 random bits. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return this.bits() % limit;
  }
  pick<T>(from: readonly [T, ...T[]]): T {
    return from[this.below(from.length)] ?? from[0];
  }
  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }
  /** Numbers at the edges of ranges, which find more faults than uniform ones. */
  hostile(): number {
    const edges = [0, 1, 2, 7, 8, 9, 16, 63, 64, 65, 0x100, 0x101, 0xfff, 0x1000, 0x1001] as const;
    const far = [0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_ffff, 0x1006, 0x1000_0000] as const;
    return this.chance(4) ? this.bits() : this.pick(this.chance(3) ? far : edges);
  }
}
