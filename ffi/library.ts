// Optional libraries, loaded on first use by soname. The dlopen of the C library searches where the system keeps
// libraries; that of the runtime also loads from the current directory.
import { CString, type FFIType, linkSymbols } from "bun:ffi";
import { addressOf, cString, libc } from "./libc.ts";

const RTLD_NOW = 2;

/** A library cannot be used: it was not found (`missing`), or it lacks a function. */
export class LibraryError extends Error {
  override readonly name = "LibraryError";
  readonly missing: boolean;
  constructor(message: string, missing: boolean) {
    super(message);
    this.missing = missing;
  }
}

/** A function of a library failed: the call, the object, the reason. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly call: string;
  readonly object: string;
  constructor(call: string, object: string, reason: string) {
    const why = reason.replace(/\s+/g, " ").trim() || "no reason given";
    super(`${object === "" ? call : `${call} ${object}`}: ${why}`);
    this.call = call;
    this.object = object;
  }
}

/** Signatures by function name, as bun:ffi takes them. Addresses and sizes are u64_fast/i64_fast. */
export type Signatures = Readonly<
  Record<string, { readonly args: readonly FFIType[]; readonly returns: FFIType }>
>;

type Numbers<A extends readonly unknown[]> = { [I in keyof A]: number };
/** The bound functions. All arguments and results are numbers. */
export type Functions<S extends Signatures> = {
  [K in keyof S]: (...args: Numbers<S[K]["args"]>) => number;
};

/** Loads `soname` ("libSDL2-2.0.so.0") and binds functions. It is never unloaded. Throws LibraryError. */
export function openLibrary<S extends Signatures>(soname: string, signatures: S): Functions<S> {
  const name = cString(soname);
  const handle = libc.dlopen(addressOf(name), RTLD_NOW);
  if (handle === 0) throw notLoaded(soname, textAt(libc.dlerror()));
  const symbols: Record<string, { args: FFIType[]; returns: FFIType; ptr: number }> = {};
  for (const [symbol, { args, returns }] of Object.entries(signatures)) {
    const text = cString(symbol);
    const ptr = libc.dlsym(handle, addressOf(text));
    if (ptr === 0) throw new LibraryError(`${soname} is too old: it has no ${symbol}`, false);
    symbols[symbol] = { args: [...args], returns, ptr };
  }
  const linked = linkSymbols(symbols as unknown as Parameters<typeof linkSymbols>[0]);
  return linked.symbols as unknown as Functions<S>;
}

/** The error for what dlerror says. A library that `soname` needs may be the missing one: then `soname` itself is installed. */
function notLoaded(soname: string, reason: string): LibraryError {
  // glibc: "NAME: cannot open shared object file: ..."; musl: "Error loading shared library NAME: No such file or directory".
  const missing =
    reason.startsWith(`${soname}: cannot open`) || reason.includes(`${soname}: No such file`);
  if (missing) return new LibraryError(`${soname} not found`, true);
  return new LibraryError(`dlopen ${reason.includes(soname) ? "" : `${soname}: `}${reason}`, false);
}

/**
 * Opens the first of `sonames` that `open` accepts; `name` is what they have in common. Throws LibraryError: `missing` when the
 * host has none of them, otherwise with the reason for each that it has.
 */
export function openFirst<T>(
  name: string,
  sonames: readonly string[],
  open: (soname: string) => T,
): T {
  const reasons: string[] = [];
  for (const soname of sonames) {
    try {
      return open(soname);
    } catch (error) {
      if (!(error instanceof LibraryError)) throw error;
      if (!error.missing) reasons.push(error.message);
    }
  }
  const tried = `tried ${sonames.join(", ")}`;
  const missing = reasons.length === 0;
  const text = missing ? `${name} not found` : `no ${name} can be used: ${reasons.join("; ")}`;
  throw new LibraryError(`${text} (${tried})`, missing);
}

/** The address of a function of a library that is loaded. Throws LibraryError. */
export function symbolAt(soname: string, symbol: string): number {
  const [name, text] = [cString(soname), cString(symbol)];
  const at = libc.dlsym(libc.dlopen(addressOf(name), RTLD_NOW), addressOf(text));
  if (at === 0) throw new LibraryError(`${soname} is too old: it has no ${symbol}`, false);
  return at;
}

/** Binds a function by an address that a library returned. */
export function functionAt<const A extends readonly FFIType[]>(
  at: number,
  args: A,
  returns: FFIType,
): (...args: Numbers<A>) => number {
  const definition = { function: { args: [...args], returns, ptr: at } };
  const linked = linkSymbols(definition as unknown as Parameters<typeof linkSymbols>[0]);
  return linked.symbols.function as unknown as (...args: Numbers<A>) => number;
}

/** The NUL-terminated text at an address; "" for address 0. */
export function textAt(address: number): string {
  if (address === 0) return "";
  return new CString(address as ConstructorParameters<typeof CString>[0]).toString();
}

/** The version of a library of FFmpeg as text: AV_VERSION_INT of libavutil/version.h. */
export const versionText = (version: number): string =>
  [version >>> 16, (version >>> 8) & 0xff, version & 0xff].join(".");
