// The recipes of docs/recipes.md that need a camera device: Debian 12's GStreamer, mpv and OBS, and the v4l2loopback of its
// backports, because OBS 29 cannot write into later ones.
import type { Scenario } from "../lab.ts";
import { loopbackModule } from "../modules.ts";
import { withDevice } from "../recipes/devices.ts";
import { checkObs, obsPackages } from "../recipes/obs.ts";
import { checkGstreamer, checkMpv, readerPackages } from "../recipes/readers.ts";

export const scenario: Scenario = {
  name: "recipes",
  title: "GStreamer, mpv and OBS read a receiver's camera, and OBS is the camera of a sender",
  seconds: 140,
  limitMs: 580_000,
  besideOthers: true,
  async run(lab) {
    const guest = await lab.boot({
      modules: [`${await loopbackModule("bookworm")} devices=1 exclusive_caps=1 card_label=OBS`],
      packages: [...obsPackages, ...readerPackages],
      memoryMib: 3072,
      processors: 2,
    });
    // At the same time: OBS takes half a minute and more to start.
    await Promise.all([
      withDevice(guest, "The camera device in OBS", (device) => checkObs(lab, guest, device)),
      withDevice(guest, "A camera device", async (device) => {
        await checkGstreamer(lab, guest, device);
        await checkMpv(lab, guest, device);
      }),
    ]);
  },
};
