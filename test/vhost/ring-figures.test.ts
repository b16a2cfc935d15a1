// The figures that vhost-user-video publishes: the sums of the statistics lines, over all front-ends.
import { expect, test } from "bun:test";
import type { Figure, FigureSink } from "../../src/cli/figures.ts";
import { Loop } from "../../src/loop.ts";
import { counterNames, countsOf } from "../../src/vhost/counts.ts";
import { RingStats } from "../../src/vhost/ring-stats.ts";

test("the figures follow the counters of the front-end that is here, and keep those of the ones before", () => {
  using loop = new Loop();
  let figures: readonly Figure[] = [];
  const metrics: FigureSink = {
    publish: (published) => {
      figures = published;
      return { update() {}, [Symbol.dispose]() {} };
    },
  };
  using stats = new RingStats(loop, { stats: 0, json: false, metrics }, {});
  const shown = () =>
    Object.fromEntries(
      figures.map(({ kind, value }) => [kind.metric, typeof value === "function" && value()]),
    );
  const first = countsOf((name) => counterNames.indexOf(name) + 1);
  stats.follow(first);
  first.requests = 10;
  stats.follow(countsOf(() => 100));
  expect(shown()).toEqual({
    framepass_front_ends_total: 2,
    framepass_requests_total: 110,
    framepass_answers_total: 102,
    framepass_interrupts_total: 103,
    framepass_malformed_chains_total: 104,
    framepass_refused_requests_total: 105,
  });
});
