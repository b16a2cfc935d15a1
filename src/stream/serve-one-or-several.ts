// Runs a receiver that has --senders: with it for several senders at a time, without it for one.
import type { Loop } from "../loop.ts";
import type { ReceiveEnd } from "./connection.ts";
import type { ReceiverSetup } from "./receiver-options.ts";
import { type ServeOptions, serveSenders } from "./serve.ts";
import { type ServeSeveralOptions, serveSeveral } from "./serve-several.ts";

type Flow = Required<Pick<ServeOptions, "prepare">> &
  Pick<ServeOptions, "metrics"> &
  Pick<ServeSeveralOptions, "receive">;

/** `serveSenders`, or `serveSeveral`. Throws what an output failed with while others went on, too. */
export async function serveOneOrSeveral(
  loop: Loop,
  { serving, several, consumer, checkOutputs }: ReceiverSetup,
  flow: Flow,
  signal: AbortSignal,
): Promise<ReceiveEnd> {
  const receive: ServeOptions["receive"] = (run) => flow.receive(run, consumer);
  const end = await (several === undefined
    ? serveSenders(loop, { ...serving, ...flow, receive }, signal)
    : serveSeveral(loop, { ...serving, ...flow, ...several }, signal));
  checkOutputs();
  return end;
}
