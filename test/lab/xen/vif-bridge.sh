#!/bin/sh
# Puts the network interface of a domain into the bridge: xl calls this as script of a vif, with vif and XENBUS_PATH set.
if [ "$1" = online ]; then
  ip link set "$vif" master "$(xenstore-read "$XENBUS_PATH/bridge")"
  ip link set "$vif" up
  xenstore-write "$XENBUS_PATH/hotplug-status" connected
fi
