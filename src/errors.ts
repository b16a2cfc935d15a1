// Error classes and exit codes. A failure's text is one line: the call, the object, the reason, what to do.
import { asSysError, SysError } from "../ffi/errno.ts";
import { CallError, LibraryError } from "../ffi/library.ts";

/** Every exit status and its meaning. Help texts, man pages and tests read it from here. */
export const exitCodes = {
  done: { status: 0, meaning: "done" },
  failed: { status: 1, meaning: "failed" },
  usage: { status: 2, meaning: "wrong usage" },
  unavailable: { status: 3, meaning: "not available on this host" },
  stopped: { status: 130, meaning: "stopped by a signal; vhost-user-video then ends with 0" },
} as const;

/** The command line is wrong. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** The option as it was typed, where the reason is that the tool does not have it. */
  readonly unknownOption: string | undefined;
  constructor(message: string, more: ErrorOptions & { readonly unknownOption?: string } = {}) {
    super(message, more);
    this.unknownOption = more.unknownOption;
  }
}

/** The peer sent something that is not allowed, or left in the middle of a message: its connection is closed. */
export class ProtocolError extends Error {
  override readonly name: string = "ProtocolError";
}

/**
 * The other end of a connection is gone: a call on its socket failed, or it closed the connection in the middle of
 * something. Ends the connection like every ProtocolError.
 */
export class PeerGone extends ProtocolError {
  override readonly name = "PeerGone";
  readonly call: string;
  /** The socket's name, which is the peer's address. */
  readonly object: string;
  /** The errno's name, "EPIPE"; undefined when the peer closed the connection. */
  readonly code: string | undefined;

  /** `reason` is the errno `call` failed with, or a text when the peer closed the connection. */
  constructor(call: string, object: string, reason: number | string) {
    const failure = typeof reason === "number" ? new SysError(call, object, reason) : undefined;
    super(failure?.message ?? `${object}: ${reason}`, { cause: failure });
    this.call = call;
    this.object = object;
    this.code = failure?.code;
  }
}

/** The program that read a pipe of ours has ended, a player that was closed for example. The tool ends with status 0. */
export class ReaderLeft extends Error {
  override readonly name = "ReaderLeft";
  /** `pipe` is "stdout" or the path of the pipe. */
  constructor(pipe: string, cause?: unknown) {
    super(`${pipe}: the program that read it has ended`, { cause });
  }
}

/** Runs `action`, which makes calls on a connection's socket. Throws PeerGone when one of them fails. */
export function onPeer<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new PeerGone(error.call, error.object, error.errno);
  }
}

/** This host lacks something that was requested, a device, a permission, a library. */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}

/** A driver does not accept buffers of one memory type, or the heap failed; another type may work. */
export class MemoryRefused extends UnavailableError {
  /** What a person can do where no other memory type may be tried; not part of the message. */
  readonly advice: string;
  constructor(cause: SysError, advice: string) {
    super(cause.message, { cause });
    this.advice = advice;
  }
}

/** A source ended in mid-stream: the device was removed, its signal changed, a file was truncated. */
export class SourceEnded extends Error {
  override readonly name = "SourceEnded";
  /** Whether opening the source again may help: yes for a device that was unplugged or changed its signal. */
  readonly mayReturn: boolean;
  constructor(message: string, mayReturn: boolean, cause?: unknown) {
    super(message, { cause });
    this.mayReturn = mayReturn;
  }
}

/** An output cannot be written any more: its device was removed, for example. The sender is not at fault. */
export class OutputLost extends Error {
  override readonly name = "OutputLost";
}

/**
 * Runs `action`. A failed system call in it becomes an UnavailableError, with what to do according to `advice`, which may be "".
 */
export function needed<T>(action: () => T, advice: (error: SysError) => string): T {
  try {
    return action();
  } catch (caught) {
    const error = asSysError(caught);
    if (error === undefined) throw caught;
    const todo = advice(error);
    throw new UnavailableError(todo === "" ? error.message : `${error.message}; ${todo}`, {
      cause: error,
    });
  }
}

/** Runs `action`. A library that is missing or too old becomes an UnavailableError that names the Debian package. */
export function needLibrary<T>(action: () => T, debianPackage: string): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof LibraryError)) throw error;
    const install = error.missing ? "install" : "install a newer";
    throw new UnavailableError(`${error.message}; ${install} ${debianPackage}`, { cause: error });
  }
}

/** Appends what the user can do to the error's text. Returns the same error. */
export function advised<E extends Error>(error: E, todo: string): E {
  if (todo !== "") error.message += `; ${todo}`;
  return error;
}

/** The exit status for an error. */
export function exitStatus(error: unknown): number {
  if (error instanceof ReaderLeft) return exitCodes.done.status;
  if (error instanceof UsageError) return exitCodes.usage.status;
  if (error instanceof UnavailableError) return exitCodes.unavailable.status;
  return exitCodes.failed.status;
}

/** What a program reads of an error: its class, the failed call with its object and errno if there was one, and the text. */
export function failureFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { class: typeof error, message: String(error) };
  const fields: Record<string, unknown> = { class: error.name, message: error.message };
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof SysError || at instanceof CallError) {
      const code = at instanceof SysError ? { errno: at.code } : {};
      return { ...fields, call: at.call, object: at.object, ...code };
    }
  }
  return fields;
}

/** Whether an error has a cause outside this program. All others are defects of ours and are printed with their stack. */
export function isExpected(error: unknown): error is Error {
  const expected = [
    SysError,
    CallError,
    LibraryError,
    UsageError,
    ProtocolError,
    UnavailableError,
    SourceEnded,
    OutputLost,
    ReaderLeft,
  ];
  return expected.some((kind) => error instanceof kind);
}
