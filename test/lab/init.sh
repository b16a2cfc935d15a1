#!/bin/sh
# The guest's first process: mounts, network, modules, then an agent that runs the scripts it is sent
# over the virtio-serial port. Scripts and their output travel over /run/lab, files over /share.
export PATH=/bin:/usr/bin:/dist HOME=/root TERM=dumb LANG=C.UTF-8

# Runs the scripts that the host sends. Under systemd it is a service.
agent() {
  port=
  while [ -z "$port" ]; do
    for port in /dev/vport*; do [ -c "$port" ] || port=; done
    [ -n "$port" ] || sleep 0.02
  done
  exec 3<>"$port"
  echo "ready" >&3
  while read -r verb id signal <&3; do
    case $verb in
      run)
        (
          cd /share || exit
          setsid sh "/run/lab/$id.sh" </dev/null >"/run/lab/$id.out" 2>"/run/lab/$id.err" 3>&-
          echo "done $id $?" >&3
        ) &
        ;;
      kill) kill "-$signal" "-$(cat "/run/jobs/$id")" ;;
      off) break ;;
    esac
  done
}
if [ "$1" = agent ]; then
  agent
  exit
fi

mkdir -p /proc /sys /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

# Words of the kernel command line: lab.name= lab.number= lab.copy lab.systemd
for word in $(cat /proc/cmdline); do
  case $word in
    lab.name=*) name=${word#*=} ;;
    lab.number=*) number=${word#*=} ;;
    lab.copy) copy=yes ;;
    lab.systemd) systemd=yes ;;
  esac
done
if [ -n "$systemd" ]; then
  mkdir -p /run
  mount -t tmpfs run /run                                # otherwise systemd does, over what is there
  echo 6672616d6570617373206c6162206775 >/etc/machine-id # otherwise it asks for the first settings
fi

mkdir -p /dev/pts /dev/shm /run/lab /run/jobs /tmp /root /share /dist
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
ln -s /proc/self/fd /dev/fd

hostname "$name"

load() { # FILE [PARAMETERS]
  insmod "$@" || echo "lab: cannot load $*"
}
for file in $(cat /modules/order.base); do load "/modules/$file"; done

# Uncached, output is on the host while its script still runs. Cached, writing is four times faster
# (84 MB/s against 20 MB/s) and a file is on the host when it is closed.
share() { # TAG DIRECTORY OPTIONS
  mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2"
}
share lab /run/lab cache=none
share share /share cache=mmap
share dist /dist cache=loose,ro
if [ -n "$copy" ]; then
  cp /dist/framepass /bin/framepass
  umount /dist
fi

ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
  ip link set eth0 up
  ip addr add "10.99.0.$number/24" dev eth0
  ip addr add "fd99::$number/64" dev eth0
fi

while read -r line; do
  # shellcheck disable=SC2086 # file and parameters are words
  load $line
done </run/lab/modules

if [ -n "$systemd" ]; then
  mkdir -p /run/systemd/system
  cat >/run/systemd/system/lab.service <<UNIT
[Unit]
DefaultDependencies=no
[Service]
Environment=PATH=$PATH HOME=$HOME TERM=$TERM LANG=$LANG
ExecStart=/init agent
UNIT
  exec /lib/systemd/systemd --unit=lab.service
fi
agent
poweroff -f
