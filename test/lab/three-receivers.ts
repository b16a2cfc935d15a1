// One sender for three receivers over vsock, a Unix socket and TCP: what the others lose when one is stopped and one is killed.
import type { Job } from "./agent.ts";
import type { Guest } from "./guest.ts";
import type { Lab } from "./lab.ts";
import { wanted } from "./wanted.ts";

/** An emulated processor does not serve three receivers at 60 fps whenever its host is busy; test/e2e/many-receivers.test.ts does. */
const frames = 300;
const fps = 20;
/** What the sender keeps for each receiver. */
const queued = 32;
/** So long that a stopped receiver misses frames: 80, of which the sender and the sockets keep fewer than 50. */
const stoppedMs = 4000;
const steady = { listen: "-l vsock:any -p 5002", connect: "vsock:1:5002" };
const paused = { listen: "-l unix:/tmp/three", connect: "unix:/tmp/three" };
const killed = { listen: "-l 127.0.0.1 -p 5003", connect: "127.0.0.1:5003" };

export async function checkThreeReceivers(lab: Lab, guest: Guest): Promise<void> {
  await lab.check(
    `of three receivers one stops for 4 s and one is killed and back: the third loses none of ${frames} frames`,
    async () => {
      const jobs: Job[] = [];
      /** `nice`: 0 for most; less for those that must have the emulated processor when another one starts. */
      const start = async (command: string, nice: number, says: string) => {
        const job = guest.start(
          `echo ${nice} >/proc/self/autogroup; exec framepass ${command} --stats 0`,
          { timeoutMs: 60_000 },
        );
        jobs.push(job);
        await said(job, says);
        return job;
      };
      try {
        const receive = ({ listen }: { listen: string }, words = "", nice = 0) =>
          start(`receiver ${listen} --verify ${words}`, nice, "listening on");
        const whole = await receive(steady, `-n ${frames}`, -10);
        const stopping = await receive(paused);
        const dying = await receive(killed);
        const to = [steady, paused, killed].map(({ connect }) => `-a ${connect}`).join(" ");
        const sender = await start(
          `sender -d testsrc -W 160 -H 120 -r ${fps} -b ${queued} ${to} --reconnect`,
          -10,
          "",
        );
        for (const job of [whole, stopping, dying]) await said(job, " sends ");
        stopping.kill("STOP");
        const untilMs = performance.now() + stoppedMs;
        await Bun.sleep(1000);
        dying.kill("KILL");
        await dying.result;
        const back = await receive(killed);
        await said(back, " sends ");
        await Bun.sleep(Math.max(0, untilMs - performance.now()));
        stopping.kill("CONT");
        const { status, stderr } = await whole.result;
        wanted("status of the steady receiver", status, 0);
        wanted("its frames", verified(stderr), frames);
        await Bun.sleep(500); // for the others to go on
        wanted("dropped", /(\d+) dropped/.exec(stderr)?.[1], "0");
        sender.kill("TERM");
        const [late, returned] = await Promise.all([stopping.result, back.result]);
        wanted("status of the others", late.status + returned.status, 0);
        const [of, after] = [verified(late.stderr), verified(returned.stderr)];
        if (!(of < frames)) throw new Error(`the stopped receiver has ${of} frames`);
        if (!(after >= fps)) throw new Error(`the receiver that came back has ${after} frames`);
        return { measured: `the stopped one has ${of}, the killed one ${after} after its return` };
      } finally {
        for (const job of jobs) job.kill("KILL");
        await guest.ok(`rm -f /tmp/three`);
      }
    },
  );
}

const verified = (stderr: string) => Number(/verified (\d+) frames/.exec(stderr)?.[1]);

async function said(job: Job, text: string): Promise<void> {
  const lateMs = performance.now() + 20_000;
  while (!job.output().stderr.includes(text)) {
    if (performance.now() > lateMs) throw new Error(`no "${text}": ${job.output().stderr}`);
    await Bun.sleep(20);
  }
}
