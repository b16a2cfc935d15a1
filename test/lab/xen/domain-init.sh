#!/bin/sh
# The first process of a domain: mounts, modules, network, then the agent that runs the scripts that dom0 sends it.
export PATH=/bin:/usr/bin:/dist HOME=/root TERM=dumb LANG=C.UTF-8
mkdir -p /proc /sys /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run/jobs /tmp /root /share /proc/xen
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
ln -s /proc/self/fd /dev/fd

# Words of the kernel command line: lab.name= lab.number=
for word in $(cat /proc/cmdline); do
  case $word in
    lab.name=*) name=${word#*=} ;;
    lab.number=*) number=${word#*=} ;;
  esac
done
hostname "$name"

while read -r line; do
  # shellcheck disable=SC2086 # file and parameters are words
  insmod $line || echo "lab: cannot load $line"
done <"/domain-modules.$number"
mount -t xenfs xenfs /proc/xen

# The network card appears a little after its module is loaded.
until [ -e /sys/class/net/eth0 ]; do sleep 0.05; done
ip link set lo up
ip link set eth0 up
ip addr add "10.99.0.$number/24" dev eth0
exec domain-agent serve 0.0.0.0 514 /share
