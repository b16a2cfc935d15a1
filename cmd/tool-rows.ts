// The tools, one row each. --help, the manual pages, docs and the list of `framepass --help` use name and summary.
// This file imports nothing: a tool built alone does not carry the others.

export interface ToolRow {
  /** As users spell it; as a subcommand `-` may stand for `_`. */
  readonly name: string;
  readonly summary: string;
  /** A subcommand that is used rarely and gets no link. */
  readonly unlinked?: true;
  /** It needs other tools, and is not built alone. */
  readonly whole?: true;
}

const rows = {
  sender: { summary: "capture video and send its frames to a receiver" },
  receiver: { summary: "receive a sender's frames into memory, a file, a pipe or a camera" },
  receiver_sdl: { summary: "receive a sender's frames and show them in a window" },
  sender_zc: { summary: "capture video and lend its frames to a receiver, without copies" },
  receiver_zc: {
    summary: "read a sender's frames in shared memory, into a file, a pipe or a camera",
  },
  receiver_zc_sdl: { summary: "show a sender's frames in a window, out of shared memory" },
  devices: {
    summary: "list cameras, outputs, decoders and encoders, and how to use each",
    unlinked: true,
  },
  share: {
    summary: "show how this machine can share frames; create the file in which two guests do",
    unlinked: true,
  },
  "vhost-user-video": { summary: "serve a virtio video decoder to a virtual machine" },
  "vhost-user-media": { summary: "serve a camera to a virtual machine, as a virtio-media device" },
  doctor: {
    summary: "show what this machine can and cannot do, and what helps",
    unlinked: true,
    whole: true,
  },
  install: {
    summary: "install the executable, manual pages, completions, units, QEMU's descriptor",
    unlinked: true,
    whole: true,
  },
  uninstall: { summary: "remove what install wrote", unlinked: true },
} as const satisfies Record<string, Omit<ToolRow, "name">>;

/** What framepass is, and what to type first, for its help and its manual page. */
export const about = {
  summary: "camera video between virtual machines",
  firstSteps: {
    where: "First steps, in two terminals; no camera is needed",
    examples: [
      { does: "receive into a file", line: "framepass receiver -l 127.0.0.1 -p 5000 -o film.y4m" },
      {
        does: "send 90 pictures; a camera is -d /dev/video0",
        line: "framepass sender -d testsrc -a 127.0.0.1 -p 5000 -n 90",
      },
    ],
  },
} as const;

export type ToolName = keyof typeof rows;

/** The row of a tool, for its definition. */
export const toolRow = <N extends ToolName>(name: N) => ({ name, ...rows[name] });

/** All rows, in the order of the list. */
export const toolRows = (Object.keys(rows) as ToolName[]).map(toolRow);
