// The Debian packages that the recipes of docs/recipes.md name, for those that run on the machine itself. The tests install them.
import type { DebianNeed } from "./ensure.ts";

const triplet = process.arch === "x64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
const plugin = (name: string) => `/usr/lib/${triplet}/gstreamer-1.0/libgst${name}.so`;

/** nginx is not here: when it is installed it starts a server. Its test unpacks it. */
export const recipeNeeds: readonly DebianNeed[] = [
  { package: "ffmpeg", provides: "ffmpeg" },
  { package: "mpv", provides: "mpv" },
  { package: "gstreamer1.0-tools", provides: "gst-launch-1.0" },
  { package: "gstreamer1.0-plugins-base", provides: plugin("rawparse") },
  { package: "gstreamer1.0-plugins-good", provides: plugin("y4menc") },
  { package: "gstreamer1.0-x", provides: plugin("ximagesink") },
];
