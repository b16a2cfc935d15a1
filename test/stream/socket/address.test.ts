import { expect, test } from "bun:test";
import fc from "fast-check";
import { readSockaddr } from "../../../ffi/sockaddr.ts";
import { UsageError } from "../../../src/errors.ts";
import { allowList, parseAddress } from "../../../src/stream/socket/address.ts";

const resolveOne = async (text: string, port: number | undefined = 5000) => {
  const [first] = await parseAddress("--address", text, port).resolve();
  if (first === undefined) throw new Error("no address");
  return first;
};

test.each([
  ["127.0.0.1", "127.0.0.1:5000"],
  ["::1", "[::1]:5000"],
  ["[fe80::1%3]", "[fe80::1%3]:5000"],
  ["vsock:7", "vsock:7:5000"],
  ["vsock:any", "vsock:any:5000"],
  ["unix:/run/x", "unix:/run/x"],
])("%s is understood as %s", async (text, name) => {
  expect((await resolveOne(text)).name).toBe(name);
});

test("the kernel returns the address that it was given", async () => {
  for (const text of [
    "127.0.0.1",
    "10.255.0.7",
    "::1",
    "2001:db8::7",
    "fe80::a:0:0:1%3",
    "vsock:3",
  ]) {
    const { bytes, name } = await resolveOne(text);
    expect(readSockaddr(bytes).name).toBe(name);
  }
});

test("an IPv4 peer of an IPv6 socket is shown as IPv4", async () => {
  const { bytes } = await resolveOne("::ffff:192.0.2.33");
  expect(readSockaddr(bytes).name).toBe("192.0.2.33:5000");
});

test("a host name is looked up when it is used", async () => {
  expect((await resolveOne("localhost")).name).toMatch(/^(127\.0\.0\.1|\[::1\]):5000$/);
});

test("random IPv6 addresses are the same after text, bytes and text", async () => {
  await fc.assert(
    fc.asyncProperty(fc.ipV6(), async (text) => {
      fc.pre(!/^fe[89ab].:/i.test(text)); // link-local: needs an interface
      const { bytes } = await resolveOne(text);
      const again = readSockaddr(bytes).name.replace(/^\[?(.*?)\]?:5000$/, "$1");
      expect((await resolveOne(again)).bytes.slice(4, 24).toHex().slice(-8)).toBe(
        bytes.slice(4, 24).toHex().slice(-8),
      );
    }),
    { numRuns: 500 },
  );
});

test.each([
  "",
  "a b",
  "-x",
  "1.2.3.4.5:",
  "vsock:",
  "vsock:x",
  "vsock:4294967296",
  "unix:",
  `unix:/${"x".repeat(120)}`,
  "a/b",
  "[1.2.3",
])("%p is no address", (text) => {
  expect(() => parseAddress("--address", text, 5000)).toThrow(UsageError);
});

test.each([
  ["127.0.0.1:5001", "127.0.0.1:5001"],
  ["[::1]:5001", "[::1]:5001"],
  ["[fe80::1%3]:5001", "[fe80::1%3]:5001"],
  ["vsock:7:5001", "vsock:7:5001"],
  ["vsock:any:5001", "vsock:any:5001"],
])("%s has its port with it", async (text, name) => {
  const [first] = await parseAddress("--address", text, undefined).resolve();
  expect(first?.name).toBe(name);
  expect(parseAddress("--address", text, 5001).text).toBe(name); // --port may say the same
});

test("a host name has its port with it", () => {
  expect(parseAddress("--address", "camera.local:5001", undefined).text).toBe("camera.local:5001");
});

test.each([
  ["127.0.0.1:", undefined, 'the port must be 1 to 65535, got ""'],
  ["127.0.0.1:0", undefined, 'the port must be 1 to 65535, got "0"'],
  ["[::1]:65536", undefined, 'the port must be 1 to 65535, got "65536"'],
  ["host:x", 5000, 'the port must be 1 to 65535, got "x"'],
  ["127.0.0.1:5000", 5001, "name two ports"],
  ["::1", undefined, "--port is required (1 to 65535), or --address [::1]:5000"],
  ["10.0.0.2", undefined, "--port is required (1 to 65535), or --address 10.0.0.2:5000"],
  [":5000", undefined, 'must be an IP address, a host name, unix:/path or vsock:CID, got ":5000"'],
  ["a:b:c", undefined, 'must be an IP address, a host name, unix:/path or vsock:CID, got "a:b:c"'],
  ["fe80::1", 5000, "a link-local address needs its interface: fe80::1%eth0 for example"],
  ["[fe80::1]:5000", undefined, "a link-local address needs its interface"],
  ["fe80::1%nosuch", 5000, 'there is no interface "nosuch"'],
])("%p with --port %p is refused with what to write", (text, port, says) => {
  expect(() => parseAddress("--address", text, port)).toThrow(says);
  expect(() => parseAddress("--address", text, port)).toThrow(UsageError);
});

test("everything but a Unix socket needs a port", () => {
  expect(() => parseAddress("--address", "127.0.0.1", undefined)).toThrow("--port is required");
  expect(() => parseAddress("--address", "vsock:2", undefined)).toThrow("--port is required");
  expect(parseAddress("--address", "unix:/x", undefined).path).toBe("/x");
});

test("only peers of the allowed blocks may connect, of both families", () => {
  const allowed = allowList(["10.0.0.0/8", "192.0.2.7", "fd99::/64"]);
  const verdicts = [
    "10.1.2.3:99",
    "11.0.0.1:99",
    "192.0.2.7:1",
    "192.0.2.8:1",
    "[fd99::5]:1",
    "[fd98::5]:1",
    "unix",
  ];
  expect(verdicts.map(allowed)).toEqual([true, false, true, false, true, false, false]);
  expect(allowList([])("1.2.3.4:5")).toBe(true);
});

test.each([
  "10.0.0.0/33",
  "10.0.0/8",
  "fd99::/129",
  "x",
  "10.0.0.0/",
  "10.0.0.0/8/8",
  "10.0.0.0/-1",
])("--allow %s is refused", (text) => {
  expect(() => allowList([text])).toThrow("--allow must be an IP address or CIDR block");
});
