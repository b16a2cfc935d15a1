// The units of systemd, made from rows: systemd.unit(5), systemd.exec(5), systemd.socket(5). A service has the rights of its tool
// and no more; `systemd-analyze security` is a check of the lab (bun run lab systemd).

/** A tool that runs as a service, an instance for each stream or guest. */
export interface Service {
  /** The unit is NAME@.service. */
  readonly name: string;
  readonly does: string;
  readonly tool: string;
  /** Another tool that the same unit can run. */
  readonly other?: string;
  /** Options that the service always has; those of the file follow and win. */
  readonly always: readonly string[];
  /** An example of OPTIONS in the file of the instance "front". */
  readonly example: string;
  /** systemd listens, NAME@.socket, and passes the socket. The tool starts with the first connection. */
  readonly socket?: true;
  /** Nothing goes over a network. */
  readonly local?: true;
  readonly groups: readonly string[];
  /** Devices besides those of V4L2. */
  readonly devices: readonly string[];
  /** It has a folder for what it writes, where it runs, and one for its socket. */
  readonly writes?: true;
}

export const services: readonly Service[] = [
  {
    name: "framepass-sender",
    does: "send video to a receiver",
    tool: "sender",
    other: "sender_zc",
    always: ["--reconnect", "--stats", "60"],
    example: "-d /dev/video0 -W 1280 -H 720 -a 10.0.0.2 -p 5000",
    groups: ["video"],
    devices: ["char-dma_heap", "char-dax"],
  },
  {
    name: "framepass-receiver",
    does: "receive the video of a sender",
    tool: "receiver",
    other: "receiver_zc",
    always: ["--keep", "--stats", "60"],
    example: "-p 5000 -o /dev/video10",
    groups: ["video"],
    devices: ["char-dma_heap", "char-dax"],
    writes: true,
  },
  {
    name: "vhost-user-video",
    does: "video decoder for a virtual machine",
    tool: "vhost-user-video",
    always: [],
    example: "-b libavcodec --formats H264,VP9",
    socket: true,
    local: true,
    groups: ["video", "kvm"],
    devices: ["/dev/udmabuf"],
  },
  {
    name: "vhost-user-media",
    does: "camera for a virtual machine",
    tool: "vhost-user-media",
    always: [],
    example: "-d /dev/video0 --card Webcam",
    socket: true,
    groups: ["video", "kvm"],
    devices: [],
  },
];

/** Where the options of an instance are. */
export const optionsFile = ({ tool }: Service, instance: string): string =>
  `/etc/framepass/${tool}-${instance}.env`;

/** Where systemd listens for an instance. */
export const socketPath = ({ tool }: Service, instance: string): string =>
  `/run/framepass/${tool}-${instance}.sock`;

/** The units of all services: name and text. `executable` is the path that they start. */
export function units(
  executable: string,
): readonly { readonly name: string; readonly text: string }[] {
  return services.flatMap((service) => [
    { name: `${service.name}@.service`, text: serviceUnit(service, executable) },
    ...(service.socket ? [{ name: `${service.name}@.socket`, text: socketUnit(service) }] : []),
  ]);
}

function serviceUnit(service: Service, executable: string): string {
  const { name, does, tool, other, always, socket } = service;
  const words = [quoted(executable), other === undefined ? tool : `\${TOOL}`, ...always];
  return unit([
    ...header(service),
    "[Unit]",
    `Description=framepass: ${does} (%i)`,
    `Documentation=man:framepass-${tool}(1)`,
    "After=network.target",
    ...(socket ? [`Requires=${name}@%i.socket`] : []),
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=notify",
    ...(other === undefined ? [] : [`Environment=TOOL=${tool}`]),
    `EnvironmentFile=${socket ? "-" : ""}${optionsFile(service, "%i")}`,
    `ExecStart=${words.join(" ")} $OPTIONS`,
    "# Signs of life come from the loop that moves the frames.",
    "WatchdogSec=20",
    "WatchdogSignal=SIGKILL",
    "Restart=on-failure",
    "RestartSec=2",
    "# 2: the options are wrong. 130: it was asked to end.",
    "RestartPreventExitStatus=2",
    "SuccessExitStatus=130",
    "TimeoutStopSec=5",
    "",
    ...rights(service),
    "",
    "[Install]",
    socket ? `Also=${name}@%i.socket` : "WantedBy=multi-user.target",
  ]);
}

function socketUnit(service: Service): string {
  const { does } = service;
  return unit([
    `# The monitor connects to ${socketPath(service, "NAME")}, which starts the service.`,
    "# Its user must be in the group: systemctl edit changes that.",
    "[Unit]",
    `Description=framepass: ${does}, socket (%i)`,
    `Documentation=man:framepass-${service.tool}(1)`,
    "",
    "[Socket]",
    `ListenStream=${socketPath(service, "%i")}`,
    "SocketGroup=kvm",
    "SocketMode=0660",
    "RemoveOnStop=yes",
    "",
    "[Install]",
    "WantedBy=sockets.target",
  ]);
}

/** What a person needs who opens the file. */
function header(service: Service): readonly string[] {
  const { name, example, other, writes, socket } = service;
  return [
    `# Written by framepass install. To run it as "front", write ${optionsFile(service, "front")}:`,
    `#   OPTIONS=${example}`,
    ...(other === undefined ? [] : [`#   TOOL=${other}        (for zero copy)`]),
    `# and then: systemctl enable --now ${name}@front.${socket ? "socket" : "service"}`,
    ...(writes
      ? [
          "# It runs in /var/lib/framepass/front, where its files are; /run/framepass/front is for a Unix socket.",
        ]
      : []),
  ];
}

/** A user of its own for the time that it runs, the devices that it uses, and nothing else. */
const rights = ({ groups, devices, local, writes }: Service): readonly string[] => [
  "DynamicUser=yes",
  `SupplementaryGroups=${groups.join(" ")}`,
  "UMask=0077",
  ...(writes
    ? [
        "StateDirectory=framepass/%i",
        "WorkingDirectory=%S/framepass/%i",
        "RuntimeDirectory=framepass/%i",
      ]
    : []),
  "DevicePolicy=closed",
  ...["char-video4linux", ...devices].map((device) => `DeviceAllow=${device} rw`),
  ...(local
    ? ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "IPAddressDeny=any"]
    : [
        "# AF_NETLINK: host names are looked up with it.",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_VSOCK AF_NETLINK",
      ]),
  "CapabilityBoundingSet=",
  "NoNewPrivileges=yes",
  "ProtectSystem=strict",
  "ProtectHome=yes",
  "PrivateTmp=yes",
  "ProtectProc=invisible",
  "ProtectClock=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "ProtectControlGroups=yes",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "LockPersonality=yes",
  "RemoveIPC=yes",
  "KeyringMode=private",
  "# No MemoryDenyWriteExecute: the runtime compiles at run time.",
  "SystemCallArchitectures=native",
  "# chown is for --socket-group, seccomp for the process of a decoder.",
  "SystemCallFilter=@system-service seccomp",
  "SystemCallFilter=~@privileged",
  "SystemCallFilter=@chown",
  "SystemCallErrorNumber=EPERM",
];

const unit = (lines: readonly string[]): string => `${lines.join("\n")}\n`;

/** The executable for ExecStart=: systemd.service(5), "Command lines". */
const quoted = (path: string): string => `"${path.replaceAll("%", "%%")}"`;
