// The row of --heap.
import { deviceFiles } from "../cli/device-files.ts";
import { DEFAULT_HEAP } from "./memory.ts";

export const heapOption = <const H extends string>(help: H) =>
  ({
    short: "e",
    type: "text",
    default: DEFAULT_HEAP,
    value: "PATH",
    completes: deviceFiles.heap,
    help,
  }) as const;
