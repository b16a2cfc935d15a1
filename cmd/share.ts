// share: prepares the host file by which two guests share frame memory (--share dax).
import { resolve } from "node:path";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { UsageError } from "../src/errors.ts";
import { createShareFile, LEAST_FILE, qemuOptions } from "../src/share/nvdimm.ts";
import { REGION_UNIT } from "../src/share/region.ts";
import { toolRow } from "./tool-rows.ts";

export const share = defineTool({
  ...toolRow("share"),
  operands: {
    action: {
      type: "choice",
      choices: ["create"],
      default: "create",
      required: true,
      value: "ACTION",
      help: "what to do",
    },
    file: { type: "text", required: true, value: "FILE", help: "the file, which must not exist" },
  },
  options: {
    size: {
      short: "s",
      type: "size",
      min: LEAST_FILE,
      max: 4 * 1024 ** 3,
      default: 128 * 1024 ** 2,
      help: "bytes, or with K, M, G; a multiple of 2M, of which the first 2M are the device's",
    },
  },
  async run({ file, size }) {
    if (size % REGION_UNIT !== 0) throw new UsageError("--size must be a multiple of 2M");
    const path = resolve(file);
    createShareFile(path, size);
    const { sender, receiver } = qemuOptions(path, size);
    await printOut(`sender:   ${sender}\nreceiver: ${receiver}`);
    return "done";
  },
});

if (import.meta.main) await runMain(share);
