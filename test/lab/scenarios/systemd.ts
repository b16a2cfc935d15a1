// The installed units under a real systemd as the guest's first process: start, stream, crash, watchdog, sockets, journal, stop.
import { services, units } from "../../../src/install/units.ts";
import type { Guest } from "../guest.ts";
import type { Scenario } from "../lab.ts";
import { wanted } from "../wanted.ts";

const prefix = "/usr/local";
const framepass = `${prefix}/bin/framepass`;
const receiver = "framepass-receiver@front";
const sender = "framepass-sender@front";
const decoder = "vhost-user-video@front";
const socket = "/run/framepass/vhost-user-video-front.sock";
const local = "/run/framepass/local/stream";
/** Rows have no padding: 64x48 YUYV. */
const frameBytes = 64 * 48 * 2;
const frames = 10;
/** vhost-user: request GET_FEATURES, version 1, no payload. */
const getFeatures = String.raw`\001\000\000\000\001\000\000\000\000\000\000\000`;
/** Connects, asks, and prints the answer of 20 bytes in hexadecimal. */
const ask = `printf '${getFeatures}' | socat -t 60 - UNIX-CONNECT:${socket},shut-none >/tmp/answer &
until [ "$(stat -c %s /tmp/answer)" -ge 20 ]; do sleep 0.05; done
kill $!
od -An -v -tx1 /tmp/answer | tr -d ' \\n'`;

/** The files in /etc that a person writes. */
const files = {
  "framepass/receiver-front.env": "OPTIONS=-l 127.0.0.1 -p 5000 --stats 0.5",
  "framepass/sender-front.env":
    "OPTIONS=-d /dev/video0 -W 640 -H 480 -a 127.0.0.1 -p 5000 --stats 0.5",
  "framepass/receiver-local.env": `TOOL=receiver_zc\nOPTIONS=-l unix:${local} --socket-group video -o film.yuv --verify --stats 0`,
  "framepass/sender-local.env": `TOOL=sender_zc\nOPTIONS=-d testsrc -W 64 -H 48 -r 60 -n ${frames} -a unix:${local}`,
  "framepass/receiver-pipe.env": "OPTIONS=-p 5001 -o /run/pipe --stats 0",
  "framepass/receiver-hung.env": "OPTIONS=-p 5002 --stats 0",
  "framepass/receiver-wrong.env": "OPTIONS=--no-such-option",
  "framepass/receiver-passed.env": "OPTIONS=--stats 0",
  "framepass/vhost-user-video-front.env": "OPTIONS=-b null",
  "systemd/system/framepass-receiver@hung.service.d/soon.conf": "[Service]\nWatchdogSec=4",
  "systemd/system/framepass-receiver@passed.socket": "[Socket]\nListenStream=127.0.0.1:5003",
};

const shown = async (guest: Guest, unit: string, property: string) =>
  (await guest.ok(`systemctl show --value -p ${property} ${unit}`)).trim();

const said = (guest: Guest, unit: string) => guest.ok(`journalctl -q -o cat -u ${unit}`);

/** Waits until the status of a unit has a text, for which the guest may take long on a busy host. */
const status = (guest: Guest, unit: string, text: string) =>
  guest.until(`systemctl show -p StatusText ${unit} | grep -q "${text}"`, 30_000);

const active = (guest: Guest, unit: string) =>
  guest.until(`systemctl -q is-active ${unit}`, 30_000);

