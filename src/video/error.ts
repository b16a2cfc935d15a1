// A command that is refused, with the response type that says why.
import { response } from "./structs.ts";

export class VideoError extends Error {
  override readonly name = "VideoError";
  readonly code: number;
  constructor(code: keyof typeof response) {
    super(code);
    this.code = response[code];
  }
}
