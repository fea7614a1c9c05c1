#include "policy/tlsrpt/tlsrpt_collector.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "libtlsio/base/mem.h"
#include "policy/tlsrpt/tlsrpt_datagram.h"

struct reader {
	struct tlsio_watch watch;
	struct tlsrpt_collector *collector;
};

struct tlsrpt_collector {
	struct tlsio_loop *loop;
	struct tlsrpt_tally *tally;
	struct tlsrpt_sockets *sockets; /* NULL: none yet */
	struct reader *readers;
	size_t reader_count;
	struct tlsrpt_collector_counts counts;
	uint64_t unsaid; /* refused since the last complaint */
	int64_t said_ms;
	bool has_said;
	void (*on_warning)(void *ctx, const char *words);
	void *ctx;
	char bytes[TLSRPT_DATAGRAM_BYTES_MOST + 1];
};

static void complain(struct tlsrpt_collector *c, const char *why)
{
	char words[400], others[60] = "";
	int64_t now_ms = tlsio_loop_now_ms(c->loop);
	c->counts.refused++;
	c->unsaid++;
	if (c->has_said && now_ms - c->said_ms < TLSRPT_COMPLAINT_MS)
		return;
	if (c->unsaid > 1)
		snprintf(others, sizeof(others), ", and %" PRIu64 " before it", c->unsaid - 1);
	snprintf(words, sizeof(words), "a TLSRPT datagram is not counted: %s%s", why, others);
	c->has_said = true;
	c->said_ms = now_ms;
	c->unsaid = 0;
	c->on_warning(c->ctx, words);
}

static void on_session(void *ctx, const struct tlsrpt_session *session)
{
	struct tlsrpt_collector *c = ctx;
	c->counts.taken++;
	tlsrpt_tally_add(c->tally, session);
}

static void on_ready(void *ctx, unsigned events)
{
	const struct reader *r = ctx;
	struct tlsrpt_collector *c = r->collector;
	(void)events;
	for (unsigned i = 0; i < TLSRPT_BURST; i++) {
		struct err err = { 0 };
		ssize_t length = recv(r->watch.fd, c->bytes, sizeof(c->bytes), MSG_DONTWAIT);
		if (length < 0)
			return;
		if (tlsrpt_datagram_read(str_from(c->bytes, (size_t)length), on_session, c, &err) < 0)
			complain(c, err.text);
	}
}

struct tlsrpt_collector *tlsrpt_collector_new(struct tlsio_loop *loop, struct tlsrpt_tally *tally,
	void (*on_warning)(void *ctx, const char *words), void *ctx)
{
	struct tlsrpt_collector *c = mem_zero(sizeof(*c));
	c->loop = loop;
	c->tally = tally;
	c->on_warning = on_warning;
	c->ctx = ctx;
	return c;
}

static void stop(struct tlsrpt_collector *c)
{
	for (size_t i = 0; i < c->reader_count; i++)
		tlsio_watch_set(&c->readers[i].watch, 0);
	free(c->readers);
	c->readers = NULL;
	c->reader_count = 0;
	tlsrpt_sockets_unref(&c->sockets);
}

void tlsrpt_collector_listen(struct tlsrpt_collector *c, struct tlsrpt_sockets *sockets)
{
	struct tlsrpt_sockets *shared = tlsrpt_sockets_ref(sockets);
	stop(c);
	c->sockets = shared;
	c->reader_count = tlsrpt_sockets_count(shared);
	c->readers = c->reader_count ? mem_array(c->reader_count, sizeof(*c->readers)) : NULL;
	for (size_t i = 0; i < c->reader_count; i++) {
		struct reader *r = &c->readers[i];
		r->collector = c;
		tlsio_watch_init(&r->watch, c->loop, tlsrpt_sockets_fd(shared, i), on_ready, r);
		tlsio_watch_set(&r->watch, TLSIO_READ);
	}
}

void tlsrpt_collector_free(struct tlsrpt_collector **collector)
{
	struct tlsrpt_collector *c = *collector;
	*collector = NULL;
	if (!c)
		return;
	stop(c);
	free(c);
}

void tlsrpt_collector_count(const struct tlsrpt_collector *c, struct tlsrpt_collector_counts *ret)
{
	*ret = c->counts;
}
