// Draws lines of text into pictures.
import type { Canvas } from "./canvas.ts";
import type { Rgb } from "./colour.ts";
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphOf } from "./font.ts";

const ADVANCE = GLYPH_WIDTH + 1;
const LINE = GLYPH_HEIGHT + 5;

/**
 * Draws the lines in the middle of the picture, each centred, as large as three quarters of the width allow. A line that is
 * too long at the smallest size is cut off.
 */
export function drawLines(canvas: Canvas, lines: readonly string[], colour: Rgb): void {
  const { width, height } = canvas;
  const longest = Math.max(1, ...lines.map((line) => line.length));
  const across = Math.floor((width * 0.75) / (longest * ADVANCE));
  const down = Math.floor((height * 0.75) / (lines.length * LINE));
  // A multiple of 2 keeps pixels on whole chroma samples.
  const fits = Math.min(across, down);
  const dot = fits < 2 ? 1 : Math.min(8, fits - (fits % 2));
  const values = canvas.encode(colour);
  const top = Math.max(0, Math.floor((height - lines.length * LINE * dot) / 4) * 2);
  for (const [i, line] of lines.entries()) {
    const left = Math.max(0, Math.floor((width - line.length * ADVANCE * dot) / 4) * 2);
    for (const [column, character] of [...line].entries()) {
      const ink = glyphOf(character);
      const x0 = left + column * ADVANCE * dot;
      const y0 = top + i * LINE * dot;
      for (let y = 0; y < GLYPH_HEIGHT; y++)
        for (let x = 0; x < GLYPH_WIDTH; x++)
          if (ink(x, y)) canvas.fill(x0 + x * dot, y0 + y * dot, dot, dot, values);
    }
  }
}
