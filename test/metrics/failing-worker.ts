// A worker for tests that answers as the one of --metrics does, and fails when it gets figures.
declare const self: Worker;

self.onmessage = ({ data }) => {
  if (data.is === "open") self.postMessage({ is: "open" });
  if (data.is === "figures") throw new Error("the worker has a defect");
};
