// Pictures that a program in a guest has made of testsrc's, decoded on the host.
import { decodedAs } from "../../recipes/pictures.ts";
import { wrongBars } from "../../support/bars.ts";
import type { Guest } from "../guest.ts";
import { wanted } from "../wanted.ts";
import { picture } from "./devices.ts";

/** Small pictures have wide edges where chroma is interpolated, and OBS's canvas is computed by a software renderer. */
const TOLERANCE = 16;

/** Throws unless the file has testsrc's pictures from the first one on that is one, and `different` of them at least. */
export async function expectBars(
  guest: Guest,
  words: readonly string[],
  different: number,
): Promise<void> {
  const pictures = await decodedAs(picture, guest.share, words);
  const wrong = pictures.map((each) => wrongBars(each, false, undefined, TOLERANCE));
  const first = wrong.indexOf(undefined);
  if (first < 0) throw new Error(`none of ${wrong.length} pictures is right: ${wrong.at(-1)}`);
  wanted(
    "what is wrong later",
    wrong.slice(first).find((text) => text !== undefined),
    undefined,
  );
  const found = new Set(pictures.slice(first).map(({ sum }) => sum)).size;
  if (found < different) throw new Error(`${found} different pictures of ${pictures.length}`);
}
