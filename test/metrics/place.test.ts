// Where --metrics listens, as users write it.
import { expect, test } from "bun:test";
import { UsageError } from "../../src/errors.ts";
import { findPlace, parsePlace } from "../../src/metrics/place.ts";
import { isOurs } from "../../src/metrics/server.ts";
import { onLoop } from "../support/loop.ts";

const placeOf = (text: string) =>
  onLoop((loop, signal) => findPlace(loop, parsePlace(text), signal));

test.each([
  ["9100", { host: "127.0.0.1", port: 9100, loopback: true }],
  [":9100", { host: "127.0.0.1", port: 9100, loopback: true }],
  ["127.0.0.2:9100", { host: "127.0.0.2", port: 9100, loopback: true }],
  ["[::1]:9100", { host: "::1", port: 9100, loopback: true }],
  ["0.0.0.0:9100", { host: "0.0.0.0", port: 9100, loopback: false }],
  ["[::]:9100", { host: "::", port: 9100, loopback: false }],
  ["10.0.0.2:9100", { host: "10.0.0.2", port: 9100, loopback: false }],
  [
    "localhost:9100",
    { host: expect.stringMatching(/^(127.*|::1)$/), port: 9100, loopback: true, name: "localhost" },
  ],
  ["unix:/nowhere/metrics", { path: "/nowhere/metrics" }],
])("%s", async (text, place) => {
  expect(await placeOf(text)).toEqual(place);
});

test.each([
  ["vsock:2:9100", "must be PORT, ADDRESS:PORT or unix:PATH"],
  ["10.0.0.2", "must be PORT, ADDRESS:PORT or unix:PATH"],
  ["::1", "must be PORT, ADDRESS:PORT or unix:PATH"],
  ["0", "the port must be 1 to 65535"],
  [":70000", "the port must be 1 to 65535"],
  ["a b:9100", "must be an IP address"],
  ["unix:", "a Unix socket path is 1 to 107 bytes"],
])("%s is refused", (text, reason) => {
  expect(() => parsePlace(text)).toThrow(UsageError);
  expect(() => parsePlace(text)).toThrow(reason);
});

const loopback = { host: "127.0.0.1", port: 9100, loopback: true };

test.each([
  "127.0.0.1:9100",
  "localhost:9100",
  "LOCALHOST",
  "[::1]:9100",
  "192.168.1.5",
  undefined,
])("on the loopback address the host %s is served", (host) => {
  expect(isOurs(loopback, host)).toBe(true);
});

test.each(["evil.example:9100", "localhost.evil.example", "127.0.0.1.evil.example", "", "[x]:1"])(
  "on the loopback address the host %s is refused",
  (host) => {
    expect(isOurs(loopback, host)).toBe(false);
  },
);

test("a name that the user gave for the loopback address is served, too", () => {
  expect(isOurs({ ...loopback, name: "guest-a" }, "guest-a:9100")).toBe(true);
  expect(isOurs({ ...loopback, name: "guest-a" }, "guest-b:9100")).toBe(false);
});

test("a Unix socket, and an address of other hosts, are served by any name", () => {
  expect(isOurs({ path: "/run/x" }, "metrics")).toBe(true);
  expect(isOurs({ host: "10.0.0.2", port: 9100, loopback: false }, "guest-a:9100")).toBe(true);
});
