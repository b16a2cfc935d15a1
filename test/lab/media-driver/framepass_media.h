/* What /dev/framepass-media understands: test/lab/media-driver. */
#include <linux/ioctl.h>
#include <linux/types.h>

#define MEDIA_EVENT 608 /* bytes of the longest event; every event buffer has them */

struct media_command {
	__u64 request, answer; /* addresses */
	__u32 request_size, answer_size;
	__u32 used; /* the used length */
	__u32 reserved;
};

struct media_info {
	__u8 config[40]; /* read byte by byte, as the kernel's driver reads the card */
	__u64 region; /* bytes of shared memory region 0; 0: there is none */
	__u32 late; /* answers that came after their command had timed out: the kernel's driver would crash */
	__u32 timeouts;
};

/* Sends a command and waits for its answer: ETIMEDOUT after 5 s. */
#define MEDIA_COMMAND _IOWR('M', 1, struct media_command)
#define MEDIA_INFO _IOR('M', 2, struct media_info)
/* Sends CLOSE for this session when the file is closed. */
#define MEDIA_CLOSES _IOW('M', 3, __u32)