export const scenario: Scenario = {
  name: "systemd",
  title: "the installed units under systemd: start, crash, watchdog, sockets, journal, stop",
  seconds: 68,
  besideOthers: true,
  async run(lab) {
    const guest = await lab.boot({
      packages: ["systemd", "socat"],
      modules: ["vivid n_devs=1 node_types=0x1"],
      commandLine: "lab.systemd",
    });
    await lab.check("systemd is the first process", async () =>
      wanted("its name", await guest.ok("cat /proc/1/comm"), "systemd\n"),
    );
    // What udev and the packages of a whole system do.
    await guest.ok("printf 'video:x:44:\\nkvm:x:105:\\n' >>/etc/group");
    await guest.ok("chgrp video /dev/video0; chmod 660 /dev/video0; mkfifo -m 666 /run/pipe");
    for (const [path, text] of Object.entries(files))
      await guest.ok(`mkdir -p $(dirname /etc/${path}); echo '${text}' >/etc/${path}`);

    await lab.check("framepass install: the units are there, and systemd knows them", async () => {
      const [installed] = await Promise.all([
        guest.ok(`/dist/framepass install --prefix ${prefix}`, { timeoutMs: 120_000 }),
        guest.ok("systemctl start basic.target"),
      ]);
      for (const { name } of units(framepass)) {
        if (!installed.includes(`${prefix}/lib/systemd/system/${name}\n`)) return false;
        await guest.ok(`systemctl cat ${name.replace("@", "@front")}`);
      }
      return true;
    });

    await lab.check("a service is active when its tool listens, not before", async () => {
      const unit = "framepass-receiver@pipe";
      await guest.ok(`systemctl start --no-block ${unit}`);
      await guest.until(
        `journalctl -q -o cat -u ${unit} | grep "waiting for a program that reads"`,
        30_000,
      );
      wanted("its state", await shown(guest, unit, "ActiveState"), "activating");
      const reader = guest.start("cat /run/pipe >/dev/null", { timeoutMs: 60_000 });
      await active(guest, unit);
      await guest.ok(`systemctl stop ${unit}`);
      await reader.result;
    });
    const hung = "framepass-receiver@hung";
    await lab.check("a process is stopped, for the watchdog to find it", async () => {
      await guest.ok(`systemctl start ${hung} && systemctl kill -s STOP ${hung}`);
    });

    await lab.check("a camera's stream from one service to the other", async () => {
      await guest.ok(`systemctl start ${receiver} ${sender}`);
      await status(guest, receiver, "receiving 640x480 .* from 127.0.0.1:.*: [0-9]* frames, ");
      await status(guest, sender, "sending to 127.0.0.1:5000: [0-9]* frames, ");
    });
    for (const name of [receiver, sender])
      await lab.check(`${name}: killed, started again, and the stream goes on`, async () => {
        const before = await shown(guest, name, "MainPID");
        await guest.ok(`kill -9 ${before}`);
        const pid = `systemctl show --value -p MainPID ${name}`;
        await guest.until(`! ${pid} | grep -qx "${before}\\|0"`, 30_000);
        // Statistics of the new process, which are printed only while there is a stream.
        await guest.until(`journalctl -q -o cat _PID=$(${pid}) | grep " frames, "`, 30_000);
        wanted("restarts", await shown(guest, name, "NRestarts"), "1");
      });
    await lab.check("the journal has a line per message, with its priority", async () => {
      const lines = await guest.ok(`journalctl -q -o json -u ${sender} _COMM=framepass`);
      const entries = lines
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      for (const { MESSAGE, PRIORITY } of entries) {
        if (!/^sender: [^<]+$/.test(MESSAGE)) throw new Error(`"${MESSAGE}"`);
        wanted(`priority of "${MESSAGE}"`, PRIORITY, /^sender: warn: /.test(MESSAGE) ? "4" : "6");
      }
      const levels = new Set(entries.map(({ PRIORITY }) => PRIORITY));
      return levels.has("4") && levels.has("6"); // it has warned that its receiver was gone
    });

    await lab.check(
      "zero copy over a Unix socket for the group that was named, and a film in the state folder",
      async () => {
        await guest.ok("systemctl start framepass-receiver@local");
        const owner = await guest.ok(`stat -c '%G %a' ${local}`);
        wanted("group and mode", owner, "video 660\n");
        await guest.ok("systemctl start framepass-sender@local");
        await guest.until(
          "systemctl show -p ActiveState framepass-sender@local | grep -q =inactive",
          30_000,
        );
        wanted("result", await shown(guest, "framepass-sender@local", "Result"), "success");
      },
    );
    await lab.check(
      "stop: within its time, without a failure, the socket is gone, all frames are there",
      async () => {
        await guest.ok("systemctl stop framepass-receiver@local", { timeoutMs: 20_000 });
        await guest.ok(`test ! -e ${local}`);
        const lines = await said(guest, "framepass-receiver@local");
        const size = await guest.ok("stat -c %s /var/lib/framepass/local/film.yuv");
        wanted("bytes", size, `${frames * frameBytes}\n`);
        return (
          lines.includes(`verified ${frames} frames`) && lines.includes("Deactivated successfully")
        );
      },
    );

    await lab.check("wrong options: one line, and it is not started again", async () => {
      const unit = "framepass-receiver@wrong";
      if ((await guest.run(`systemctl start ${unit}`)).status === 0) return false;
      wanted("state", await shown(guest, unit, "ActiveState"), "failed");
      wanted("status", await shown(guest, unit, "ExecMainStatus"), "2");
      return (await said(guest, unit)).includes('unknown option "--no-such-option"');
    });
    await lab.check("a receiver is started by the connection of its sender", async () => {
      const unit = "framepass-receiver@passed";
      await guest.ok(`systemctl start ${unit}.socket`);
      wanted("state before", await shown(guest, unit, "ActiveState"), "inactive");
      await guest.ok(`${framepass} sender -d testsrc -W 64 -H 48 -n 5 -a 127.0.0.1 -p 5003`);
      await active(guest, unit);
      await guest.ok(`systemctl stop ${unit}.socket ${unit}`);
    });
    await lab.check(
      "vhost-user-video is started by a front-end, which gets its answer",
      async () => {
        await guest.ok(`systemctl start ${decoder}.socket`);
        wanted("group and mode", await guest.ok(`stat -c '%G %a' ${socket}`), "kvm 660\n");
        wanted("state before", await shown(guest, decoder, "ActiveState"), "inactive");
        const answer = await guest.ok(ask, { timeoutMs: 60_000 });
        // The same request, version 1 with the bit of an answer, 8 bytes of features.
        if (!/^010000000500000008000000[0-9a-f]{16}$/.test(answer)) throw new Error(`"${answer}"`);
        await active(guest, decoder);
      },
    );
    await lab.check(
      "systemd's socket is there when the daemon has ended, and gone with its unit",
      async () => {
        await guest.ok(`systemctl stop ${decoder}.service && test -S ${socket}`);
        await guest.ok(`systemctl stop ${decoder}.socket && test ! -e ${socket}`);
      },
    );

    await lab.check(
      "the process that was stopped was killed by the watchdog, and runs again",
      async () => {
        await guest.until(`journalctl -q -o cat -u ${hung} | grep "Watchdog timeout"`, 30_000);
        await guest.until(`test $(systemctl show --value -p NRestarts ${hung}) -ge 1`, 30_000);
        await status(guest, hung, "listening on 0.0.0.0:5002");
      },
    );
    for (const { name } of services)
      await lab.check(`systemd-analyze: ${name} has no fault, and 2.5 at most`, async () => {
        const unit = `${name}@front.service`;
        wanted("complaints", await guest.ok(`systemd-analyze verify --man=no ${unit} 2>&1`), "");
        const review = "systemd-analyze security --no-pager --threshold=25";
        const said = await guest.ok(`${review} --offline=true ${unit}`);
        return { measured: /exposure level for .*: ([\d.]+)/.exec(said)?.[1] };
      });
    await lab.check("framepass uninstall removes the units", async () => {
      await guest.ok(`systemctl stop ${sender} ${receiver} ${hung}`);
      await guest.ok(`${framepass} uninstall --prefix ${prefix}`);
      await guest.ok(`test ! -e ${prefix}/lib`);
    });
  },
};
