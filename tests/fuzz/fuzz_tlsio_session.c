#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libtlsio/tlsio_session.h"
#include "tests/fakes/fake_ca.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a stranger sends to a TLS server. The first byte says in how big pieces, and its last bit
 * whether it hangs up at the end. */
struct stranger {
	struct tlsio_transport base;
	const uint8_t *at;
	size_t left;
	size_t piece;
	bool hangs_up;
};

static ssize_t stranger_read(struct tlsio_transport *t, void *into, size_t capacity)
{
	struct stranger *s = (struct stranger *)(void *)t;
	size_t count = s->left < s->piece ? s->left : s->piece;
	if (count > capacity)
		count = capacity;
	if (count == 0 && s->hangs_up)
		return 0;
	if (count == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(into, s->at, count);
	s->at += count;
	s->left -= count;
	return (ssize_t)count;
}

static ssize_t stranger_write(struct tlsio_transport *t, const struct iovec *parts, int count)
{
	ssize_t total = 0;
	(void)t;
	for (int i = 0; i < count; i++)
		total += (ssize_t)parts[i].iov_len;
	return total;
}

static const struct tlsio_transport_kind stranger_kind = {
	.name = "stranger",
	.read = stranger_read,
	.write = stranger_write,
};

static void on_trace(void *ctx, const struct tlsio_trace_event *event)
{
	(void)ctx;
	assert(event->name);
}

static struct tlsio_server *make_server(void)
{
	struct fake_ca *ca = fake_ca_new("root");
	struct tlsio_certstore *store = fake_ca_certstore(ca, "mx.example.net");
	struct tlsio_trust *trust = fake_ca_trust(ca);
	struct tlsio_server_wishes wishes = {
		.certificates = store,
		.client_trust = trust,
		.trace = on_trace,
	};
	struct tlsio_server *server = tlsio_server_new(&wishes, NULL);
	tlsio_trust_unref(&trust);
	tlsio_certstore_unref(&store);
	fake_ca_free(&ca);
	return server;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tlsio_server *server;
	struct err err = { 0 };
	if (!server)
		server = make_server();
	if (size < 1)
		return 0;
	struct stranger stranger = {
		.base.kind = &stranger_kind,
		.at = data + 1,
		.left = size - 1,
		.piece = (size_t)(data[0] >> 1) + 1,
		.hangs_up = data[0] & 1,
	};
	struct tlsio_session *s = tlsio_session_new_server(server, &stranger.base, &err);
	enum tlsio_io io = TLSIO_IO_AGAIN;
	size_t before;
	do {
		before = stranger.left;
		io = tlsio_session_handshake(s, &err);
	} while (io == TLSIO_IO_AGAIN && stranger.left < before);
	/* Nobody finishes a handshake without the keys it makes. */
	assert(io != TLSIO_IO_DONE);
	if (io != TLSIO_IO_AGAIN)
		assert(err.text[0]);
	tlsio_session_bye(s);
	tlsio_session_free(&s);
	return 0;
}
