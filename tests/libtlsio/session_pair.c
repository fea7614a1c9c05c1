#include "tests/libtlsio/session_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"

enum { MAX_ROUNDS = 100000 };

void session_pair_open(struct session_pair *p, struct tlsio_server *server,
	struct tlsio_client *client, size_t capacity_bytes)
{
	struct err err;
	memset(p, 0, sizeof(*p));
	p->loop = tlsio_loop_new(&err);
	tlsio_transport_memory_pair(p->loop, capacity_bytes, p->ends);
	p->sessions[PAIR_SERVER] = tlsio_session_new_server(server, p->ends[PAIR_SERVER], &err);
	assert_non_null(p->sessions[PAIR_SERVER]);
	p->sessions[PAIR_CLIENT] = tlsio_session_new_client(client, p->ends[PAIR_CLIENT], &err);
	assert_non_null(p->sessions[PAIR_CLIENT]);
}

static bool step(struct session_pair *p, int side)
{
	if (p->io[side] == TLSIO_IO_AGAIN)
		p->io[side] = tlsio_session_handshake(p->sessions[side], &p->err[side]);
	return p->io[side] == TLSIO_IO_AGAIN;
}

bool session_pair_handshake(struct session_pair *p)
{
	p->io[0] = p->io[1] = TLSIO_IO_AGAIN;
	for (int i = 0; i < MAX_ROUNDS; i++) {
		bool client_waits = step(p, PAIR_CLIENT);
		bool server_waits = step(p, PAIR_SERVER);
		if (!client_waits && !server_waits)
			break;
		/* Who failed says no more. */
		if ((!client_waits && p->io[PAIR_CLIENT] != TLSIO_IO_DONE) ||
			(!server_waits && p->io[PAIR_SERVER] != TLSIO_IO_DONE)) {
			step(p, PAIR_CLIENT);
			break;
		}
	}
	return p->io[0] == TLSIO_IO_DONE && p->io[1] == TLSIO_IO_DONE;
}

void session_pair_settle(struct session_pair *p)
{
	char into[4096];
	size_t count;
	tlsio_session_write(p->sessions[PAIR_SERVER], NULL, 0, &count, NULL);
	assert_int_equal(
		tlsio_session_read(p->sessions[PAIR_CLIENT], into, sizeof(into), &count, NULL),
		TLSIO_IO_AGAIN);
}

static size_t read_all(struct tlsio_session *s, char *into, size_t capacity)
{
	size_t total = 0, count;
	while (total < capacity) {
		size_t part = capacity - total < 65536 ? capacity - total : 65536;
		enum tlsio_io io = tlsio_session_read(s, into + total, part, &count, NULL);
		total += count;
		if (io == TLSIO_IO_AGAIN)
			break;
		assert_int_equal(io, TLSIO_IO_DONE);
	}
	return total;
}

void session_pair_carry(struct session_pair *p, int from, const void *bytes, size_t length)
{
	struct tlsio_session *writer = p->sessions[from], *reader = p->sessions[!from];
	char *got = mem_alloc(length + 1);
	size_t sent = 0, arrived = 0, count;
	for (int i = 0; i < MAX_ROUNDS && arrived < length; i++) {
		if (tlsio_session_flush(writer, NULL) == TLSIO_IO_DONE && sent < length) {
			enum tlsio_io io = tlsio_session_write(
				writer, (const char *)bytes + sent, length - sent, &count, NULL);
			assert_true(io == TLSIO_IO_DONE || io == TLSIO_IO_AGAIN);
			sent += count;
		}
		arrived += read_all(reader, got + arrived, length - arrived);
	}
	assert_int_equal(arrived, length);
	assert_memory_equal(got, bytes, length);
	free(got);
}

void session_pair_close(struct session_pair *p)
{
	tlsio_session_free(&p->sessions[0]);
	tlsio_session_free(&p->sessions[1]);
	for (int i = 0; i < 2; i++)
		if (p->ends[i])
			p->ends[i]->kind->free(p->ends[i]);
	tlsio_loop_free(&p->loop);
}

void session_pair_connect(
	struct session_pair *p, struct tlsio_server *server, struct tlsio_client *client)
{
	session_pair_open(p, server, client, 65536);
	if (!session_pair_handshake(p))
		fail_msg("server: %s; client: %s", p->err[PAIR_SERVER].text,
			p->err[PAIR_CLIENT].text);
	session_pair_settle(p);
}

const struct tlsio_peer *session_pair_peer(struct session_pair *p, int of)
{
	return tlsio_session_peer(p->sessions[of]);
}
