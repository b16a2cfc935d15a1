// Whether the worker of --metrics runs in a system of another C library or processor.

import { readExposition, valueIn } from "./exposition.ts";
import type { SystemRoot } from "./system-root.ts";

/** Throws when a receiver there does not serve its figures and its page. `framepass` are the words that call it. */
export async function readFiguresOf(
  system: SystemRoot,
  framepass: readonly string[],
): Promise<void> {
  const words = ["receiver", "-l", "unix:/tmp/stream", "--metrics", "unix:/tmp/metrics"];
  await using receiver = await system.start([...framepass, ...words]);
  await receiver.says("listening on");
  const unix = system.file("tmp/metrics");
  const text = async (path: string) =>
    await (await fetch(`http://localhost${path}`, { unix })).text();
  const tool = { tool: "receiver" };
  if (valueIn(readExposition(await text("/metrics")), "framepass_build_info", tool) !== 1)
    throw new Error("there is no framepass_build_info");
  if (!(await text("/")).includes("<h1>receiver</h1>")) throw new Error("the page has no title");
  const sender = ["sender", "-d", "testsrc", "-n", "3", "-a", "unix:/tmp/stream"];
  await system.ok([...framepass, ...sender]);
  const { status, stderr } = await receiver.ended();
  if (status !== 0) throw new Error(`the receiver: status ${status}\n${stderr}`);
}
