#include "policy/door/door_status.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* -2: there is none. */
static int connect_to(const char *path, struct err *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (!str_copy(str_of(path), to.sun_path, sizeof(to.sun_path)))
		return err_set(err, ERR_INPUT, "the name is too long for a socket");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_system(err, errno, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	int why = errno;
	close(fd);
	if (why == ENOENT)
		return -2;
	if (why == EACCES || why == EPERM)
		return err_system(err, why, "cannot connect (be root, or the user it runs as, or of "
			"its group)");
	return err_system(err, why, "cannot connect (is it running?)");
}

/* 1: the answer is there; 0: not yet. */
static int look(struct buf *in, struct door_status *ret, struct err *err)
{
	struct door_frame frame;
	size_t used;
	unsigned format;
	int found;
	while ((found = door_wire_split(buf_str(in), DOOR_PLAN_BYTES_MOST, &frame, &used, err)) > 0) {
		if (frame.kind == DOOR_STATUS)
			return door_wire_read_status(frame.body, ret, err) < 0 ? -1 : 1;
		if (frame.kind == DOOR_HELLO && door_wire_read_hello(frame.body, &format, err) < 0)
			return -1;
		if (frame.kind == DOOR_HELLO && format != DOOR_FORMAT)
			return err_set(err, ERR_PEER, "it is of another version");
		buf_consume(in, used);
	}
	return found;
}

static int read_more(int fd, struct buf *in, int64_t until_ms, struct err *err)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	int64_t left_ms = until_ms - now_ms();
	int count = left_ms > 0 ? poll(&ready, 1, (int)left_ms) : 0;
	if (count < 0 && errno == EINTR)
		return 0;
	if (count <= 0)
		return err_set(err, ERR_PEER, "no answer in time");
	ssize_t got = recv(fd, buf_reserve(in, 4096), 4096, 0);
	if (got > 0)
		buf_added(in, (size_t)got);
	if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN)))
		return 0;
	return err_set(err, ERR_PEER, "it hung up (is it of another version?)");
}

static int talk(int fd, const char *program, int limit_ms, struct door_status *ret, struct err *err)
{
	struct buf out = { 0 }, in = { 0 };
	int64_t until_ms = now_ms() + limit_ms;
	door_wire_hello(&out, program);
	door_wire_ask_status(&out);
	/* Some fifty bytes: they fit, or nobody reads there. */
	ssize_t sent = send(fd, buf_str(&out).at, out.length, MSG_NOSIGNAL);
	int result = sent == (ssize_t)out.length ? 0 : err_set(err, ERR_PEER, "it does not listen");
	while (result == 0) {
		result = look(&in, ret, err);
		if (result == 0)
			result = read_more(fd, &in, until_ms, err);
	}
	buf_release(&out);
	buf_release(&in);
	return result > 0 ? 0 : -1;
}

int door_status_ask(const char *socket_path, const char *program, int limit_ms,
	struct door_status *ret, struct err *err)
{
	int fd = connect_to(socket_path, err);
	if (fd < 0)
		return fd == -2 ? 1 : -1;
	int result = talk(fd, program, limit_ms, ret, err);
	close(fd);
	return result;
}
