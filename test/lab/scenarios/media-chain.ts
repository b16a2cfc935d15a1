// The whole chain: a sender in one guest, vhost-user-media on the host, and the camera of another guest. The sender is killed in the
// middle, stays away, and comes back.
import { join } from "node:path";
import { projectDir } from "../../../scripts/ensure.ts";
import { currentQemu } from "../current-qemu.ts";
import type { Guest } from "../guest.ts";
import type { Scenario } from "../lab.ts";
import { bootWithCamera, mediaPrograms, progress, stream, streaming } from "../media-guest.ts";
import { Scratch } from "../scratch.ts";
import { VideoDaemon } from "../video-daemon.ts";
import { wanted } from "../wanted.ts";

/** The host, for a guest with QEMU's user network, and the guest itself. */
const HOST = "10.0.2.2";
const GUEST = "10.0.2.15/24";
/** User networks are slow, and more so in an emulated guest. */
const SIZE = "320x240";

export const scenario: Scenario = {
  name: "media-chain",
  title:
    "sender in a guest, vhost-user-media on the host, camera of another guest; the sender is killed",
  seconds: 50,
  limitMs: 240_000,
  besideOthers: true,
  async run(lab) {
    const [qemu, programs] = await Promise.all([currentQemu(), mediaPrograms()]);
    using scratch = new Scratch();
    const port = freePort();
    const socket = join(scratch.path, "camera");
    await using _daemon = await VideoDaemon.start(
      join(projectDir, "dist/vhost-user-media"),
      socket,
      ["-l", "127.0.0.1", "-p", port],
    );
    const [first, second] = await Promise.all([
      lab.boot({
        name: "first",
        qemuArgs: ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"],
      }),
      bootWithCamera(lab, { ...programs, qemu, socket, name: "second" }),
    ]);
    await first.ok(`ip link set eth0 up && ip addr add ${GUEST} dev eth0`);
    const send = (size = SIZE) => startSender(first, port, size);
    const sender = await send();
    await lab.check("300 pictures of the other guest's sender, each whole and new", async () => {
      return (await stream(second, 300, `-s ${SIZE}`)).stamped === 300;
    });
    await lab.check(
      "the sender is killed: stand-by pictures come, and its own are back when it is",
      async () => {
        const camera = await streaming(second, 300, `-s ${SIZE}`);
        await sender.kill();
        const { cards } = await progress(second);
        await second.until(`test $(cut -d' ' -f3 /tmp/progress) -gt ${cards + 5}`, 20_000);
        const again = await send();
        const seen = await camera.ended;
        await again.kill();
        wanted("right pictures", seen.stamped, 300);
        return { measured: `${seen.cards} stand-by pictures in between` };
      },
    );
    await lab.check(
      "a sender of another size: its pictures are fitted, and the stream goes on",
      async () => {
        const other = await send("640x480");
        const { frames, stamped } = await stream(second, 90, `-s ${SIZE} -a`);
        await other.kill();
        wanted("frames", frames, 90);
        return stamped === 0; // other bytes than those that the stamp is about
      },
    );
  },
};

interface Sender {
  kill(): Promise<void>;
}

/** Starts a sender that connects until there is a receiver. */
async function startSender(guest: Guest, port: string, size: string): Promise<Sender> {
  const [width, height] = size.split("x");
  const what = `-d testsrc -W ${width} -H ${height} -r 30`;
  const job = guest.start(`exec framepass sender ${what} -a ${HOST} -p ${port} --reconnect`, {
    timeoutMs: 200_000,
  });
  return {
    async kill() {
      job.kill("KILL");
      await job.result;
    },
  };
}

/** A TCP port of this host that nothing listens on. */
function freePort(): string {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return String(port);
}
