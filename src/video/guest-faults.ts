// Lines about faults of a guest: commands that are refused, streams that fail. A guest can cause them without end, so each kind is
// logged a few times, and the connection limits all of them together.
import { log, logsDebug } from "../cli/log.ts";
import type { DeviceHost } from "../virtio/virtio-device.ts";
import type { VideoError } from "./structs.ts";

/** Lines of one kind; later ones are logged with --log-level debug. */
const MAX_OF_A_KIND = 3;

export class GuestFaults {
  /** How often each kind was reported. There are as many kinds as pairs of a command and a code. */
  readonly #reported = new Map<string, number>();
  #host: Pick<DeviceHost, "complain" | "refused"> | undefined;

  /** Reports to `host` from now on. The counts of an earlier driver stay: a guest could reset in a loop. */
  reportTo(host: Pick<DeviceHost, "complain" | "refused">): void {
    this.#host = host;
  }

  /** A command was refused. */
  refused(stream: number, command: string, { code, codeName, message }: VideoError): void {
    this.#host?.refused();
    const text = `stream ${stream}: ${command} was refused with 0x${code.toString(16)} ${codeName}: ${message}`;
    this.#report(`${command} ${codeName}`, text);
  }

  /** A request without a whole header, which cannot be answered. */
  headless(bytes: number): void {
    this.#host?.refused();
    this.#report("", `a request of ${bytes} bytes was refused: a command has 8 at least`);
  }

  /** The codec cannot continue a stream. */
  streamEnded(stream: number, reason: string): void {
    this.#report("stream ended", `stream ${stream}: ${reason}; the stream has ended`);
  }

  #report(kind: string, text: string): void {
    const times = (this.#reported.get(kind) ?? 0) + 1;
    this.#reported.set(kind, times);
    if (times > MAX_OF_A_KIND) {
      if (logsDebug()) log.withTag("video").debug(text);
      return;
    }
    const more =
      times === MAX_OF_A_KIND ? " (further lines like this one need --log-level debug)" : "";
    this.#host?.complain(`${text}${more}`);
  }
}
