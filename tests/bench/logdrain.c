/* logdrain: reads /dev/log where no syslog daemon runs, so that what logs to syslog pays for it.
 *
 * usage: logdrain [socket]    ends with SIGTERM; removes the socket
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address = { .sun_family = AF_UNIX };

static void on_signal(int number)
{
	(void)number;
	unlink(address.sun_path);
	_exit(0);
}

int main(int argc, char **argv)
{
	char line[8192];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argc > 1 ? argv[1] : "/dev/log");
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror("logdrain");
		return 1;
	}
	chmod(address.sun_path, 0666);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	while (recv(fd, line, sizeof(line), 0) >= 0)
		continue;
	return 0;
}
