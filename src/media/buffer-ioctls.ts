// Buffers and streaming: vidioc-reqbufs.rst, vidioc-create-bufs.rst, vidioc-querybuf.rst, vidioc-qbuf.rst, vidioc-streamon.rst.
// DQBUF is answered in the guest, from the events of the device.
import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import type { CaptureBuffer } from "./capture-buffer.ts";
import { MAX_BUFFERS } from "./capture-queue.ts";
import { checkType } from "./format-ioctls.ts";
import { type IoctlCall, type IoctlRow, ioctlRow } from "./ioctl-row.ts";
import { check, MediaError } from "./media-error.ts";
import { UserMemory } from "./user-memory.ts";

type Buffer = Struct<typeof v.v4l2Buffer.fields>;

/** The buffer that `q` names. Throws MediaError. */
function named(q: Buffer, { node, session }: IoctlCall): CaptureBuffer {
  checkType(q.type);
  return node.queueOf(session).buffer(q.index);
}

/** Fills in what a program may not choose. The fields that a driver leaves alone stay as they came. */
function answerBuffer(q: Buffer, buffer: CaptureBuffer): void {
  buffer.describe(q);
  if (buffer.shared !== undefined) q["m.userptr"] = buffer.shared.handle;
  else q["m.userptr"] = buffer.user?.userptr ?? 0;
}

/** Takes the memory of a USERPTR buffer from the request. Throws MediaError. */
function takeMemory(q: Buffer, buffer: CaptureBuffer, { node, tail }: IoctlCall): void {
  check(q.memory === buffer.memoryType, "the memory type is not that of the queue");
  if (buffer.shared !== undefined) {
    check(tail.length === 0, "a scatter list for a buffer of the device");
    return;
  }
  check(q.length >= node.mode.sizeimage, "the buffer is smaller than a picture");
  const user = new UserMemory(q["m.userptr"], q.length, tail, node.guestMemory);
  buffer.user?.drop();
  buffer.user = user;
}

export const bufferIoctls: readonly IoctlRow[] = [
  {
    ...ioctlRow(v.VIDIOC_REQBUFS, (q, { node, session }) => {
      const { count, type, memory } = q;
      checkType(type);
      node.checkMemoryType(memory, count);
      node.requestBuffers(session, memory, Math.min(count, MAX_BUFFERS));
      q.$bytes.fill(0);
      q.count = node.buffersOf(session);
      q.type = type;
      q.memory = memory;
      q.capabilities = node.capabilities;
    }),
    settles: true,
  },
  ioctlRow(v.VIDIOC_CREATE_BUFS, (q, { node, session }) => {
    checkType(q["format.type"]);
    node.checkMemoryType(q.memory, q.count);
    const sizeimage = q["format.fmt.pix.sizeimage"];
    check(sizeimage >= node.mode.sizeimage, "the buffers would be smaller than a picture");
    const index = node.buffersOf(session);
    if (q.count > 0) node.createBuffers(session, q.memory, q.count, sizeimage);
    const { memory } = q;
    const format = q.$bytes.slice(16, 224);
    q.$bytes.fill(0);
    q.$bytes.set(format, 16);
    q.index = index;
    q.count = node.buffersOf(session) - index;
    q.memory = memory;
    q.capabilities = node.capabilities;
  }),
  ioctlRow(
    v.VIDIOC_QUERYBUF,
    (q, call) => {
      checkType(q.type);
      const buffer = call.node.anyQueue.buffer(q.index); // also for sessions that do not own it: vb2_ioctl_querybuf
      answerBuffer(q, buffer);
      q.bytesused = buffer.bytesused;
      q["timestamp.tv_sec"] = buffer.tsSec;
      q["timestamp.tv_usec"] = buffer.tsUsec;
      q.sequence = buffer.sequence;
    },
    "list",
  ),
  ioctlRow(
    v.VIDIOC_PREPARE_BUF,
    (q, call) => {
      const buffer = named(q, call);
      check(buffer.state === "free", "the buffer is prepared or queued already");
      takeMemory(q, buffer, call);
      buffer.state = "prepared";
      buffer.clear();
      answerBuffer(q, buffer);
      q.bytesused = 0;
    },
    "list",
  ),
  ioctlRow(
    v.VIDIOC_QBUF,
    (q, call) => {
      const buffer = named(q, call);
      const queue = call.node.queueOf(call.session);
      check(q.memory === queue.memoryType, "the memory type is not that of the queue");
      if (buffer.state === "free") takeMemory(q, buffer, call);
      queue.queue(buffer);
      answerBuffer(q, buffer);
      q.bytesused = 0;
    },
    "list",
  ),
  ioctlRow(v.VIDIOC_STREAMON, (q, { node, session }) => {
    checkType(q.value);
    node.streamOn(session);
  }),
  {
    ...ioctlRow(v.VIDIOC_STREAMOFF, (q, { node, session }) => {
      checkType(q.value);
      if (node.isOwnedByOther(session))
        throw new MediaError("EBUSY", "another session has buffers");
      node.streamOff(session);
    }),
    settles: true,
  },
];
