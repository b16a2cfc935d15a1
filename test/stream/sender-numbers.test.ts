// Which number a sender gets.
import { expect, test } from "bun:test";
import { SenderNumbers } from "../../src/stream/sender-numbers.ts";

test("senders get the lowest free number", () => {
  const numbers = new SenderNumbers(3);
  expect(["a", "b", "c"].map((host) => numbers.give(host, 0).number)).toEqual([1, 2, 3]);
  expect(numbers.someFree).toBe(false);
  expect(() => numbers.give("d", 0)).toThrow(RangeError);
  numbers.release(3, 0);
  numbers.release(2, 0);
  expect(numbers.give("d", 60_000).number).toBe(2);
});

test("a sender that comes again gets its number again, also when a lower one is free", () => {
  const numbers = new SenderNumbers(3);
  for (const host of ["a", "b", "c"]) numbers.give(host, 0);
  numbers.release(1, 0);
  numbers.release(3, 0);
  expect(numbers.give("c", 60_000)).toEqual({ number: 3, again: true });
});

test("a number is kept for 10 s for the sender that has left, while another is free", () => {
  const numbers = new SenderNumbers(2);
  numbers.give("a", 0);
  numbers.release(1, 1000);
  expect(numbers.give("b", 2000)).toEqual({ number: 2, again: false });
  expect(numbers.give("c", 2000)).toEqual({ number: 1, again: false });
  numbers.release(1, 3000);
  expect(numbers.give("d", 13_000)).toEqual({ number: 1, again: false });
});

test("of two senders that have left one host, neither is taken for the other when they come again", () => {
  const numbers = new SenderNumbers(2);
  numbers.give("a", 0);
  numbers.give("a", 0);
  numbers.release(1, 0);
  numbers.release(2, 0);
  expect(numbers.give("a", 1)).toEqual({ number: 1, again: false });
  expect(numbers.give("a", 1)).toEqual({ number: 2, again: false });
  numbers.release(2, 2);
  expect(numbers.give("a", 3)).toEqual({ number: 2, again: true });
});

test("a number that has ended is not given again", () => {
  const numbers = new SenderNumbers(2);
  expect(numbers.lowestTaken).toBeUndefined();
  numbers.give("a", 0);
  numbers.end(1);
  expect(numbers.allOver).toBe(false);
  expect(numbers.give("a", 0)).toEqual({ number: 2, again: false });
  expect(numbers.lowestTaken).toBe(2);
  numbers.end(2);
  expect([numbers.allOver, numbers.someFree, numbers.lowestTaken]).toEqual([
    true,
    false,
    undefined,
  ]);
});
