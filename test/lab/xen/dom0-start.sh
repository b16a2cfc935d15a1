#!/bin/sh
# Starts in dom0 what `xl create` needs: the store, dom0's own record in it, the consoles of the domains, and a bridge.
#   dom0-start VERSION
set -e
ln -s "/usr/lib/xen-$1/bin/"* /bin/
mkdir -p /domains /proc/xen /var/run/xen /var/lock /var/log/xen /var/lib/xen
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro domains /domains
mount -t xenfs xenfs /proc/xen
xenstored --pid-file /var/run/xenstored.pid
until xenstore-exists /tool 2>/dev/null || xenstore-write /tool/lab ready 2>/dev/null; do sleep 0.05; done
xen-init-dom0
xenconsoled --log=all --log-dir=/run/lab
echo 'autoballoon="off"' >/etc/xen/xl.conf
ip link add xenbr0 type bridge
ip addr add 10.99.0.254/24 dev xenbr0
ip link set xenbr0 up
