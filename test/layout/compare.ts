// Compares tables of ffi/linux with a header of this folder: structs and codes that no system header has.
import { expect } from "bun:test";
import { join } from "node:path";
import type { Fields, StructType } from "../../ffi/struct.ts";
import { askCompiler } from "../support/c-compiler.ts";

export interface Compared {
  readonly tables: readonly StructType<Fields>[];
  /** Each ioctl's row and the code that drivers in use have. */
  readonly codes: Readonly<Record<string, readonly [{ readonly code: number }, number]>>;
  readonly constants?: Readonly<Record<string, number>>;
}

/** Asserts that sizes, offsets and codes are those of `header`. */
export function compareWithHeader(header: string, { tables, codes, constants = {} }: Compared) {
  const ours: string[] = [];
  const questions: string[] = [];
  const ask = (c: string, value: number) => {
    ours.push(`${c} = ${value}`);
    questions.push(c);
  };
  for (const table of tables) {
    ask(`sizeof(${table.name})`, table.size);
    for (const [member, field] of Object.entries(table.fields)) {
      ask(`offsetof(${table.name}, ${member})`, field.offset);
      ask(`sizeof(((${table.name} *)0)->${member})`, field.size);
    }
  }
  for (const [name, [{ code }, known]] of Object.entries(codes)) {
    expect(code).toBe(known);
    ask(name, code);
  }
  for (const [name, value] of Object.entries(constants)) ask(name, value);
  const answers = askCompiler([`"${join(import.meta.dir, header)}"`], questions, ["-Werror"]);
  expect(answers.length).toBe(ours.length);
  expect(ours).toEqual(questions.map((q, i) => `${q} = ${answers[i]}`));
}
