// The generated part of docs/monitors.md: what `framepass share create` prints for each monitor.
import { type Monitor, monitors, sides } from "../src/share/monitors.ts";

const file = { path: "/dev/shm/frames", size: 128 * 1024 ** 2 };

/** The program that is started with the printed line; none takes XML. */
const programs: Readonly<Record<string, string>> = {
  qemu: "qemu-system-x86_64 ",
  crosvm: "crosvm run ",
  "cloud-hypervisor": "cloud-hypervisor ",
};

function block(monitor: Monitor): string {
  const program = programs[monitor.name];
  if (program === undefined) {
    return sides
      .map((side) => `The ${side}'s domain:\n\n\`\`\`xml\n${monitor.guest(side, file)}\n\`\`\``)
      .join("\n\n");
  }
  const lines = sides.map((side) => `${program}${monitor.guest(side, file)} ...    # ${side}`);
  return `\`\`\`sh\n${lines.join("\n")}\n\`\`\``;
}

/** A section for each monitor. */
export const shareLines = (): string =>
  monitors.map((monitor) => `**\`--for ${monitor.name}\`**\n\n${block(monitor)}`).join("\n\n");
