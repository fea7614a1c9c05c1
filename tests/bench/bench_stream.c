#include "tests/bench/bench_stream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void bench_stream_init(struct bench_stream *s, int epoll, int fd, void *owner)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = owner };

	*s = (struct bench_stream){ .fd = fd, .epoll = epoll, .armed = event.events };
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

void bench_stream_close(struct bench_stream *s)
{
	if (s->tls)
		gnutls_deinit(s->tls);
	if (s->fd >= 0)
		close(s->fd);
	free(s->in);
	free(s->out);
	*s = (struct bench_stream){ .fd = -1 };
}

void bench_stream_trim(struct bench_stream *s)
{
	if (s->in_start == s->in_end) {
		free(s->in);
		s->in = NULL;
	}
	if (s->out_start == s->out_end) {
		free(s->out);
		s->out = NULL;
	}
}

void bench_stream_arm(struct bench_stream *s, void *owner, bool wants_output)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = owner };

	if (wants_output || s->out_start < s->out_end)
		event.events |= EPOLLOUT;
	if (s->is_handshaking)
		event.events = gnutls_record_get_direction(s->tls) ? EPOLLOUT : EPOLLIN;
	if (event.events == s->armed)
		return;
	s->armed = event.events;
	epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->fd, &event);
}

int bench_stream_start_tls(struct bench_stream *s, unsigned side, gnutls_priority_t priority,
	gnutls_certificate_credentials_t credentials)
{
	if (s->in_start != s->in_end || gnutls_init(&s->tls, side | GNUTLS_NONBLOCK) < 0)
		return -1;
	gnutls_priority_set(s->tls, priority);
	gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE, credentials);
	gnutls_transport_set_int(s->tls, s->fd);
	s->is_handshaking = true;
	return 0;
}

enum bench_stream_result bench_stream_handshake(struct bench_stream *s)
{
	int code;

	do
		code = gnutls_handshake(s->tls);
	while (code < 0 && code != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(code));
	if (code == GNUTLS_E_AGAIN)
		return BENCH_AGAIN;
	s->is_handshaking = false;
	return code == 0 ? BENCH_DONE : BENCH_FAILED;
}

size_t bench_stream_room(const struct bench_stream *s)
{
	return BENCH_STREAM_BYTES - s->out_end;
}

void bench_stream_put(struct bench_stream *s, const char *bytes, size_t size)
{
	if (!s->out)
		s->out = malloc(BENCH_STREAM_BYTES);
	if (!s->out || size > bench_stream_room(s))
		abort();
	memcpy(s->out + s->out_end, bytes, size);
	s->out_end += size;
}

void bench_stream_print(struct bench_stream *s, const char *format, ...)
{
	char text[2048];
	va_list arguments;

	va_start(arguments, format);
	int size = vsnprintf(text, sizeof(text), format, arguments);

	va_end(arguments);
	if (size < 0 || (size_t)size >= sizeof(text))
		abort();
	bench_stream_put(s, text, (size_t)size);
}

static enum bench_stream_result of_errno(void)
{
	return errno == EAGAIN || errno == EINTR ? BENCH_AGAIN : BENCH_FAILED;
}

static enum bench_stream_result of_tls(ssize_t code)
{
	return code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED ? BENCH_AGAIN : BENCH_FAILED;
}

enum bench_stream_result bench_stream_flush(struct bench_stream *s)
{
	while (s->out_start < s->out_end) {
		size_t left = s->out_end - s->out_start;
		ssize_t sent = s->tls ? gnutls_record_send(s->tls, s->out + s->out_start, left)
				      : send(s->fd, s->out + s->out_start, left, MSG_NOSIGNAL);

		if (sent < 0)
			return s->tls ? of_tls(sent) : of_errno();
		s->out_start += (size_t)sent;
	}
	s->out_start = s->out_end = 0;
	return BENCH_DONE;
}

enum bench_stream_result bench_stream_fill(struct bench_stream *s)
{
	if (!s->in && !(s->in = malloc(BENCH_STREAM_BYTES)))
		abort();
	if (s->in_start > 0) {
		memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
		s->in_end -= s->in_start;
		s->in_start = 0;
	}
	size_t room = BENCH_STREAM_BYTES - 1 - s->in_end;

	if (room == 0)
		return BENCH_DONE;
	ssize_t got = s->tls ? gnutls_record_recv(s->tls, s->in + s->in_end, room)
			     : recv(s->fd, s->in + s->in_end, room, 0);

	if (got < 0)
		return s->tls ? of_tls(got) : of_errno();
	s->in_end += (size_t)got;
	return got == 0 ? BENCH_END : BENCH_DONE;
}

char *bench_stream_line(struct bench_stream *s, size_t *ret_size)
{
	char *start = s->in + s->in_start;
	size_t size = s->in_end - s->in_start;
	char *end = size > 0 ? memchr(start, '\n', size) : NULL;

	if (!end && size < BENCH_STREAM_BYTES - 1)
		return NULL;
	size_t line = end ? (size_t)(end - start) : size;

	s->in_start += line + (end != NULL);
	if (line > 0 && end && start[line - 1] == '\r')
		line--;
	start[line] = '\0';
	*ret_size = line;
	return start;
}

uint64_t bench_hash(uint64_t hash, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
	return hash;
}

double bench_now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
