// The interface of a bench, and what benches share.

export interface Bench {
  readonly name: string;
  readonly title: string;
  /** Measures and prints; true when every target was met. */
  run(args: readonly string[]): Promise<boolean>;
}

/** The median. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** A free TCP port of the loopback address. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}

/** Prints rows as a Markdown table, as the README shows them. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const lines = [head, head.map(() => "---"), ...rows];
  for (const line of lines) console.log(`| ${line.join(" | ")} |`);
}
