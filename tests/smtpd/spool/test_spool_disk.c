/* The real disk: what a fake one cannot show. */
#include "smtpd/spool/spool_disk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static volatile sig_atomic_t last_fd;

static void on_alarm(int number)
{
	(void)number;
	close(last_fd);
}

static int sync_without_a_descriptor(void)
{
	const struct itimerval soon = { .it_value = { .tv_usec = 30000 } };
	const struct rlimit few = { 40, 40 };
	struct spool_disk *disk = spool_disk_system();
	int fd;
	signal(SIGALRM, on_alarm);
	setrlimit(RLIMIT_NOFILE, &few);
	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		last_fd = fd;
	setitimer(ITIMER_REAL, &soon, NULL);
	return disk->sync_directory(disk, "/tmp");
}

/* A failed sync stops the spool until a restart. */
static void waits_for_a_descriptor_rather_than_fail_a_sync(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(sync_without_a_descriptor() == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_for_a_descriptor_rather_than_fail_a_sync),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
