// Does what `framepass --help` says under "First steps", and nothing else, as a stranger would.
import { join } from "node:path";
import { comparePictures } from "../../scripts/compare-pictures.ts";
import type { SystemRoot } from "./system-root.ts";
import { within } from "./tool.ts";

/** The lines to type, from the text of the help. */
export function firstLines(help: string): readonly string[] {
  const [, section = ""] = help.split(/^First steps.*:$/m);
  return [...section.matchAll(/^ {2}(framepass .*)$/gm)].map(([, line = ""]) => line);
}

/**
 * Types the two lines. Throws when a tool does not end with status 0, when the receiver's count is not 90 frames, and when a byte
 * of its file is not what was painted. `framepass` are the words that call it.
 */
export async function takeFirstSteps(
  system: SystemRoot,
  framepass: readonly string[],
): Promise<void> {
  const lines = firstLines(await system.ok([...framepass, "--help"]));
  if (lines.length !== 2) throw new Error(`the help has ${lines.length} first lines, must be 2`);
  const [receive = [], send = []] = lines.map((line) => [
    ...framepass,
    ...line.split(" ").slice(1),
  ]);
  await using receiver = await system.start(receive);
  await receiver.says("listening on");
  const sent = await system.run(send);
  if (sent.status !== 0) throw new Error(`the sender: status ${sent.status}\n${sent.stderr}`);
  const { status, stderr } = await receiver.ended();
  if (status !== 0 || !stderr.includes("receiver: done: 90 frames"))
    throw new Error(`the receiver: status ${status}\n${stderr}`);
  const film = system.file(receive.at(-1) ?? "");
  await within(compareFilm(film), "the comparison of film.y4m", 60_000);
}

const wish = { width: 640, height: 480, format: "YUYV" } as const;
const PIXELS = wish.width * wish.height;
const MARK = "FRAME\n";

/** Compares the planes of the file with the packed pictures of the built-in source. */
async function compareFilm(path: string): Promise<void> {
  const file = await Bun.file(path).bytes();
  const header = file.indexOf(10) + 1;
  const text = Buffer.from(file.subarray(0, header)).toString();
  // The rate is the one that was measured.
  if (!/^YUV4MPEG2 W640 H480 F\d+:\d+ .*C422\n$/.test(text))
    throw new Error(`film.y4m begins with ${text}`);
  const step = MARK.length + 2 * PIXELS;
  const count = (file.length - header) / step;
  if (count !== 90) throw new Error(`film.y4m has ${count} pictures, must be 90`);
  const packed = new Uint8Array(count * 2 * PIXELS);
  for (let n = 0; n < count; n++) {
    const luma = header + n * step + MARK.length;
    const [blue, red] = [luma + PIXELS, luma + PIXELS + PIXELS / 2];
    const to = n * 2 * PIXELS;
    for (let i = 0; i < PIXELS; i += 2) {
      packed[to + 2 * i] = file[luma + i] ?? 0;
      packed[to + 2 * i + 1] = file[blue + i / 2] ?? 0;
      packed[to + 2 * i + 2] = file[luma + i + 1] ?? 0;
      packed[to + 2 * i + 3] = file[red + i / 2] ?? 0;
    }
  }
  const raw = join(path, "../film.raw");
  await Bun.write(raw, packed);
  await comparePictures(raw, count, wish);
}
