// The camera device of a recipe in a guest: a receiver that makes it, and the page's sender.
import { filled, recipe } from "../../recipes/recipe.ts";
import { madeNode } from "../camera/loopback-node.ts";
import type { Guest } from "../guest.ts";
import { Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

/** Small and slow, so that emulated programs keep up. */
export const picture = { width: 160, height: 120, fps: 5 } as const;

const limitMs = 560_000;

/** Runs `task` with the device that a receiver makes by the first line of a recipe; the page's sender sends to it. Ends both. */
export async function withDevice(
  guest: Guest,
  title: string,
  task: (device: string) => Promise<void>,
): Promise<void> {
  const { width, height, fps } = picture;
  const socket = `unix:/tmp/${title.replaceAll(" ", "-")}`;
  const line = filled(recipe(title).lines[0] ?? "", { "-p 5000": `-l ${socket}` });
  const receiver = new Tool(guest, `${line} --camera-size ${width}x${height}`, limitMs);
  await receiver.says("listening on", 60_000);
  const sending = filled(recipe("The sender").lines[0] ?? "", {
    "/dev/video0": "testsrc",
    "640 -H 480": `${width} -H ${height} -r ${fps}`,
    "10.0.0.2 -p 5000": socket,
  });
  const sender = new Tool(guest, sending, limitMs);
  try {
    await task(await madeNode(receiver));
  } finally {
    sender.kill("TERM");
    receiver.kill("TERM");
  }
  wanted("status of the sender", (await sender.end()).status, 130);
  wanted("status of the receiver", (await receiver.end()).status, 130);
}
