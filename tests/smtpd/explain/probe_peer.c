#include "tests/smtpd/explain/probe_peer.h"

#include <assert.h>
#include <string.h>

#include "libtlsio/tlsio_upgrade.h"

/* False: it hung up. */
static bool say(struct probe_peer *p, const char *words, const char *usual)
{
	const char *said = words ? words : usual;
	if (strcmp(said, "!") == 0) {
		p->is_over = true;
		tlsio_stream_close(&p->stream);
		return false;
	}
	tlsio_stream_write(p->stream, said, strlen(said));
	return true;
}

static bool answer(struct probe_peer *p, struct str line)
{
	if (str_starts(line, STR("EHLO")) && p->is_secured)
		return say(p, p->ehlo_again, "250-mx.test\r\n250 SIZE 1000\r\n");
	if (str_starts(line, STR("EHLO")))
		return say(p, p->ehlo, p->tls ? "250-mx.test greets\r\n250-PIPELINING\r\n250 STARTTLS\r\n" :
						"250-mx.test greets\r\n250 PIPELINING\r\n");
	if (str_starts(line, STR("QUIT")))
		return say(p, p->quit, "221 bye\r\n");
	assert(str_equal(line, STR("STARTTLS"))); /* nothing else is ever said */
	if (p->starttls)
		return say(p, p->starttls, NULL);
	tlsio_upgrade_hold(p->stream);
	say(p, NULL, "220 go\r\n");
	assert(tlsio_upgrade_server(p->stream, p->tls, NULL) == 0);
	return true;
}

static void on_input(void *ctx)
{
	struct probe_peer *p = ctx;
	for (;;) {
		struct str input = tlsio_stream_input(p->stream);
		size_t end = str_find(input, '\n');
		char line[300];
		if (end == input.length || input.at[0] == 0x16) /* a ClientHello it does not expect */
			return;
		assert(end > 0 && input.at[end - 1] == '\r');
		str_copy(str_head(input, end - 1), line, sizeof(line));
		tlsio_stream_consume(p->stream, end + 1);
		buf_printf(&p->commands, "%s\n", line);
		if (!answer(p, str_of(line)))
			return;
	}
}

static void on_secured(void *ctx)
{
	struct probe_peer *p = ctx;
	p->is_secured = true;
	buf_append_text(&p->commands, "<tls>\n");
	if (p->is_tls_first)
		say(p, p->greeting, "220 mx.test ESMTP\r\n");
}

static void on_nothing(void *ctx)
{
	(void)ctx;
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct probe_peer *p = ctx;
	(void)end;
	(void)why;
	p->is_over = true;
	tlsio_stream_close(&p->stream);
}

static const struct tlsio_stream_events events = { .on_input = on_input, .on_room = on_nothing,
	.on_secured = on_secured, .on_timeout = on_nothing, .on_end = on_end };

void probe_peer_begin(struct probe_peer *p, struct tlsio_loop *loop, struct tlsio_transport *transport)
{
	static const struct tlsio_stream_limits limits = { 65536, 1 << 20 };
	p->loop = loop;
	p->stream = tlsio_stream_new(loop, transport, &limits, &events, p);
	if (p->is_tls_first)
		assert(tlsio_upgrade_server_at_once(p->stream, p->tls, NULL) == 0);
	else
		say(p, p->greeting, "220 mx.test ESMTP\r\n");
}

void probe_peer_end(struct probe_peer *p)
{
	tlsio_stream_abort(&p->stream);
	buf_release(&p->commands);
}
