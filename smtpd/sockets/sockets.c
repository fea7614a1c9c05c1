#include "smtpd/sockets/sockets.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"

enum { BACKLOG = 300 };

struct socket {
	unsigned references;
	int fd;
	char *path; /* NULL: TCP */
	struct netaddr address;
};

struct sockets {
	unsigned references;
	struct socket **all;
	size_t count;
};

static void socket_unref(struct socket *s)
{
	if (--s->references > 0)
		return;
	close(s->fd);
	if (s->path)
		unlink(s->path);
	free(s->path);
	free(s);
}

static struct socket *socket_open(const struct sockets_address *a, struct err *err)
{
	int fd = a->path ? tlsio_listener_open_unix(a->path, 0666, BACKLOG, err)
			 : tlsio_listener_open_tcp(&a->address, BACKLOG, NULL, err);
	if (fd < 0) {
		err_prefix(err, "%s \"%s\": ", a->section, a->text);
		return NULL;
	}
	struct socket *s = mem_zero(sizeof(*s));
	s->references = 1;
	s->fd = fd;
	s->path = mem_dup(a->path);
	s->address = a->address;
	return s;
}

static struct socket *find(const struct sockets *in, const struct sockets_address *a)
{
	for (size_t i = 0; in && i < in->count; i++) {
		struct socket *s = in->all[i];
		bool is_same = a->path ? s->path && strcmp(s->path, a->path) == 0
				       : !s->path && netaddr_equal(&s->address, &a->address);
		if (!is_same)
			continue;
		s->references++;
		return s;
	}
	return NULL;
}

struct sockets *sockets_open(const struct sockets_settings *wanted, struct sockets *old,
	struct err *err)
{
	struct sockets *sockets = mem_zero(sizeof(*sockets));
	sockets->references = 1;
	sockets->all = wanted->count ? mem_array(wanted->count, sizeof(*sockets->all)) : NULL;
	for (size_t i = 0; i < wanted->count; i++) {
		struct socket *s = find(old, &wanted->all[i]);
		if (!s)
			s = socket_open(&wanted->all[i], err);
		if (!s) {
			sockets_unref(&sockets);
			return NULL;
		}
		sockets->all[sockets->count++] = s;
	}
	return sockets;
}

size_t sockets_count(const struct sockets *sockets)
{
	return sockets->count;
}

int sockets_fd(const struct sockets *sockets, size_t index)
{
	return sockets->all[index]->fd;
}

struct sockets *sockets_ref(struct sockets *sockets)
{
	sockets->references++;
	return sockets;
}

void sockets_unref(struct sockets **pointer)
{
	struct sockets *sockets = *pointer;
	*pointer = NULL;
	if (!sockets || --sockets->references > 0)
		return;
	for (size_t i = 0; i < sockets->count; i++)
		socket_unref(sockets->all[i]);
	free(sockets->all);
	free(sockets);
}
