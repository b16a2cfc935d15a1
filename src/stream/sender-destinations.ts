// The outputs of a receiver that serves several senders: a file, pipe or camera for each number.
import { dirname } from "node:path";
import { UsageError } from "../errors.ts";
import type { Loop } from "../loop.ts";
import { checkOutput } from "../output/file.ts";
import { addressPart, expandName, hasPart } from "../output/name-template.ts";
import { isVideoDevice, type OutputWishes, openOutputs } from "../output/open-outputs.ts";
import { checkOutputsDiffer } from "../output/same-output.ts";
import { WrittenFiles } from "../output/written-files.ts";
import { Destination } from "./destination.ts";

export interface SeveralWishes extends OutputWishes {
  readonly senders: number;
  readonly verify: boolean;
  /** Records go to stdout. */
  readonly json: boolean;
}

/** How outputs are opened; tests have others. */
const opening = { openOutputs, isVideoDevice };

/** For a check before the address is known. */
const ANY = "address";

export class SenderDestinations implements Disposable {
  readonly #loop: Loop;
  readonly #wishes: SeveralWishes;
  /** Names for every sender, and one for each of them. */
  readonly #templates: readonly string[];
  readonly #nodes: readonly string[];
  readonly #written = new WrittenFiles();
  /** Cameras that are made; disposed after the outputs. */
  readonly #made = new DisposableStack();
  readonly #all: readonly Destination[];
  readonly #opening: typeof opening;

  /** Throws UsageError for names that do not tell the senders apart. */
  constructor(loop: Loop, wishes: SeveralWishes, by = opening) {
    this.#loop = loop;
    this.#opening = by;
    this.#wishes = wishes;
    const { paths, cameras, senders, verify, json } = wishes;
    for (const label of cameras)
      if (hasPart(label, "a"))
        throw new UsageError(
          `--camera ${label}: cameras are made before a sender's address is known; use %n`,
        );
    for (const name of [...paths, ...cameras]) expandName(name, { number: 1, address: ANY });
    const alone = paths.filter((path) => !isTemplate(path));
    this.#nodes = senders === 1 ? [] : alone.filter(by.isVideoDevice);
    this.#templates = paths.filter((path) => !this.#nodes.includes(path));
    for (const path of this.#templates)
      if (senders > 1 && !isTemplate(path))
        throw new UsageError(
          `--output ${path}: ${senders} senders need an output each; put %n (number) or %a (address) in the name`,
        );
    checkOneEach("--output", this.#nodes, senders, "video devices");
    const labels = cameras.filter((label) => !isTemplate(label));
    checkOneEach("--camera", senders === 1 ? [] : labels, senders, "names without %n");
    checkOutputsDiffer(this.#nodes, json);
    for (let number = 1; number <= senders; number++)
      checkOutputsDiffer([...this.#names(number, ANY), ...this.#node(number)], json);
    const writes = paths.length + cameras.length > 0;
    this.#all = Array.from({ length: senders }, () => new Destination({ verify, writes }));
  }

  #names(number: number, address: string): string[] {
    return this.#templates.map((template) => expandName(template, { number, address }));
  }

  #node(number: number): string[] {
    return this.#nodes.slice(number - 1, number);
  }

  /** The names of cameras that sender `number` gets. */
  #labels(number: number): string[] {
    const { cameras, senders } = this.#wishes;
    const one = cameras.filter((label) => !isTemplate(label));
    const own = senders === 1 ? one : one.slice(number - 1, number);
    return [...cameras.filter(isTemplate), ...own].map((label) =>
      expandName(label, { number, address: ANY }),
    );
  }

  /** What is done with the frames of sender `number`. */
  of(number: number): Destination {
    const destination = this.#all[number - 1];
    if (destination === undefined) throw new RangeError(`there is no sender ${number}`);
    return destination;
  }

  /** Opens the cameras of all numbers and checks what can be known about their files. Throws UnavailableError. */
  async prepare(signal: AbortSignal): Promise<void> {
    for (let number = 1; number <= this.#all.length && !signal.aborted; number++) {
      const devices = this.#names(number, ANY).filter(this.#opening.isVideoDevice);
      const wishes = {
        ...this.#wishes,
        paths: [...devices, ...this.#node(number)],
        cameras: this.#labels(number),
      };
      const { outputs } = this.of(number);
      this.of(number).opened(
        await this.#opening.openOutputs(this.#loop, wishes, outputs, this.#made, signal),
      );
      for (const template of this.#templates) this.#check(template, number);
    }
  }

  #check(template: string, number: number): void {
    const path = expandName(template, { number, address: ANY });
    if (path === "-" || this.#opening.isVideoDevice(path) || hasPart(dirname(template), "a"))
      return;
    checkOutput(path, hasPart(template, "a") ? {} : this.#wishes.files);
  }

  /**
   * Opens the files of sender `number`, which is on `host`. Files that are open stay open if the sender has come `again`; `fps`
   * is the rate of those that are closed otherwise. Throws UnavailableError or SysError.
   */
  async openFiles(
    number: number,
    { host, again, fps }: { readonly host: string; readonly again: boolean; readonly fps: number },
    signal: AbortSignal,
  ): Promise<void> {
    const destination = this.of(number);
    if (again && destination.hasFiles) return;
    destination.closeFiles(fps);
    const paths = this.#names(number, addressPart(host)).filter(
      (path) => !this.#opening.isVideoDevice(path),
    );
    const files = { ...this.#wishes.files, written: this.#written };
    const wishes = { ...this.#wishes, paths, files, cameras: [] };
    const { outputs } = destination;
    destination.opened(
      await this.#opening.openOutputs(this.#loop, wishes, outputs, this.#made, signal),
    );
  }

  /** Throws what an output failed with while others of the same sender went on. */
  check(): void {
    for (const destination of this.#all) destination.check();
  }

  [Symbol.dispose](): void {
    using all = new DisposableStack();
    all.use(this.#made);
    for (const destination of this.#all) all.use(destination);
  }
}

const isTemplate = (name: string): boolean => hasPart(name, "n") || hasPart(name, "a");

function checkOneEach(
  option: string,
  names: readonly string[],
  senders: number,
  what: string,
): void {
  if (names.length === 0 || names.length === senders) return;
  throw new UsageError(
    `${option}: sender n gets the nth of the ${what}: ${senders} senders need ${senders}, got ${names.length}`,
  );
}
