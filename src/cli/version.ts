// The line that `--version` prints. The build defines commit and target; the sources say "from source" and this host.
import { version } from "../../package.json";

declare const FRAMEPASS_COMMIT: string | undefined;
declare const FRAMEPASS_TARGET: string | undefined;

/** One line: version, commit, target. */
export function versionLine(): string {
  const commit = typeof FRAMEPASS_COMMIT === "string" ? FRAMEPASS_COMMIT : "from source";
  const target = typeof FRAMEPASS_TARGET === "string" ? FRAMEPASS_TARGET : `linux-${process.arch}`;
  return `framepass ${version} (${commit}) ${target}`;
}
