// The worker of --metrics: a second entry of every executable, started only with the option. It reads the shared figures, keeps
// five minutes of them, and serves the page. Nothing here may delay the tool: it only shares memory with it.
import { CONTENT_TYPE, exposition } from "./exposition.ts";
import { FigureBoard, processState } from "./figure-board.ts";
import { Heartbeat, health } from "./heartbeat.ts";
import { History } from "./history.ts";
import type { About, FromWorker, ToWorker } from "./messages.ts";
import { figuresHtml, pageHtml } from "./page.ts";
import { icon, script, style } from "./page-files.ts";
import { PictureDesk } from "./picture-desk.ts";
import { type Reply, type Route, serve } from "./server.ts";

const SECOND_MS = 1000;

declare const self: Worker;
const say = (message: FromWorker) => self.postMessage(message);

const board = new FigureBoard();
const history = new History();
let desk: PictureDesk | undefined;

self.onmessage = ({ data }) => {
  const message = data as ToWorker;
  switch (message.is) {
    case "figures":
      board.add(message.group, message.figures, message.memory);
      return;
    case "withdrawn":
      board.remove(message.group);
      return;
    case "picture":
      desk?.take(message.stream, message.bytes, message.memory);
      return;
    case "open":
      open(message).catch(({ code = "EIO" }: NodeJS.ErrnoException) => {
        say({ is: "refused", code });
      });
  }
};

async function open(message: ToWorker & { readonly is: "open" }): Promise<void> {
  const { about, place } = message;
  const cells = new Int32Array(message.control);
  desk = about.pictures ? new PictureDesk(cells) : undefined;
  const beat = new Heartbeat(cells);
  let failed = false;
  await serve({
    place,
    routes: routesOf(about, beat),
    failed: (error) => {
      if (!failed) say({ is: "warning", text: `a request failed: ${(error as Error).message}` });
      failed = true;
    },
  });
  let lastMs = performance.now();
  setInterval(() => {
    const nowMs = performance.now();
    history.add(board.samples(), (nowMs - lastMs) / 1000);
    lastMs = nowMs;
    beat.look();
  }, SECOND_MS);
  say({ is: "open" });
}

const html = (body: string): Reply => ({ type: "text/html; charset=utf-8", body });

function routesOf(about: About, beat: Heartbeat): Readonly<Record<string, Route>> {
  const figures = () =>
    figuresHtml({ samples: board.samples(), history, about, ...processState() });
  const routes: Record<string, Route> = {
    "/": () => html(pageHtml(about, figures())),
    "/figures": () => html(figures()),
    "/metrics": () => ({
      type: CONTENT_TYPE,
      body: exposition(board.samples(), about, processState()),
    }),
    "/healthz": () => health(beat.silentMs),
    "/page.css": () => ({ type: "text/css; charset=utf-8", body: style }),
    "/page.js": () => ({ type: "text/javascript; charset=utf-8", body: script }),
    "/icon.svg": () => ({ type: "image/svg+xml", body: icon }),
  };
  if (desk !== undefined) routes["/picture.png"] = async () => picture(await desk?.picture());
  return routes;
}

function picture(answer: Uint8Array | string | undefined): Reply {
  if (answer instanceof Uint8Array) return { type: "image/png", body: answer };
  return { status: 503, type: "text/plain; charset=utf-8", body: `${answer}\n` };
}
