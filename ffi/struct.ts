// Structs as tables: C member paths with explicit offsets. An instance is a view over memory with an accessor per member. It
// is made once and reused. Reading or writing a member allocates nothing, except bigints.
import { addressOf } from "./libc.ts";

/** One member: its offset, its size, and its accessors for a byte order. */
export interface Field<T> {
  readonly offset: number;
  readonly size: number;
  /** Elements of `size / count` bytes; 1 for a scalar. */
  readonly count: number;
  readonly access: (little: boolean) => {
    get(view: DataView<ArrayBuffer>): T;
    set?(view: DataView<ArrayBuffer>, value: T): void;
  };
}

export type Fields = Record<string, Field<unknown>>;

/** A struct in memory: its members by their C names, its bytes as `$bytes`, its address as `$address`. */
export type Struct<F extends Fields> = {
  -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
} & {
  readonly $bytes: Uint8Array<ArrayBuffer>;
  readonly $address: number;
};

export interface StructType<F extends Fields> {
  /** The C name, "struct v4l2_buffer". */
  readonly name: string;
  readonly size: number;
  readonly fields: F;
  /** A zeroed struct in its own memory, which does not move. */
  alloc(): Struct<F>;
  /** A struct over `bytes` from `offset`. Throws RangeError if it does not fit. */
  over(bytes: Uint8Array<ArrayBuffer>, offset?: number): Struct<F>;
}

type Getter<T> = (view: DataView<ArrayBuffer>, at: number, little: boolean) => T;
type Setter<T> = (view: DataView<ArrayBuffer>, at: number, value: T, little: boolean) => void;

function scalar<T>(size: number, read: Getter<T>, write: Setter<T>) {
  return (offset: number): Field<T> => ({
    offset,
    size,
    count: 1,
    access: (little) => ({
      get: (view) => read(view, offset, little),
      set: (view, value) => write(view, offset, value, little),
    }),
  });
}

export const u8 = scalar<number>(
  1,
  (v, at) => v.getUint8(at),
  (v, at, x) => v.setUint8(at, x),
);
export const u16 = scalar<number>(
  2,
  (v, at, le) => v.getUint16(at, le),
  (v, at, x, le) => v.setUint16(at, x, le),
);
export const u32 = scalar<number>(
  4,
  (v, at, le) => v.getUint32(at, le),
  (v, at, x, le) => v.setUint32(at, x, le),
);
export const i32 = scalar<number>(
  4,
  (v, at, le) => v.getInt32(at, le),
  (v, at, x, le) => v.setInt32(at, x, le),
);
/** 64 bits as a bigint, exact. For numbers from outside, until their range is checked. */
export const u64 = scalar<bigint>(
  8,
  (v, at, le) => v.getBigUint64(at, le),
  (v, at, x, le) => v.setBigUint64(at, x, le),
);
/** 64 signed bits as a bigint. */
export const i64 = scalar<bigint>(
  8,
  (v, at, le) => v.getBigInt64(at, le),
  (v, at, x, le) => v.setBigInt64(at, x, le),
);
/**
 * 64 unsigned bits as a number, for values read per frame. Exact up to 2^53, rounded above, which every range check still
 * refuses. Writing takes whole numbers from 0 to 2^53.
 */
export const n64 = scalar<number>(
  8,
  (v, at, le) =>
    v.getUint32(at + (le ? 4 : 0), le) * 0x1_0000_0000 + v.getUint32(at + (le ? 0 : 4), le),
  (v, at, x, le) => {
    v.setUint32(at + (le ? 4 : 0), Math.floor(x / 0x1_0000_0000), le);
    v.setUint32(at + (le ? 0 : 4), x % 0x1_0000_0000, le);
  },
);

/** `length` bytes. Each read makes a new view. */
export function bytes(offset: number, length: number): Field<Uint8Array<ArrayBuffer>> {
  return {
    offset,
    size: length,
    count: length,
    access: () => ({
      get: (view) => new Uint8Array(view.buffer, view.byteOffset + offset, length),
      set: (view, value) => {
        if (value.length !== length) throw new RangeError(`${value.length} bytes for ${length}`);
        new Uint8Array(view.buffer, view.byteOffset + offset, length).set(value);
      },
    }),
  };
}

/** Text of at most `length` bytes that ends at its first NUL. */
export function text(offset: number, length: number): Field<string> {
  return {
    offset,
    size: length,
    count: length,
    access: () => ({
      get: (view) => {
        const all = new Uint8Array(view.buffer, view.byteOffset + offset, length);
        const end = all.indexOf(0);
        return new TextDecoder().decode(end < 0 ? all : all.subarray(0, end));
      },
    }),
  };
}

/** Like `text`, and it can be set. At most `length` - 1 bytes are written: whole characters, then NULs. */
export function writableText(offset: number, length: number): Field<string> {
  const readable = text(offset, length);
  return {
    ...readable,
    access: (little) => ({
      ...readable.access(little),
      set: (view, value) => {
        const field = new Uint8Array(view.buffer, view.byteOffset + offset, length).fill(0);
        new TextEncoder().encodeInto(value, field.subarray(0, length - 1));
      },
    }),
  };
}

/** `count` unsigned 32-bit words, in the struct's byte order: `get(i)`, `set(i, value)`. */
export interface Words {
  readonly length: number;
  get(index: number): number;
  set(index: number, value: number): void;
}

/** An array of `count` unsigned 32-bit words. */
export function words(offset: number, count: number): Field<Words> {
  const at = (index: number) => {
    if (index < 0 || index >= count) throw new RangeError(`word ${index} of ${count}`);
    return offset + index * 4;
  };
  return {
    offset,
    size: count * 4,
    count,
    access: (little) => ({
      get: (view) => ({
        length: count,
        get: (index) => view.getUint32(at(index), little),
        set: (index, value) => view.setUint32(at(index), value, little),
      }),
    }),
  };
}

/** Whether the host is little-endian. Every system that Bun runs on is; a test checks it. */
export const hostIsLittle = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/**
 * Defines a struct: its C name, its size in bytes and its members. `order` is "host" for kernel structs, "big" or
 * "little" for messages. Throws RangeError if a member is outside the struct.
 */
export function struct<const F extends Fields>(
  name: string,
  size: number,
  fields: F,
  order: "host" | "big" | "little" = "host",
): StructType<F> {
  const little = order === "little" || (order === "host" && hostIsLittle);
  class Instance {
    readonly $view: DataView<ArrayBuffer>;
    readonly $bytes: Uint8Array<ArrayBuffer>;
    constructor(memory: Uint8Array<ArrayBuffer>) {
      this.$bytes = memory;
      this.$view = new DataView(memory.buffer, memory.byteOffset, size);
    }
    get $address(): number {
      return addressOf(this.$bytes);
    }
  }
  for (const [member, field] of Object.entries(fields)) {
    if (field.offset + field.size > size) throw new RangeError(`${name}.${member} is outside`);
    const { get, set } = field.access(little);
    Object.defineProperty(Instance.prototype, member, {
      get(this: Instance) {
        return get(this.$view);
      },
      ...(set && {
        set(this: Instance, value: unknown) {
          set(this.$view, value);
        },
      }),
    });
  }
  const over = (memory: Uint8Array<ArrayBuffer>, offset = 0) =>
    new Instance(
      new Uint8Array(memory.buffer, memory.byteOffset + offset, size),
    ) as unknown as Struct<F>;
  return { name, size, fields, over, alloc: () => over(new Uint8Array(new ArrayBuffer(size))) };
}
