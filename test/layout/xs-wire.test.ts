// The table of ffi/linux/xs-wire.ts against xs-wire.h, as the compiler lays it out. No package for programs has Xen's header.
import { test } from "bun:test";
import { XS_ERROR, XS_READ, xsdSockmsg } from "../../ffi/linux/xs-wire.ts";
import { compareWithHeader } from "./compare.ts";

test("size and offsets of a message to xenstore are the compiler's", () => {
  compareWithHeader("xs-wire.h", {
    tables: [xsdSockmsg],
    codes: {},
    constants: { XS_READ, XS_ERROR },
  });
});
