// The settings of OBS that a person makes by mouse: one scene with a camera device in it, a recording without compression.

/** What the canvas and the recording are. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
}

/** Files of a new person's home directory, by path. The recording, in `folder`, can be read while it is written. */
export function obsSettings(
  node: string,
  { width, height, fps }: Canvas,
  folder: string,
): Readonly<Record<string, string>> {
  const camera = {
    id: "v4l2_input",
    name: "guest A",
    settings: { device_id: node, input: 0, pixelformat: -1, resolution: -1, framerate: -1 },
  };
  const scene = {
    id: "scene",
    name: "scene",
    settings: { id_counter: 1, items: [itemOf(camera.name)] },
  };
  const collection = {
    name: "recipe",
    current_scene: scene.name,
    current_program_scene: scene.name,
    scene_order: [{ name: scene.name }],
    sources: [scene, camera],
  };
  const profile = {
    General: { Name: "recipe" },
    Output: { Mode: "Advanced" },
    AdvOut: {
      RecType: "FFmpeg",
      FFOutputToFile: true,
      FFFilePath: folder,
      FFFormat: "nut",
      FFExtension: "nut",
      FFVEncoder: "rawvideo",
      FFVEncoderId: 13, // AV_CODEC_ID_RAWVIDEO
      FFAEncoder: "pcm_s16le",
      FFAEncoderId: 65_536, // AV_CODEC_ID_PCM_S16LE
      FFIgnoreCompat: true,
    },
    Video: {
      BaseCX: width,
      BaseCY: height,
      OutputCX: width,
      OutputCY: height,
      FPSType: 1, // FPSInt is the rate
      FPSInt: fps,
      ColorFormat: "RGB",
    },
  };
  const general = {
    General: { FirstRun: true, EnableAutoUpdates: false },
    Basic: {
      Profile: "recipe",
      ProfileDir: "recipe",
      SceneCollection: "recipe",
      SceneCollectionFile: "recipe",
    },
    BasicWindow: { PreviewEnabled: false },
  };
  const at = ".config/obs-studio";
  return {
    [`${at}/global.ini`]: ini(general),
    [`${at}/basic/profiles/recipe/basic.ini`]: ini(profile),
    [`${at}/basic/scenes/recipe.json`]: JSON.stringify(collection),
  };
}

const itemOf = (name: string) => ({
  name,
  id: 1,
  visible: true,
  align: 5, // top left
  pos: { x: 0, y: 0 },
  scale: { x: 1, y: 1 },
});

type Section = Readonly<Record<string, string | number | boolean>>;

const ini = (sections: Readonly<Record<string, Section>>) =>
  Object.entries(sections)
    .map(([name, section]) => {
      const lines = Object.entries(section).map(([key, value]) => `${key}=${value}\n`);
      return `[${name}]\n${lines.join("")}`;
    })
    .join("");
