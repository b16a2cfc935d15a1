// A stream over every kind of address; the receiver checks every frame.

import type { Scenario } from "../lab.ts";
import { checkThreeReceivers } from "../three-receivers.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

const frames = 20;

const kinds = [
  { title: "IPv4", listen: "-l 127.0.0.1 -p 5000", connect: "-a 127.0.0.1 -p 5000" },
  { title: "IPv6", listen: "-l ::1 -p 5000", connect: "-a ::1 -p 5000" },
  { title: "IPv6, all addresses", listen: "-l :: -p 5000", connect: "-a ::1 -p 5000" },
  { title: "a host name", listen: "-l localhost -p 5000", connect: "-a localhost -p 5000" },
  { title: "a Unix socket", listen: "-l unix:/tmp/stream", connect: "-a unix:/tmp/stream" },
  { title: "vsock, any CID", listen: "-l vsock:any -p 5000", connect: "-a vsock:1 -p 5000" },
  { title: "vsock, one CID", listen: "-l vsock:1 -p 5000", connect: "-a vsock:1 -p 5000" },
] as const;

export const scenario: Scenario = {
  name: "addresses",
  title: "IPv4, IPv6, Unix and vsock addresses carry a stream",
  seconds: 60,
  besideOthers: true,
  async run(lab) {
    const guest = await lab.boot({ modules: ["vsock_loopback"] });
    await guest.ok("grep -q localhost /etc/hosts || echo 127.0.0.1 localhost >>/etc/hosts");
    for (const { title, listen, connect } of kinds) {
      await lab.check(`${title}: every stamped frame arrives as it was sent`, async () => {
        const receiver = await startReceiver(guest, `${listen} --verify`);
        const sender = new Tool(guest, `sender -d testsrc -r 60 -n ${frames} ${connect}`);
        const sent = await sender.end();
        const { status, stopped } = await receiver.end();
        wanted("exit status of the sender", sent.status, 0);
        wanted("exit status of the receiver", status, 0);
        wanted("frames sent", sent.stopped.frames, frames);
        wanted("frames verified", stopped.verified, frames);
      });
    }
    await checkThreeReceivers(lab, guest);
    await lab.check("a Unix socket is removed when its receiver ends", () =>
      guest.ok("test ! -e /tmp/stream"),
    );
    await lab.check("a vsock port without a receiver is refused with one line", async () => {
      const { status, lines } = await new Tool(guest, "sender -d testsrc -a vsock:1 -p 5001").end();
      wanted("exit status", status, 1);
      return lines.at(-1)?.includes("error: connect vsock:1:5001: ECONN") === true;
    });
  },
};
