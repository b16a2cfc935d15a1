// What `framepass devices` says of three vivid cameras, and -c of the sender, against v4l2-ctl.
import { compareWithV4l2Ctl, listedDevices } from "../devices.ts";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

export async function checkDevices(lab: Lab, guest: Guest): Promise<void> {
  await lab.check("framepass devices says of each camera what v4l2-ctl says", async () => {
    const devices = await listedDevices(guest);
    wanted(
      "nodes",
      devices.map(({ node }) => node).join(" "),
      "/dev/video0 /dev/video1 /dev/video2",
    );
    for (const [i, device] of devices.entries()) {
      wanted("kinds", device.kinds.join(), "camera");
      wanted("API", device.api.join(), i === 2 ? "multi-planar" : "single-planar");
      if ((await compareWithV4l2Ctl(guest, device)) < 100) throw new Error("little was compared");
    }
  });
  await lab.check("the line that it prints for a camera sends frames", async () => {
    const [device] = await listedDevices(guest, "-d 0");
    const words = device?.use?.replace(/^sender |-a HOST$/g, "").replace("HOST", "127.0.0.1") ?? "";
    const receiver = await startReceiver(guest, "-p 5000");
    const sender = await new Tool(guest, `sender ${words} -n 5`).end();
    wanted("status of the sender", sender.status, 0);
    wanted("frames received", (await receiver.end()).stopped.frames, 5);
  });
  await lab.check(
    "a program that has a camera open is named, and the others stay free",
    async () => {
      const receiver = await startReceiver(guest, "-p 5000");
      const sender = new Tool(guest, "sender -d /dev/video1 -a 127.0.0.1 -p 5000 -n 1000000");
      await sender.moves(3);
      const devices = await listedDevices(guest);
      const users = devices.map(({ usedBy }) => usedBy.map(({ pid }) => pid).join());
      wanted("users", users.join("|"), `|${await sender.pid()}|`);
      wanted("program", devices[1]?.usedBy[0]?.program, "framepass");
      sender.kill("INT");
      await sender.end();
      await receiver.end();
    },
  );
  await lab.check(
    "framepass doctor names the cameras, and says that a sender can run",
    async () => {
      const lines = (await guest.ok("framepass doctor sender --json")).trim().split("\n");
      const found = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      const cameras = found.find(({ name }) => name === "cameras");
      wanted("state of the cameras", String(cameras?.state), "ok");
      for (const node of ["/dev/video0", "/dev/video1", "/dev/video2"])
        if (!String(cameras?.text).includes(`${node} vivid`))
          throw new Error(String(cameras?.text));
      wanted("verdict", JSON.stringify(found.at(-1)?.runs), "true");
    },
  );
  await lab.check("-c sets controls as v4l2-ctl reads them, and refuses what it cannot", () =>
    checkSettings(guest),
  );
  await lab.check("a card name that three cameras have is refused with their nodes", async () => {
    const { status, stderr } = await guest.run("framepass sender -d vivid --list-formats");
    wanted("status", status, 3);
    if (!stderr.includes("/dev/video0, /dev/video1, /dev/video2")) throw new Error(stderr);
    const list = await guest.ok("framepass sender -d /dev/video2 --list-formats");
    if (!list.includes("NM12 (Y/UV 4:2:0 (N-C))")) throw new Error(list);
  });
}

async function checkSettings(guest: Guest): Promise<void> {
  const to = "framepass sender -d /dev/video0 -a 127.0.0.1 -p 9";
  const refused = async (words: string, says: string) => {
    const { status, stderr } = await guest.run(`${to} ${words}`);
    wanted(`status of ${words}`, status, 2);
    if (!stderr.includes(says)) throw new Error(`${words}: ${stderr.trim()}`);
  };
  const receiver = await startReceiver(guest, "-p 5000");
  const settings =
    "-c brightness=77 -c boolean=off -c 'menu=Menu Item 4' -c string=abc -c bitmask=0x2000 -c integer_64_bits=-5 -c integer_menu=2";
  const words = `sender -d /dev/video0 ${settings} -a 127.0.0.1 -p 5000 -n 3`;
  wanted("status of the sender", (await new Tool(guest, words).end()).status, 0);
  await receiver.end();
  const names = "brightness,boolean,menu,string,bitmask,integer_64_bits,integer_menu";
  const read = (await guest.ok(`v4l2-ctl -d0 --get-ctrl ${names}`)).trim().split("\n");
  const wish = [
    ...["brightness: 77", "boolean: 0", "menu: 4", "string: 'abc'", "bitmask: 8192"],
    ...["integer_64_bits: -5", "integer_menu: 2"],
  ];
  for (const [i, line] of wish.entries()) {
    if (!read[i]?.startsWith(line)) throw new Error(`${read[i]}, not ${line}`);
  }
  await refused("-c brightnes=1", "it has brightness, contrast");
  await refused("-c brightness=256", 'brightness must be 0 to 255, got "256"');
  await refused("-c menu=2", "Menu Item 1");
  await refused("-c read_only_integer_32_bits=1", "is read-only");
}
