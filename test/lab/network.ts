// A private network of guests: Ethernet frames as datagrams on Unix sockets in a directory of its
// own, so that labs do not reach each other and need no free port.

import { join } from "node:path";
import { Scratch } from "./scratch.ts";

/**
 * Bytes in an Ethernet frame. An emulated guest's cost is per packet: TCP carries 22 MB/s with
 * 1500, 43 MB/s with 16000, and no more with 65000. Video of 640x480 YUYV at 30 fps is 18 MB/s.
 */
const mtu = 16_000;

/** A cable between two guests. */
export class Cable {
  readonly #scratch = new Scratch();

  /** QEMU's arguments for the network card of guest 1 or 2. */
  qemuArgs(number: 1 | 2): readonly string[] {
    const end = (n: number) => join(this.#scratch.path, String(n));
    const local = `local.type=unix,local.path=${end(number)}`;
    const remote = `remote.type=unix,remote.path=${end(3 - number)}`;
    return [
      ...["-netdev", `dgram,id=net,${local},${remote}`],
      ...["-device", `virtio-net-pci,netdev=net,host_mtu=${mtu},mac=52:54:00:00:00:0${number}`],
    ];
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}
