// The figures that vhost-user-video publishes: the sums of the statistics lines, over all front-ends, and those of each.
import { expect, test } from "bun:test";
import type { Figure, FigureSink } from "../../src/cli/figures.ts";
import { Loop } from "../../src/loop.ts";
import { counterNames, countsOf } from "../../src/vhost/counts.ts";
import { RingStats } from "../../src/vhost/ring-stats.ts";

test("the figures follow the counters of the front-end that is here, and keep those of the ones before", () => {
  using loop = new Loop();
  const groups = new Set<{ figures: readonly Figure[]; labels: object }>();
  const metrics: FigureSink = {
    publish: (figures, labels = {}) => {
      const group = { figures, labels };
      groups.add(group);
      return { update() {}, withdraw: () => groups.delete(group), [Symbol.dispose]() {} };
    },
  };
  using stats = new RingStats(loop, { stats: 0, json: false, metrics }, {});
  const valuesOf = (figures: readonly Figure[]) =>
    Object.fromEntries(
      figures.map(({ kind, value }) => [kind.metric, typeof value === "function" && value()]),
    );
  const [all] = groups;
  const shown = () => valuesOf(all?.figures ?? []);
  const each = (): unknown[] =>
    [...groups].slice(1).map(({ figures, labels }) => ({ ...labels, ...valuesOf(figures) }));
  const first = countsOf((name) => counterNames.indexOf(name) + 1);
  const one = stats.follow(first);
  first.requests = 10;
  expect(each()).toEqual([
    {
      front_end: "1",
      framepass_front_end_requests_total: 10,
      framepass_front_end_answers_total: 2,
      framepass_front_end_interrupts_total: 3,
      framepass_front_end_malformed_chains_total: 4,
      framepass_front_end_refused_requests_total: 5,
    },
  ]);
  one[Symbol.dispose]();
  expect(each()).toEqual([]);
  stats.follow(countsOf(() => 100));
  expect(each()).toMatchObject([{ front_end: "2", framepass_front_end_requests_total: 100 }]);
  expect(shown()).toEqual({
    framepass_front_ends_total: 2,
    framepass_requests_total: 110,
    framepass_answers_total: 102,
    framepass_interrupts_total: 103,
    framepass_malformed_chains_total: 104,
    framepass_refused_requests_total: 105,
  });
});
