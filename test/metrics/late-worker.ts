// A worker for tests that says when it has started, and binds its Unix socket a while after that.
import { createServer } from "node:net";

declare const self: Worker;

self.onmessage = ({ data }) => {
  if (data.is !== "open") return;
  self.postMessage({ is: "warning", text: "it has started" });
  setTimeout(() => {
    createServer().listen({ path: data.place.path }, () => self.postMessage({ is: "open" }));
  }, 200);
};
