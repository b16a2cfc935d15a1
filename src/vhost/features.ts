// Feature bits of vhost-user itself, and the protocol features: vhost-user, "Protocol features".

const bit = (number: number) => 1n << BigInt(number);

/** Never shown to the guest: the front-end may ask for protocol features. */
export const VHOST_USER_F_PROTOCOL_FEATURES = bit(30);

/** The protocol features we have. LOG_SHMFD, BACKEND_REQ and the rest are not offered: nothing here would use them. */
export const protocolFeatures = {
  MQ: bit(0),
  REPLY_ACK: bit(3),
  CONFIG: bit(9),
  INFLIGHT_SHMFD: bit(12),
  RESET_DEVICE: bit(13),
  CONFIGURE_MEM_SLOTS: bit(15),
  STATUS: bit(16),
} as const;

export type ProtocolFeature = keyof typeof protocolFeatures;

/** All of them as one word. */
export const offeredProtocolFeatures = Object.values(protocolFeatures).reduce((a, b) => a | b);
