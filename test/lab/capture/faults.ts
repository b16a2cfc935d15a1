// The faults that vivid can be made to have: damaged and lost frames, a dead stream, an unplugged device.

import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { type Ended, startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

const device = "/dev/video0";
const camera = `sender -d ${device} -W 320 -H 180 -a 127.0.0.1 -p 5000`;

export async function checkFaults(lab: Lab, guest: Guest): Promise<void> {
  const control = (words: string) => guest.ok(`v4l2-ctl -d ${device} --set-ctrl=${words}`);
  const stream = async (options = "-r 30"): Promise<readonly [Tool, Tool]> => {
    const receiver = await startReceiver(guest, "-p 5000 --keep");
    const sender = new Tool(guest, `${camera} ${options}`);
    await sender.moves(3);
    return [sender, receiver];
  };
  const stop = async (receiver: Tool): Promise<Ended> => {
    receiver.kill("INT");
    return await receiver.end();
  };

  await lab.check("damaged frames are counted and not sent", async () => {
    const [sender, receiver] = await stream();
    for (let i = 0; i < 3; i++) await control("inject_v4l2_buf_flag_error=1");
    await sender.moves(sender.frames() + 3); // the receiver notices a lost frame at a later one
    sender.kill("INT");
    const { status, stopped } = await sender.end();
    const { stopped: received } = await stop(receiver);
    wanted("exit status", status, 130);
    wanted("damaged", stopped.errors, 3);
    wanted("frames received", received.frames, stopped.frames);
    // A damaged frame has a number too, so the receiver counts it as lost.
    wanted("missed by the receiver", received.drops, Number(stopped.drops) + 3);
  });

  await lab.check("frames the driver drops are counted on both sides", async () => {
    await control("percentage_of_dropped_buffers=50");
    const receiver = await startReceiver(guest, "-p 5000");
    const { stopped } = await new Tool(guest, `${camera} -r 30 -n 30`).end();
    const { stopped: received } = await receiver.end();
    await control("percentage_of_dropped_buffers=0");
    wanted("frames", received.frames, 30);
    wanted("drops seen by the receiver", received.drops, stopped.drops);
    return Number(stopped.drops) >= 10;
  });

  await lab.check("a stream that dies ends the sender with one line", async () => {
    const [sender, receiver] = await stream();
    await control("inject_fatal_streaming_error=1");
    const { status, lines } = await sender.end();
    await stop(receiver);
    wanted("exit status", status, 1);
    return oneError(lines, "EIO");
  });

  await lab.check("a camera that is unplugged ends the sender with one line", async () => {
    const [sender, receiver] = await stream();
    await control("disconnect=1");
    const { status, lines } = await sender.end();
    await stop(receiver);
    wanted("exit status", status, 1);
    return oneError(lines, "the camera was removed");
  });

  for (const [what, order] of [
    ["a camera that is plugged in again", "disconnect=1"],
    ["a stream that died", "inject_fatal_streaming_error=1"],
  ] as const) {
    await lab.check(`with --reconnect ${what} goes on`, async () => {
      const [sender, receiver] = await stream("-r 30 --reconnect");
      const before = receiver.frames();
      await control(order);
      await sender.says("trying again");
      await sender.moves(sender.frames() + 5);
      await receiver.moves(before + 5);
      sender.kill("INT");
      const { status } = await sender.end();
      await stop(receiver);
      return status === 130;
    });
  }

  await lab.check("with --reconnect a camera whose node was gone goes on", async () => {
    const [sender, receiver] = await stream("-r 30 --reconnect");
    const before = receiver.frames();
    await guest.ok("echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind; test ! -e /dev/video0");
    await sender.says("ENOENT");
    await guest.ok("echo vivid.0 >/sys/bus/platform/drivers/vivid/bind");
    await receiver.moves(before + 10);
    sender.kill("INT");
    const { status } = await sender.end();
    await stop(receiver);
    return status === 130;
  });

  await lab.check(
    "buffers that are refused at REQBUFS or QBUF are made in the other way",
    async () => {
      for (const call of ["reqbufs", "qbuf"]) {
        await control(`inject_vidioc_${call}_error=1`);
        const [sender, receiver] = await stream("-r 30");
        sender.kill("INT");
        wanted(`memory after ${call} failed`, (await sender.end()).started.memory, "mmap");
        await stop(receiver);
      }
    },
  );

  await lab.check(
    "a stream that cannot be started is one line, and tried again if asked",
    async () => {
      await control("inject_vidioc_streamon_error=1");
      const receiver = await startReceiver(guest, "-p 5000 --keep");
      const { status, lines } = await new Tool(guest, camera).end();
      wanted("exit status", status, 3);
      if (!oneError(lines, "VIDIOC_STREAMON")) throw new Error(lines.join("; "));
      await control("inject_vidioc_streamon_error=1");
      const sender = new Tool(guest, `${camera} --reconnect`);
      await sender.moves(3);
      sender.kill("INT");
      await sender.end();
      await stop(receiver);
    },
  );

  await lab.check(
    "a signal that changes is one line, and with --reconnect it is taken up again",
    async () => {
      const hdmi = (words: string) => guest.ok(`v4l2-ctl -d /dev/video1 ${words}`);
      await hdmi("--set-input=1");
      await hdmi("--set-dv-bt-timings index=0"); // 640x480
      for (const option of ["", "--reconnect"]) {
        const receiver = await startReceiver(guest, "-p 5000 --keep");
        const sender = new Tool(guest, `sender -d /dev/video1 -a 127.0.0.1 -p 5000 ${option}`);
        await sender.moves(3);
        await hdmi("--set-ctrl=dv_timings_signal_mode=1"); // no signal
        await sender.says("the signal changed");
        await hdmi("--set-ctrl=dv_timings_signal_mode=0");
        if (option === "") {
          const { status, lines } = await sender.end();
          wanted("exit status", status, 1);
          if (!oneError(lines, "the signal changed")) throw new Error(lines.join("; "));
        } else {
          await sender.moves(sender.frames() + 5);
          sender.kill("INT");
          await sender.end();
        }
        await stop(receiver);
      }
      await hdmi("--set-input=0");
    },
  );

  await lab.check("a second sender says that the camera is busy", async () => {
    const [sender, receiver] = await stream();
    const { status, lines } = await new Tool(guest, camera).end();
    wanted("exit status", status, 3);
    if (!oneError(lines, "EBUSY")) throw new Error(lines.join("; "));
    sender.kill("INT");
    await sender.end();
    await stop(receiver);
  });

  await lab.check("a rate the camera does not have is said to be another", async () => {
    const receiver = await startReceiver(guest, "-p 5000");
    const { lines, started } = await new Tool(guest, `${camera} -r 26 -n 1`).end();
    await receiver.end();
    wanted("rate", started.fps, 30);
    return lines.some((line) => line.includes("rate is 30 fps, asked for 26"));
  });
}

/** True when the last line alone is an error, has that text, and no line belongs to a stack trace. */
function oneError(lines: readonly string[], text: string): boolean {
  const failures = lines.filter((line) => line.includes("error:") || line.includes(text));
  const traced = lines.some((line) => /^\s+at /.test(line));
  return failures.length === 1 && failures[0] === lines.at(-1) && !traced;
}
