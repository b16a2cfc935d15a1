/* Asks v4l2loopback to remove /dev/videoN as another program would, with the ioctl of 0.15 and then with that of 0.13. Prints why
 * it was refused ("Device or resource busy"). Exit status 0 when the node was removed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	int control = open("/dev/v4l2loopback", O_RDWR);
	long number = argc > 1 ? atol(argv[1]) : -1;

	if (control >= 0) {
		if (ioctl(control, 0x40047E02, number) == 0)
			return 0;
		if ((errno == ENOSYS || errno == ENOTTY) && ioctl(control, 0x4C81, number) == 0)
			return 0;
	}
	puts(strerror(errno));
	return 1;
}
