#include "smtpd/session/session_store.h"

#include <assert.h>

#include "libtlsio/base/buf.h"
#include "smtpd/session/session_log.h"
#include "smtpd/smtp/smtp_trace.h"

static int write_received(struct session_client *c, struct err *err)
{
	const struct session_transaction *t = c->machine.transaction;
	const struct tlsio_peer *peer = tlsio_stream_peer(c->stream);
	char id[17];
	spool_id_format(spool_writer_id(c->writer), id);
	struct smtp_trace trace = { .hello = str_of(c->machine.hello),
		.client = &c->remote,
		.by = str_of(c->machine.settings->hostname),
		.id = str_of(id),
		.is_extended = c->machine.is_extended,
		.is_smtputf8 = t->flags & SPOOL_FLAG_SMTPUTF8,
		.is_tls = peer != NULL,
		.suite = peer ? peer->suite : NULL,
		.suite_id = peer ? peer->suite_id : 0,
		.group = peer ? peer->group : NULL,
		.time_s = tlsio_loop_time_s(c->service->loop) };
	/* with more recipients it would tell each of them about the others */
	if (t->recipient_count == 1)
		trace.recipient = t->recipients[0].address;
	struct buf field = { 0 };
	smtp_trace_append(&trace, &field);
	int rc = spool_write(c->writer, buf_str(&field), err);
	buf_release(&field);
	return rc;
}

int session_store_begin(void *ctx, struct err *err)
{
	struct session_client *c = ctx;
	assert(!c->writer);
	c->writer = spool_begin(c->service->spool, err);
	if (!c->writer)
		return -1;
	if (write_received(c, err) != 0) {
		spool_abandon(&c->writer);
		return -1;
	}
	return 0;
}

int session_store_write(void *ctx, struct str content, struct err *err)
{
	struct session_client *c = ctx;
	return spool_write(c->writer, content, err);
}

static void on_done(void *ctx, uint64_t id, const struct err *why)
{
	struct session_client *c = ctx;
	if (!why)
		session_log_accepted(c, id);
	session_client_stored(c, id, why);
}

void session_store_commit(void *ctx)
{
	struct session_client *c = ctx;
	struct spool_envelope envelope;
	char ip[NETADDR_TEXT_BYTES];
	session_transaction_envelope(c->machine.transaction, &envelope);
	envelope.received_s = tlsio_loop_time_s(c->service->loop);
	envelope.client = str_of(netaddr_format_ip(&c->remote, ip));
	spool_commit(&c->writer, &envelope, on_done, c);
}

void session_store_abandon(void *ctx)
{
	struct session_client *c = ctx;
	spool_abandon(&c->writer);
}
