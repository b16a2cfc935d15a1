/* What ffi/linux/v4l2loopback.ts is checked against: the parts of the module's interface that it has, in own words. */
#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/videodev2.h>

struct v4l2_loopback_config {
  __s32 output_nr;
  __s32 unused;
  char card_label[32];
  __u32 min_width, max_width, min_height, max_height;
  __s32 max_buffers, max_openers, debug, announce_all_caps;
};
struct v4l2_event_client_usage {
  __u32 count;
};

#define V4L2_EVENT_PRI_CLIENT_USAGE (V4L2_EVENT_PRIVATE_START + 0x08E00000 + 1)

#define V4L2LOOPBACK_CTL_VERSION _IOR('~', 0, __u32)
#define V4L2LOOPBACK_CTL_ADD _IOW('~', 1, struct v4l2_loopback_config)
#define V4L2LOOPBACK_CTL_REMOVE _IOW('~', 2, __u32)
#define V4L2LOOPBACK_CTL_QUERY _IOWR('~', 3, struct v4l2_loopback_config)
#define V4L2LOOPBACK_CTL_ADD_legacy 0x4C80
#define V4L2LOOPBACK_CTL_REMOVE_legacy 0x4C81
#define V4L2LOOPBACK_CTL_QUERY_legacy 0x4C82
