// Names of outputs for several senders.
import { expect, test } from "bun:test";
import { UsageError } from "../../src/errors.ts";
import { addressPart, expandName, hasPart, hostOf } from "../../src/output/name-template.ts";

const parts = { number: 7, address: "10.0.0.5" };

test.each([
  ["cam-%n.y4m", "cam-7.y4m"],
  ["%a/cam%n-%n.y4m", "10.0.0.5/cam7-7.y4m"],
  ["100%%-%n", "100%-7"],
  ["%%n", "%n"],
  ["plain", "plain"],
])("%s becomes %s", (template, name) => {
  expect(expandName(template, parts)).toBe(name);
});

test.each(["%d", "cam%", "% n", "%N"])("%s is refused", (template) => {
  expect(() => expandName(template, parts)).toThrow(UsageError);
  expect(() => expandName(template, parts)).toThrow("has no meaning; %n is the sender's number");
});

test("a doubled per cent sign before a letter is no part", () => {
  expect([hasPart("a%%n", "n"), hasPart("a%%%n", "n"), hasPart("%a", "n")]).toEqual([
    false,
    true,
    false,
  ]);
});

test.each([
  ["10.0.0.5:4000", "10.0.0.5", "10.0.0.5"],
  ["[fe80::1%2]:4000", "fe80::1%2", "fe80--1-2"],
  ["[::1]:4000", "::1", "0--1"],
  ["vsock:3:4000", "vsock:3", "vsock-3"],
  ["unix", "unix", "unix"],
])("the peer %s is the host %s, in file names %s", (name, host, part) => {
  expect(hostOf(name)).toBe(host);
  expect(addressPart(host)).toBe(part);
});

test("an address cannot lead out of a folder or begin an option", () => {
  for (const host of ["../../etc/passwd", "/etc", ".", "..", "-rf", "a/b\0c\n", ""])
    expect(addressPart(host)).toMatch(/^[A-Za-z0-9][A-Za-z0-9.-]*$/);
});
