#include "smtpd/supervise/supervise_seat.h"

#include <stdlib.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "smtpd/supervise/supervise_control.h"

const struct supervise_seat supervise_seat_none = { .listen_fd = -1, .lock_fd = -1 };

static char *path_of(const char *directory, const char *name, const char *ending)
{
	struct buf path = { 0 };
	buf_printf(&path, "%s/%s%s", directory, name, ending);
	return buf_take(&path);
}

int supervise_seat_take(struct supervise_seat *seat, const char *run_directory, const char *program,
	const char *socket_name, const struct process_identity *identity, struct err *err)
{
	*seat = supervise_seat_none;
	seat->lock_path = path_of(run_directory, program, ".pid");
	seat->lock_fd = process_lock_pid_file(seat->lock_path, err);
	if (seat->lock_fd >= 0) {
		seat->socket_path = path_of(run_directory, socket_name, "");
		seat->listen_fd = supervise_control_open_named(
			run_directory, socket_name, identity, err);
	}
	if (seat->listen_fd >= 0)
		return 0;
	supervise_seat_leave(seat);
	return -1;
}

void supervise_seat_leave(struct supervise_seat *seat)
{
	if (seat->listen_fd >= 0) {
		close(seat->listen_fd);
		unlink(seat->socket_path);
	}
	if (seat->lock_fd >= 0) {
		unlink(seat->lock_path); /* while it is ours */
		close(seat->lock_fd);
	}
	free(seat->socket_path);
	free(seat->lock_path);
	*seat = supervise_seat_none;
}
