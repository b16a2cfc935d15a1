// The priority of a line for the journal of systemd: sd-daemon(3), SyslogLevelPrefix= in systemd.exec(5).
import { fstatSync } from "node:fs";

/** Numbers of syslog(3). */
const priorities = { fatal: 3, error: 3, warn: 4, info: 6, debug: 7 } as const;

/** Whether descriptor `fd` leads to the journal, as JOURNAL_STREAM says: systemd.exec(5). */
export function leadsToJournal(fd: number, stream: string | undefined): boolean {
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false; // closed
  }
}

const inJournal = leadsToJournal(2, process.env.JOURNAL_STREAM);

/** The lines of `text`, each with its priority where stderr leads to the journal. */
export function prioritized(type: string, text: string): string {
  if (!inJournal) return text;
  const priority = (priorities as Record<string, number>)[type] ?? priorities.info;
  return text.replace(/^(?=.)/gm, `<${priority}>`);
}
