#include "smtpd/supervise/supervise_sockets.h"

#include <stdlib.h>
#include <unistd.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

/* One address; shared by the sets that have it. */
struct place {
	unsigned references;
	struct netaddr asked, bound;
	int *fds; /* one per worker */
	unsigned count;
};

struct supervise_sockets {
	struct place **places;
	size_t count;
};

static void place_unref(struct place *place)
{
	if (--place->references)
		return;
	for (unsigned i = 0; i < place->count; i++)
		close(place->fds[i]);
	free(place->fds);
	free(place);
}

static struct place *place_open(const struct netaddr *address, unsigned workers, struct err *err)
{
	struct place *place = mem_zero(sizeof(*place));
	place->references = 1;
	place->asked = *address;
	place->bound = *address;
	place->fds = mem_array(workers, sizeof(*place->fds));
	while (place->count < workers) {
		/* port 0: the first socket gets a port, the others join it there */
		struct netaddr next = place->bound;
		int fd = tlsio_listener_open_tcp(&next, BACKLOG, &place->bound, err);
		if (fd < 0) {
			if (address->port && address->port < 1024 && geteuid() != 0)
				err_prefix(err, "ports below 1024 are for root, or for who has "
					"CAP_NET_BIND_SERVICE: ");
			place_unref(place);
			return NULL;
		}
		place->fds[place->count++] = fd;
	}
	return place;
}

static struct place *find(const struct supervise_sockets *s, const struct netaddr *address)
{
	for (size_t i = 0; s && i < s->count; i++)
		if (netaddr_equal(&s->places[i]->asked, address))
			return s->places[i];
	return NULL;
}

static struct place *place_for(const struct supervise_sockets *old,
	const struct supervise_sockets *now, const struct netaddr *address, unsigned workers,
	struct err *err)
{
	char text[NETADDR_TEXT_BYTES];
	if (find(now, address)) {
		err_set(err, ERR_INPUT, "the address %s is named twice",
			netaddr_format(address, text));
		return NULL;
	}
	struct place *place = find(old, address);
	if (!place)
		return place_open(address, workers, err);
	place->references++;
	return place;
}

struct supervise_sockets *supervise_sockets_new(const struct supervise_sockets *old,
	const struct netaddr *addresses, size_t count, unsigned workers, struct err *err)
{
	struct supervise_sockets *s = mem_zero(sizeof(*s));
	s->places = mem_array(count + 1, sizeof(struct place *));
	for (size_t i = 0; i < count; i++) {
		struct place *place = place_for(old, s, &addresses[i], workers, err);
		if (!place) {
			supervise_sockets_free(&s);
			return NULL;
		}
		s->places[s->count++] = place;
	}
	return s;
}

void supervise_sockets_free(struct supervise_sockets **sockets)
{
	struct supervise_sockets *s = *sockets;
	if (!s)
		return;
	*sockets = NULL;
	for (size_t i = 0; i < s->count; i++)
		place_unref(s->places[i]);
	free(s->places);
	free(s);
}

size_t supervise_sockets_count(const struct supervise_sockets *s)
{
	return s->count;
}

int supervise_sockets_fd(const struct supervise_sockets *s, size_t index, unsigned worker)
{
	return s->places[index]->fds[worker];
}

const struct netaddr *supervise_sockets_bound(const struct supervise_sockets *s, size_t index)
{
	return &s->places[index]->bound;
}

const struct netaddr *supervise_sockets_asked(const struct supervise_sockets *s, size_t index)
{
	return &s->places[index]->asked;
}

bool supervise_sockets_has(const struct supervise_sockets *s, const struct netaddr *address)
{
	return find(s, address) != NULL;
}

void supervise_sockets_log(const struct supervise_sockets *now, const struct supervise_sockets *old)
{
	char text[NETADDR_TEXT_BYTES];
	struct log_line l;
	for (size_t i = 0; i < supervise_sockets_count(now); i++) {
		if (old && supervise_sockets_has(old, supervise_sockets_asked(now, i)))
			continue;
		log_begin(&l, LOG_LEVEL_INFO, "listening");
		log_text(&l, "address", netaddr_format(supervise_sockets_bound(now, i), text));
		log_end(&l);
	}
	for (size_t i = 0; old && i < supervise_sockets_count(old); i++) {
		if (supervise_sockets_has(now, supervise_sockets_asked(old, i)))
			continue;
		log_begin(&l, LOG_LEVEL_INFO, "listening-ended");
		log_text(&l, "address", netaddr_format(supervise_sockets_bound(old, i), text));
		log_end(&l);
	}
}
