/* What ffi/linux/xs-wire.ts is checked against: the message header of xenstore's protocol. */
#include <stdint.h>

#define XS_READ 2
#define XS_ERROR 16

struct xsd_sockmsg {
  uint32_t type;
  uint32_t req_id;
  uint32_t tx_id;
  uint32_t len;
};
