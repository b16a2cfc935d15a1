// Nodes that are made and removed: by a signal in every state, with a reader there, and by a module that goes.
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";
import { madeNode, madeNodes, small } from "./loopback-node.ts";

const camera = `-l unix:/tmp/n --camera "guest A"`;

export async function checkNodes(
  lab: Lab,
  guest: Guest,
  name: string,
  signal: "INT" | "TERM",
): Promise<void> {
  const states: Readonly<Record<string, (receiver: Tool) => Promise<Tool | undefined>>> = {
    idle: async () => undefined,
    live: () => sending(guest, "-r 15"),
    "stand-by": async () => {
      const sender = await sending(guest, "-r 15");
      sender.kill("KILL");
      await Bun.sleep(1500);
      return undefined;
    },
  };
  for (const [state, reach] of Object.entries(states)) {
    await lab.check(
      `${name}: SIG${signal} while ${state} leaves no node, process or mapping`,
      async () => {
        const receiver = await startReceiver(
          guest,
          state === "stand-by" ? `${camera} --keep` : camera,
        );
        const node = await madeNode(receiver);
        const sender = await reach(receiver);
        receiver.kill(signal);
        wanted("status", (await receiver.end()).status, 130);
        sender?.kill("TERM");
        await sender?.end();
        await clean(guest, node);
      },
    );
  }
  await lab.check(`${name}: a node that is being read stays at the end, with a line`, async () => {
    const receiver = await startReceiver(guest, `${camera} --keep`);
    const node = await madeNode(receiver);
    const reader = guest.start(`exec v4l2-ctl -d ${node} --stream-mmap --stream-count=100000`);
    await Bun.sleep(1500);
    receiver.kill("TERM");
    const { status, lines } = await receiver.end();
    wanted("status", status, 130);
    wanted(
      "said",
      lines.some((line) => line.includes(`${node} stays: a program has it open`)),
      true,
    );
    reader.kill("KILL");
    await reader.result;
    await guest.ok(`test -e ${node}`);
  });
  await lab.check(
    `${name}: --camera twice makes two cameras, and both have the pictures`,
    async () => {
      const receiver = await startReceiver(guest, `${camera} --camera "guest B" --keep`);
      await receiver.says('made the camera "guest B"');
      const nodes = madeNodes(receiver);
      wanted("nodes", new Set(nodes).size, 2);
      for (const node of nodes)
        await guest.ok(`v4l2-ctl -d ${node} --stream-mmap --stream-count=2 --stream-to=read`);
      receiver.kill("TERM");
      await receiver.end();
      for (const node of nodes) await clean(guest, node);
    },
  );
}

async function sending(guest: Guest, options: string): Promise<Tool> {
  const sender = new Tool(guest, `sender ${small.source} ${options} -a unix:/tmp/n`);
  await sender.moves(10);
  return sender;
}

async function clean(guest: Guest, node: string): Promise<void> {
  await guest.ok(`test ! -e ${node}`);
  await guest.ok('test -z "$(pidof framepass)"');
  await guest.ok("! grep -l video /proc/[0-9]*/maps 2>/dev/null");
}
