// The lab's private network: two guests that reach each other and nobody else.

import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Scenario } from "../lab.ts";

const payloadBytes = 1_000_000;

export const scenario: Scenario = {
  name: "two-guests",
  title: "two guests exchange bytes over their own network",
  async run(lab) {
    const [first, second] = await lab.bootPair();
    await lab.check("they ping each other by name", async () => {
      await Promise.all([
        first.ok("ping -c 2 -i 0.2 guest2"),
        second.ok("ping -c 2 -i 0.2 guest1"),
      ]);
    });
    await lab.check("they ping each other over IPv6", async () => {
      await Promise.all([first.ok("ping -c 1 fd99::2"), second.ok("ping -c 1 fd99::1")]);
    });
    await lab.check("1 MB crosses over TCP unchanged", async () => {
      const payload = randomBytes(payloadBytes);
      await Bun.write(join(first.share, "payload"), payload);
      // A standard input that never ends: nc leaves when either of its sides has ended.
      const receiver = second.start("mkfifo /tmp/open; nc -l -p 5000 <>/tmp/open | sha256sum");
      await second.until("netstat -ltn | grep -q ':5000 '");
      await first.ok("nc guest2 5000 <payload");
      const { stdout } = await receiver.result;
      return stdout.startsWith(createHash("sha256").update(payload).digest("hex"));
    });
  },
};
