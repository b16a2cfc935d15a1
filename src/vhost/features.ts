// Feature bits of vhost-user itself, and the protocol features: vhost-user, "Protocol features". Which of them are offered
// follows from the rows of the message table.

const bit = (number: number) => 1n << BigInt(number);

/** Protocol features can be negotiated. Offered to the front-end, which does not pass it to the guest. */
export const VHOST_USER_F_PROTOCOL_FEATURES = bit(30);

export const protocolFeatures = {
  MQ: bit(0),
  LOG_SHMFD: bit(1),
  RARP: bit(2),
  REPLY_ACK: bit(3),
  MTU: bit(4),
  BACKEND_REQ: bit(5),
  CROSS_ENDIAN: bit(6),
  CRYPTO_SESSION: bit(7),
  PAGEFAULT: bit(8),
  CONFIG: bit(9),
  BACKEND_SEND_FD: bit(10),
  INFLIGHT_SHMFD: bit(12),
  RESET_DEVICE: bit(13),
  INBAND_NOTIFICATIONS: bit(14),
  CONFIGURE_MEM_SLOTS: bit(15),
  STATUS: bit(16),
  SHARED_OBJECT: bit(18),
  DEVICE_STATE: bit(19),
  /** As QEMU 11.1 negotiates it. Older texts have bit 21. */
  SHMEM: bit(22),
} as const;

export type ProtocolFeature = keyof typeof protocolFeatures;
