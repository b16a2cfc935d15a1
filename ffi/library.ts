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
  if (handle === 0) {
    const reason = textAt(libc.dlerror());
    const missing = reason.startsWith(`${soname}: cannot open`) || reason.includes("No such file");
    throw new LibraryError(
      missing && !reason.includes(": undefined") ? `${soname} not found` : `dlopen ${reason}`,
      missing,
    );
  }
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
