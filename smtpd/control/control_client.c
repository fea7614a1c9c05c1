#include "smtpd/control/control_client.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"

#define WORKERS_MOST 256
#define ANSWER_S 60

/* ---- which workers -------------------------------------------------------------------------------------- */

/* "worker-12.sock" -> 12 */
static bool parse_name(const char *name, unsigned *ret)
{
	uint64_t number;
	struct str s = str_of(name);
	if (!str_starts(s, STR("worker-")) || !str_ends_nocase(s, STR(".sock")) || s.length < 13)
		return false;
	if (!str_to_u64(str_from(s.at + 7, s.length - 12), WORKERS_MOST - 1, &number))
		return false;
	*ret = (unsigned)number;
	return true;
}

static int find_workers(const char *run_directory, bool ret_exists[WORKERS_MOST], struct err *err)
{
	DIR *directory = opendir(run_directory);
	int count = 0;
	if (!directory)
		return err_system(err, errno, "cannot look into the run directory %s (is posternd "
			"running? does it use another one? say --run-directory or -c)",
			run_directory);
	const struct dirent *entry;
	while ((entry = readdir(directory)) != NULL) {
		unsigned number;
		if (!parse_name(entry->d_name, &number))
			continue;
		ret_exists[number] = true;
		count++;
	}
	closedir(directory);
	if (count)
		return count;
	return err_set(err, ERR_SYSTEM, "there is no worker's socket in %s: is posternd running? does "
		"it use another run directory? say --run-directory or -c", run_directory);
}

/* ---- one worker ------------------------------------------------------------------------------------------ */

static int connect_to(const char *path, struct err *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = ANSWER_S };
	if (!str_copy(str_of(path), to.sun_path, sizeof(to.sun_path)))
		return err_set(err, ERR_INPUT, "the name is too long for a socket");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_system(err, errno, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	int why = errno;
	close(fd);
	if (why == ECONNREFUSED || why == ENOENT)
		return err_system(err, why, "cannot connect (is posternd running?)");
	if (why == EACCES || why == EPERM)
		return err_system(err, why, "cannot connect (be root, or the user posternd's workers "
			"run as, or of its group)");
	return err_system(err, why, "cannot connect");
}

static int send_all(int fd, struct str bytes, struct err *err)
{
	while (bytes.length) {
		ssize_t sent = send(fd, bytes.at, bytes.length, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return err_system(err, errno, "cannot send the request");
		bytes = str_skip(bytes, (size_t)sent);
	}
	return 0;
}

static int receive(int fd, struct control_reader *reader, struct err *err)
{
	char bytes[65536];
	ssize_t got;
	do
		got = recv(fd, bytes, sizeof(bytes), 0);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		control_reader_feed(reader, str_from(bytes, (size_t)got));
		return 0;
	}
	if (got == 0)
		return err_set(err, ERR_PEER, "the worker ended in the middle of its answer (was it "
			"restarted? may you ask it? see its log)");
	if (errno == EAGAIN)
		return err_set(err, ERR_PEER, "the worker does not answer within %d s", ANSWER_S);
	return err_system(err, errno, "cannot read the answer");
}

static int read_answer(int fd, const struct control_client_events *events, void *ctx,
	struct err *err)
{
	struct control_reader reader = { 0 };
	int result = 1;
	while (result == 1) {
		switch (control_reader_next(&reader)) {
		case CONTROL_MORE:
			if (receive(fd, &reader, err) < 0)
				result = -1;
			break;
		case CONTROL_RECORD:
			events->record(ctx, &reader.record);
			if (events->is_enough && events->is_enough(ctx))
				result = 0;
			break;
		case CONTROL_DATA:
			events->data(ctx, reader.data);
			break;
		case CONTROL_OK:
			result = 0;
			break;
		case CONTROL_ERROR:
			result = err_set(err, ERR_INPUT, "%.*s", STR_ARGS(reader.data));
			break;
		case CONTROL_MALFORMED:
			result = err_set(err, ERR_PEER, "the answer is malformed (another version?)");
			break;
		}
	}
	control_reader_clear(&reader);
	return result;
}

static int ask_one(const char *path, struct str request,
	const struct control_client_events *events, void *ctx, struct err *err)
{
	int fd = connect_to(path, err);
	if (fd < 0)
		return -1;
	int result = send_all(fd, request, err);
	if (result == 0)
		result = read_answer(fd, events, ctx, err);
	close(fd);
	return result;
}

int control_client_ask(const char *run_directory, const char *const words[], size_t count,
	const struct control_client_events *events, void *ctx, struct err *err)
{
	bool exists[WORKERS_MOST] = { 0 };
	struct buf request = { 0 }, path = { 0 };
	int failures = 0;
	if (find_workers(run_directory, exists, err) < 0)
		return -1;
	if (!control_request_format(words, count, &request)) {
		buf_release(&request);
		return err_set(err, ERR_INPUT, "an argument is too long");
	}
	for (unsigned i = 0; i < WORKERS_MOST; i++) {
		struct err one;
		if (!exists[i])
			continue;
		buf_clear(&path);
		buf_printf(&path, "%s/worker-%u.sock", run_directory, i);
		if (ask_one(buf_text(&path), buf_str(&request), events, ctx, &one) == 0)
			continue;
		failures++;
		events->failed(ctx, buf_text(&path), &one);
	}
	buf_release(&request);
	buf_release(&path);
	return failures;
}

bool control_client_has_workers(const char *run_directory)
{
	bool exists[WORKERS_MOST] = { false };
	return find_workers(run_directory, exists, NULL) > 0;
}
