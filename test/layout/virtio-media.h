/* What ffi/linux/virtio-media.ts is checked against. */
#include "../lab/virtio-media/virtio-media.h"
