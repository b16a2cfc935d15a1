// The device of an output is taken away while a receiver writes to it and to a file.
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

const all = "/tmp/all";

/** The last check of vivid in a guest: afterwards it has no vivid device. */
export async function checkVanish(lab: Lab, guest: Guest): Promise<void> {
  const frames = 90;
  await lab.check(
    "vivid: an output that vanishes costs one line and status 1; a file gets every frame",
    async () => {
      const receiver = await startReceiver(guest, `-l unix:/tmp/v -o /dev/video1 -o ${all}`);
      const sender = new Tool(guest, `sender -d testsrc -r 15 -n ${frames} -a unix:/tmp/v`);
      await sender.moves(frames / 3);
      await guest.ok("echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind");
      const sent = await sender.end();
      wanted("status of the sender", sent.status, 0);
      const { status, lines } = await receiver.end();
      wanted("status of the receiver", status, 1);
      const about = lines.filter((line) => line.includes("the other outputs go on"));
      wanted("lines about the output", about.length, 1);
      wanted("with its reason", /\/dev\/video1: ENODEV/.test(about[0] ?? ""), true);
      wanted("bytes of the file", Number(await guest.ok(`stat -c %s ${all}`)), frames * 614_400);
      await guest.ok(`rm ${all}`);
    },
  );
}
