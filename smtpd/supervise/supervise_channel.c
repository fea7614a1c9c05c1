#include "smtpd/supervise/supervise_channel.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libtlsio/base/codec.h"

#define HEAD_BYTES 8

/* ---- the form on the wire ------------------------------------------------------------------------ */

size_t supervise_message_encode(const struct supervise_message *m, void *into)
{
	unsigned char *at = into;
	size_t text = strnlen(m->text, sizeof(m->text) - 1);
	codec_put_u32(at, (uint32_t)m->kind);
	codec_put_u32(at + 4, m->generation);
	memcpy(at + HEAD_BYTES, m->text, text);
	return HEAD_BYTES + text;
}

bool supervise_message_decode(struct str bytes, struct supervise_message *ret)
{
	if (bytes.length < HEAD_BYTES || bytes.length - HEAD_BYTES >= sizeof(ret->text))
		return false;
	uint32_t kind = codec_get_u32(bytes.at);
	struct str text = str_skip(bytes, HEAD_BYTES);
	if (kind < SUPERVISE_CONFIGURE || kind > SUPERVISE_REFUSED ||
		memchr(text.at, 0, text.length))
		return false;
	ret->kind = (enum supervise_message_kind)kind;
	ret->generation = codec_get_u32(bytes.at + 4);
	return str_copy(text, ret->text, sizeof(ret->text));
}

/* ---- the socket ------------------------------------------------------------------------------------ */

int supervise_channel_pair(int ret_fds[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds) < 0)
		return err_system(err, errno, "cannot make a socket pair for a worker");
	return 0;
}

union control_room {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SUPERVISE_CHANNEL_DESCRIPTORS_MOST * sizeof(int))];
};

enum supervise_io supervise_channel_send(int fd, const struct supervise_message *m)
{
	char bytes[SUPERVISE_MESSAGE_BYTES];
	union control_room control = { 0 };
	struct iovec part = { bytes, supervise_message_encode(m, bytes) };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	assert(m->fd_count <= SUPERVISE_CHANNEL_DESCRIPTORS_MOST);
	if (m->fd_count) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(m->fd_count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(m->fd_count * sizeof(int));
		memcpy(CMSG_DATA(c), m->fds, m->fd_count * sizeof(int));
	}
	if (sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return SUPERVISE_IO_DONE;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? SUPERVISE_IO_AGAIN
								     : SUPERVISE_IO_GONE;
}

static void take_descriptors(struct msghdr *header, struct supervise_message *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (ret->fd_count < SUPERVISE_CHANNEL_DESCRIPTORS_MOST)
				ret->fds[ret->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

enum supervise_io supervise_channel_receive(int fd, size_t fds_most, struct supervise_message *ret)
{
	char bytes[SUPERVISE_MESSAGE_BYTES];
	union control_room control;
	struct iovec part = { bytes, sizeof(bytes) };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	memset(ret, 0, sizeof(*ret));
	ssize_t got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? SUPERVISE_IO_AGAIN : SUPERVISE_IO_GONE;
	take_descriptors(&header, ret);
	bool is_cut = header.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	if (got > 0 && !is_cut && ret->fd_count <= fds_most &&
		supervise_message_decode(str_from(bytes, (size_t)got), ret))
		return SUPERVISE_IO_DONE;
	supervise_message_close(ret);
	return SUPERVISE_IO_GONE;
}

void supervise_message_close(struct supervise_message *m)
{
	for (size_t i = 0; i < m->fd_count; i++)
		close(m->fds[i]);
	m->fd_count = 0;
}
