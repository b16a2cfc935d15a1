// A receiver with a camera of v4l2loopback in a guest, ended whatever happens in a check.
import type { Guest } from "../guest.ts";
import { Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

/** Small pictures, so that an emulated reader is fast enough. */
export const small = { source: "-d testsrc -W 160 -H 120", bytes: 160 * 120 * 2 } as const;

/** A camera that is there from the start and has always the same size. */
export const fixed = "--keep --camera-size 160x120";

const limitMs = 300_000;

/** A running receiver and the node that it made. */
export interface Camera {
  readonly receiver: Tool;
  readonly node: string;
  /** All nodes, when `options` ask for more cameras. */
  readonly nodes: readonly string[];
  /** Starts a sender to it. */
  send(options: string): Tool;
}

/** The paths that the receiver has printed so far. */
export const madeNodes = (receiver: Tool): readonly string[] =>
  [...receiver.stderr().matchAll(/made the camera ".*": (\/dev\/video\d+)/g)].map(
    ([, path = ""]) => path,
  );

/** The path of the first camera. */
export async function madeNode(receiver: Tool): Promise<string> {
  await receiver.says("made the camera");
  const [path] = madeNodes(receiver);
  if (path === undefined) throw new Error("the receiver names no node");
  return path;
}

/** Runs `task` with a receiver that has a camera; ends its senders, then it, which must leave no node. */
export async function withCamera<T>(
  guest: Guest,
  options: string,
  task: (camera: Camera) => Promise<T>,
): Promise<T> {
  const words = `receiver -l unix:/tmp/c --camera "guest A" ${options}`;
  const receiver = new Tool(guest, words, limitMs);
  const senders: Tool[] = [];
  let node = "";
  let answer: T;
  try {
    node = await madeNode(receiver);
    if (!options.includes("--on-demand")) await receiver.says("listening on");
    const send = (words: string) => {
      const sender = new Tool(guest, `sender ${words} -a unix:/tmp/c`, limitMs);
      senders.push(sender);
      return sender;
    };
    answer = await task({ receiver, node, nodes: madeNodes(receiver), send });
  } finally {
    for (const sender of senders) sender.kill("KILL");
    receiver.kill("TERM");
  }
  wanted("status of the receiver", (await receiver.end()).status, 130);
  await guest.ok(`test ! -e ${node}`);
  return answer;
}
