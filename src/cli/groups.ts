// The groups in which --help, manual pages and docs/options.md list options.

/** The titles, in the order in which they are shown. Options of one tool only have no group and come first. */
const titles = {
  capture: "Capture",
  connection: "Connection",
  output: "Output",
  camera: "Virtual cameras",
  window: "Window",
  sharing: "Shared memory",
  decoder: "Decoder",
  reports: "Reports",
  general: "General",
} as const;

export type Group = keyof typeof titles;

/** The rows, each in `group` unless it names another. */
export const inGroup = <const O extends Readonly<Record<string, object>>>(
  group: Group,
  options: O,
): O =>
  Object.fromEntries(
    Object.entries(options).map(([name, row]) => [name, { group, ...row }]),
  ) as unknown as O;

/** The options by group, with its title; groups without options are left out. */
export function grouped<R extends { readonly group?: Group }>(
  options: Readonly<Record<string, R>>,
) {
  const all = [[undefined, "Options"], ...Object.entries(titles)] as const;
  return all
    .map(([group, title]) => ({
      title,
      rows: Object.entries(options).filter(([, row]) => row.group === group),
    }))
    .filter(({ rows }) => rows.length > 0);
}
