// A font of 5 x 7 pixels, capitals only. A glyph is seven rows from top to bottom. Each row is a digit in base 32; its
// five bits are the pixels from left to right.
export const GLYPH_WIDTH = 5;
export const GLYPH_HEIGHT = 7;

const glyphs: Readonly<Record<string, string>> = {
  " ": "0000000",
  "%": "op248j3",
  "(": "2488842",
  ")": "8422248",
  "*": "04lel40",
  ",": "0000c48",
  "-": "000v000",
  ".": "00000cc",
  "/": "01248g0",
  "0": "ehjlphe",
  "1": "4c4444e",
  "2": "eh1248v",
  "3": "v2421he",
  "4": "26aiv22",
  "5": "vgu11he",
  "6": "68guhhe",
  "7": "v124888",
  "8": "ehhehhe",
  "9": "ehhf12c",
  ":": "0cc0cc0",
  A: "ehhvhhh",
  B: "uhhuhhu",
  C: "ehggghe",
  D: "uhhhhhu",
  E: "vgguggv",
  F: "vgguggg",
  G: "ehgnhhf",
  H: "hhhvhhh",
  I: "e44444e",
  J: "72222ic",
  K: "hikokih",
  L: "ggggggv",
  M: "hrllhhh",
  N: "hhpljhh",
  O: "ehhhhhe",
  P: "uhhuggg",
  Q: "ehhhlid",
  R: "uhhukih",
  S: "fgge11u",
  T: "v444444",
  U: "hhhhhhe",
  V: "hhhhha4",
  W: "hhhllla",
  X: "hha4ahh",
  Y: "hhha444",
  Z: "v1248gv",
  "[": "e88888e",
  "]": "e22222e",
  _: "000000v",
};

/** Whether the font has every character of a text. */
export const isPrintable = (text: string) => [...text.toUpperCase()].every((c) => c in glyphs);

/** The pixels of a character: answers whether pixel (x, y) is set. A character without a glyph is shown as a star. */
export function glyphOf(character: string): (x: number, y: number) => boolean {
  const rows = glyphs[character.toUpperCase()] ?? glyphs["*"] ?? "";
  return (x, y) => ((Number.parseInt(rows[y] ?? "0", 32) >> (GLYPH_WIDTH - 1 - x)) & 1) === 1;
}
