// The fuzz targets of test/fuzz/video.ts, with as many cases as every check runs.
import { test } from "bun:test";
import { fuzzBodies, fuzzSequences } from "../fuzz/video.ts";

const CASES = 50_000;

test("50,000 command bodies: nothing twice, nothing outside guest memory, the device goes on", () => {
  fuzzBodies(1, CASES);
}, 60_000);

test("50,000 sequences of valid commands: everything is answered once, and in time", () => {
  fuzzSequences(1, CASES);
}, 60_000);
