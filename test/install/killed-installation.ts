// Installs entries, and kills itself before its nth change of the disk: what a kill or a crash at that moment leaves behind.
// It replaces functions of the runtime, so it runs in a process of its own.
import { createRequire, syncBuiltinESMExports } from "node:module";

const [prefix = "", entries = "", nth = ""] = process.argv.slice(2);
let left = Number(nth);
const changing = ["chmodSync", "fchmodSync", "mkdirSync", "openSync", "renameSync", "rmSync"];
const functions: Record<string, (...words: unknown[]) => unknown> = createRequire(import.meta.url)(
  "node:fs",
);
for (const name of [...changing, "rmdirSync", "symlinkSync", "writeSync"]) {
  const real = functions[name];
  functions[name] = (...words) => {
    const isChange = name !== "openSync" || words[1] !== "r";
    if (isChange && --left === 0) process.kill(process.pid, "SIGKILL");
    return real?.(...words);
  };
}
syncBuiltinESMExports();
const { install, planInstallation } = await import("../../src/install/install.ts");
install(planInstallation(prefix, JSON.parse(entries)));
