// What other programs do to a camera while it is written: they ask to remove it or its module, or stop reading.
import { basename } from "node:path";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { wanted } from "../wanted.ts";
import { fixed, small, withCamera } from "./loopback-node.ts";
import { endReader, readFile, startReader } from "./reader.ts";
import { inOrder, recorded } from "./recorded.ts";

const all = "/tmp/all";

export async function checkFaults(lab: Lab, guest: Guest, name: string): Promise<void> {
  await lab.check(
    `${name}: REMOVE and rmmod are refused while the camera is written, and its reader goes on`,
    () =>
      withCamera(guest, fixed, async ({ node, send }) => {
        const sender = send(`${small.source} -r 15`);
        await sender.moves(5);
        await refused(guest, node);
        const reader = startReader(guest, node);
        await guest.until(`test -s ${readFile}`);
        await refused(guest, node);
        await sender.moves(sender.frames() + 15);
        await endReader(guest, reader);
        const read = await recorded(guest, "read", small.bytes);
        wanted("torn", read.torn, 0);
        wanted("in order", inOrder(read.numbers), true);
        if (read.numbers.length < 10) throw new Error(`only ${read.numbers.length} pictures`);
      }),
  );
  await lab.check(
    `${name}: neither the sender nor a file waits for a program that stops reading, which goes on later`,
    () =>
      withCamera(guest, `${fixed} -o ${all}`, async ({ node, send }) => {
        const reader = startReader(guest, node);
        await guest.until(`test -s ${readFile}`);
        reader.kill("STOP");
        const { status } = await send(`${small.source} -r 30 -n 60`).end();
        wanted("status of the sender", status, 0);
        await guest.until(`test $(stat -c %s ${all}) = ${60 * small.bytes}`);
        const read = Number(await guest.ok(`stat -c %s ${readFile}`));
        reader.kill("CONT");
        await guest.until(`test $(stat -c %s ${readFile}) -gt ${read}`);
        await endReader(guest, reader);
      }),
  );
}

/** Another program asks for the end of the node, and of the module, and gets neither. */
export async function refused(guest: Guest, node: string): Promise<void> {
  const removed = await guest.run(`remove-node ${basename(node).replace("video", "")}`);
  wanted("REMOVE", removed.stdout.trim(), "Device or resource busy");
  wanted("rmmod succeeds", (await guest.run("rmmod v4l2loopback")).status === 0, false);
}
