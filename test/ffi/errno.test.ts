import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { asSysError, SysError } from "../../ffi/errno.ts";

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

test("an error of the runtime's own calls has call, object and reason like every failed system call", () => {
  const read = asSysError(thrownBy(() => readFileSync("/etc/passwd/x")));
  expect(read?.message).toBe("open /etc/passwd/x: ENOTDIR (not a directory)");
  expect([read?.call, read?.object, read?.code]).toEqual(["open", "/etc/passwd/x", "ENOTDIR"]);
  const spawn = asSysError(thrownBy(() => Bun.spawn(["/etc/passwd/x"])));
  expect(spawn?.message).toBe("posix_spawn /etc/passwd/x: ENOTDIR (not a directory)");
});

test("a SysError stays itself, and what is no failed call is none", () => {
  const own = new SysError("epoll_create1", "", 24);
  expect(own.message).toBe("epoll_create1: EMFILE (too many open files)");
  expect(asSysError(own)).toBe(own);
  for (const other of [new Error("a defect"), new TypeError("x"), "text", undefined, null]) {
    expect(asSysError(other)).toBeUndefined();
  }
});
