// An SSH server for docs/encryption.md: Debian's, unpacked into the cache and never installed, because its package starts a
// server on the machine. It has its own keys and its own list of users, in mounts of its own.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cachedDir, hostCommand, unpackPackages } from "../lab/debian.ts";

export interface SshServer {
  /** Shell lines that start it, in mounts that are the host's own. It goes on in the background. */
  readonly command: string;
  /** A configuration of `ssh` with the user's key and the server's public key. */
  readonly configuration: string;
}

/** Makes the keys and files of a server at `address`, and of its one user: root, with `keyWords` before the key. */
export async function startSshServer(options: {
  readonly directory: string;
  readonly address: string;
  readonly keyWords: string;
}): Promise<SshServer> {
  const { directory, address, keyWords } = options;
  const server = await cachedDir("sshd", (into) =>
    unpackPackages(["openssh-server", "libwrap0"], into),
  );
  const own = (name: string) => join(directory, "ssh", name);
  mkdirSync(own("."));
  for (const name of ["host", "user"]) {
    await hostCommand(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own(name)]);
  }
  const publicKey = (name: string) => readFileSync(own(`${name}.pub`), "utf8");
  const files = {
    users: "root:x:0:0::/root:/bin/sh\nsshd:x:65534:65534::/run/sshd:/usr/sbin/nologin\n",
    passwords: "root:*:1::::::\nsshd:!:1::::::\n",
    authorized_keys: `${keyWords} ${publicKey("user")}`,
    known_hosts: `${address} ${publicKey("host")}`,
    sshd_config: `ListenAddress ${address}
HostKey ${own("host")}
AuthorizedKeysFile ${own("authorized_keys")}
PidFile none
StrictModes no
UsePAM no
`,
    ssh_config: `IdentityFile ${own("user")}
IdentitiesOnly yes
User root
UserKnownHostsFile ${own("known_hosts")}
StrictHostKeyChecking yes
`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(own(name), text);
  const libraries = ["lib", "usr/lib"]
    .map((lib) => join(server, lib, "x86_64-linux-gnu"))
    .join(":");
  const command = [
    `mount --bind ${own("users")} /etc/passwd`,
    `mount --bind ${own("passwords")} /etc/shadow`,
    `mount --bind ${join(server, "usr/lib/openssh")} /usr/lib/openssh`,
    "mkdir -p /run/sshd",
    `LD_LIBRARY_PATH=${libraries} ${join(server, "usr/sbin/sshd")} -f ${own("sshd_config")}`,
  ].join(" && ");
  return { command, configuration: own("ssh_config") };
}
