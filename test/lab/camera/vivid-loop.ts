// vivid as a screen and the camera that films it: an HDMI output that is looped into an HDMI capture node.
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";
import { inOrder, recorded } from "./recorded.ts";

export const vividLoop =
  "vivid n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1 no_error_inj=1";

const frames = 300;
/** Writing 184 MB to the share is slow. */
const limitMs = 120_000;
const frameBytes = 640 * 480 * 2;

/** 640x480 from the output node, video1, into the capture node, video0. */
async function join(guest: Guest): Promise<void> {
  await guest.ok(
    `for d in 0 1; do v4l2-ctl -d$d --set-dv-bt-timings index=0; done
     v4l2-ctl -d0 --set-ctrl hdmi_000_0_is_connected_to=2 --set-ctrl osd_text_mode=2
     v4l2-ctl -d0 --set-fmt-video width=640,height=480,pixelformat=YUYV`,
  );
}

export async function checkVividLoop(lab: Lab, guest: Guest): Promise<void> {
  await join(guest);
  await lab.check("vivid: a capture node and a codec are refused by name, status 3", async () => {
    const { status, stderr } = await guest.run("framepass receiver -p 5000 -o /dev/video0");
    wanted("status", status, 3);
    wanted("text", /\/dev\/video0: vivid is a source of pictures/.test(stderr), true);
  });
  await lab.check(
    `vivid: ${frames} frames of its output are filmed, none torn, in order`,
    async () => {
      const receiver = await startReceiver(guest, "-l unix:/tmp/v -o /dev/video1", limitMs);
      // A sender that was late sends the frames that it has buffers for at once, and the output has four.
      const sender = new Tool(guest, "sender -d testsrc -r 30 -b 2 -a unix:/tmp/v", limitMs);
      await sender.moves(30);
      await guest.ok(
        `v4l2-ctl -d0 --stream-mmap --stream-count=${frames} --stream-to=filmed 2>/dev/null`,
        { timeoutMs: limitMs },
      );
      receiver.kill("TERM"); // first: a slow guest cuts the last frame of a sender that ends
      const { status, stopped } = await receiver.end();
      sender.kill("TERM");
      const read = await recorded(guest, "filmed", frameBytes);
      wanted("status of the receiver", status, 130);
      wanted("frames", read.frames, frames);
      wanted("torn", read.torn, 0);
      wanted("frames that are not the sender's", read.others, 0);
      // The node shows 60 frames a second, so that most pictures are filmed twice.
      const distinct = read.numbers.filter((number, i) => number !== read.numbers[i - 1]);
      wanted("in order", inOrder(distinct), true);
      if (distinct.length < 60) throw new Error(`only ${distinct.length} different pictures`);
      const [camera] = stopped.cameras as readonly { copied: number; left_out: number }[];
      wanted("left out", camera?.left_out, 0);
      wanted("copied from the memory that they were received into", camera?.copied, 0);
    },
  );
  await lab.check("vivid: --camera-size: a stream of another size is fitted in", async () => {
    const options = "-l unix:/tmp/v -o /dev/video1 --camera-size 640x480";
    const receiver = await startReceiver(guest, options);
    const sender = new Tool(guest, "sender -d testsrc -W 1280 -H 720 -r 10 -a unix:/tmp/v");
    await sender.moves(15);
    await guest.ok("v4l2-ctl -d0 --stream-mmap --stream-count=5 --stream-to=filmed 2>/dev/null");
    receiver.kill("TERM");
    const { status, lines } = await receiver.end();
    sender.kill("TERM");
    wanted("status", status, 130);
    const said = "1280x720 YUYV is converted to 640x480 YUYV";
    wanted("said", lines.filter((line) => line.includes(said)).length, 1);
    const read = await recorded(guest, "filmed", frameBytes);
    const picture = read.frame(read.frames - 1);
    const luma = (x: number, y: number) => picture[(y * 640 + x) * 2] ?? 0;
    wanted("black above", luma(320, 20), 16);
    wanted("bars in the middle", luma(20, 100) > 150, true);
  });
}
