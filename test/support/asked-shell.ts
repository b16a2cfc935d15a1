// An interactive shell on a pseudo-terminal that is asked what can follow a line, as by the Tab key.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TempDir, within } from "./tool.ts";

/** The key that asks: Ctrl-G. */
const ASK = "\x07";
const PROMPT = "ready> ";

/** How a shell is started with a start file, and how its answers become a line of the terminal: <<a b c>>. */
const shells = {
  bash: {
    file: "bashrc",
    // insert-completions writes all candidates into the line, as the shell would quote them.
    lines: [
      `bind '"\\C-t": insert-completions'`,
      "answer() { printf '\\n<<%s>>\\n' \"$READLINE_LINE\"; READLINE_LINE=; }",
      `bind -x '"\\C-o": answer'`,
      `bind '"\\C-g": "\\C-t\\C-o"'`,
    ],
    command: (file: string) => ["bash", "--noprofile", "--rcfile", file, "-i"],
  },
  zsh: {
    file: ".zshrc",
    // All candidates go through compadd.
    lines: `
autoload -Uz compinit && compinit -u -D
unsetopt beep list_beep
LISTMAX=1000
compadd() {
  if [[ -z $argv[(r)-[OAD]] ]]; then
    local -a found
    builtin compadd -O found "$@"
    answered+=($found)
  fi
  builtin compadd "$@"
}
ask() {
  typeset -ga answered=()
  zle list-choices
  print -r -- "<<$answered>>"
  BUFFER=
}
zle -N ask
bindkey '^G' ask`.split("\n"),
    command: () => ["zsh", "-i"],
  },
} as const;

/** Starts bash or zsh with `setup` in its start file, in the folder `cwd`, and returns what it suggests after each line. */
export async function askShell(
  name: keyof typeof shells,
  setup: string,
  questions: readonly string[],
  cwd: string,
): Promise<string[]> {
  using temp = new TempDir();
  const { file, lines, command } = shells[name];
  const home = temp.file("home");
  mkdirSync(home);
  writeFileSync(join(home, file), [`PS1='${PROMPT}'`, setup, ...lines, ""].join("\n"));
  const decoder = new TextDecoder();
  let shown = "";
  let wake = () => {};
  const shows = async (wanted: () => boolean) => {
    while (!wanted()) {
      await within(
        new Promise<void>((resolve) => {
          wake = resolve;
        }),
        `an answer of ${name} in ${JSON.stringify(shown.slice(-300))}`,
      );
    }
  };
  const env = { PATH: process.env.PATH, HOME: home, ZDOTDIR: home, TERM: "dumb", LC_ALL: "C" };
  await using child = Bun.spawn(command(join(home, file)), {
    cwd,
    env: { ...env, INPUTRC: "/dev/null", HISTFILE: "" },
    terminal: {
      cols: 2000,
      rows: 50,
      data(_, bytes) {
        shown += decoder.decode(bytes, { stream: true });
        wake();
      },
    },
  });
  const answers = () => [...shown.matchAll(/<<(.*?)>>/g)].map(([, answer = ""]) => answer);
  await shows(() => shown.includes(PROMPT));
  for (const [index, question] of questions.entries()) {
    child.terminal?.write(`${question}${ASK}`);
    await shows(() => answers().length > index);
  }
  child.kill("SIGKILL");
  await child.exited;
  return answers();
}
