// Values as people read them, and text that is safe in HTML.

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export const escapeHtml = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? "");

/** "0", "0.25", "29.9", "1234": three digits, or all of a whole number. */
export function shortNumber(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 100) return `${Math.round(value)}`;
  return `${Number(value.toPrecision(3))}`;
}

/** "1 234 567". */
export const grouped = (value: number): string =>
  `${Math.round(value)}`.replaceAll(/\B(?=(\d{3})+$)/g, "\u202f");

const units = ["B", "kB", "MB", "GB", "TB", "PB"];

/** "82.4 MB", by powers of 1000. */
export function bytesText(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3);
  const unit = Math.min(units.length - 1, power);
  return `${shortNumber(bytes / 1000 ** unit)} ${units[unit]}`;
}

/** "12 s", "3 min 20 s", "5 h 10 min", "2 d 3 h". */
export function durationText(seconds: number): string {
  const whole = Math.floor(seconds);
  const [s, min, h, d] = [
    whole % 60,
    Math.floor(whole / 60) % 60,
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 86_400),
  ];
  if (d > 0) return `${d} d ${h} h`;
  if (h > 0) return `${h} h ${min} min`;
  return min > 0 ? `${min} min ${s} s` : `${s} s`;
}
