#include "smtpd/session/session_log.h"

#include "libtlsio/base/log.h"

static void add_client(struct log_line *l, const struct netaddr *client, const char *hello)
{
	char ip[NETADDR_TEXT_BYTES];
	log_text(l, "client", netaddr_format_ip(client, ip));
	log_text(l, "hello", hello);
}

static void add_tls(struct log_line *l, const struct session_client *c)
{
	const struct tlsio_peer *peer = c->stream ? tlsio_stream_peer(c->stream) : NULL;
	log_text(l, "tls", peer ? tlsio_version_name(peer->version) : "none");
	if (!peer)
		return;
	log_text(l, "suite", peer->suite);
	log_text(l, "group", peer->group);
}

static struct str shorten(struct str s)
{
	return s.length > 300 ? str_head(s, 300) : s;
}

void session_log_accepted(const struct session_client *c, uint64_t id)
{
	const struct session_transaction *t = c->machine.transaction;
	struct log_line l;
	char id_text[17];
	log_begin(&l, LOG_LEVEL_INFO, "accepted");
	if (l.is_off)
		return;
	log_text(&l, "msg", spool_id_format(id, id_text));
	log_str(&l, "sender", t->sender);
	log_number(&l, "recipients", t->recipient_count);
	if (t->recipient_count == 1)
		log_str(&l, "recipient", t->recipients[0].address);
	log_number(&l, "size", (int64_t)t->decoder.content_bytes);
	add_client(&l, &c->remote, c->machine.hello);
	add_tls(&l, c);
	log_end(&l);
}

/* Refusals of mail are for the operator's eyes; garbage on the line is not. */
static enum log_level level_of(enum smtp_verb verb)
{
	switch (verb) {
	case SMTP_VERB_MAIL:
	case SMTP_VERB_RCPT:
	case SMTP_VERB_DATA:
	case SMTP_VERB_BDAT:
	case SMTP_VERB_STARTTLS:
		return LOG_LEVEL_INFO;
	default:
		return LOG_LEVEL_DEBUG;
	}
}

void session_log_refusal(const struct session_client *c, enum smtp_verb verb, struct str argument,
	const struct session_refusal *refusal)
{
	const struct session_transaction *t = c->machine.transaction;
	struct log_line l;
	log_begin(&l, level_of(verb), "refused");
	if (l.is_off)
		return;
	log_text(&l, "command", smtp_command_verb_name(verb));
	if (argument.length)
		log_str(&l, "argument", shorten(argument));
	if (t && verb != SMTP_VERB_MAIL)
		log_str(&l, "sender", t->sender);
	log_number(&l, "code", refusal->code);
	log_text(&l, "status", refusal->enhanced);
	log_text(&l, "reason", refusal->text);
	add_client(&l, &c->remote, c->machine.hello);
	add_tls(&l, c);
	log_end(&l);
}

void session_log_end(const struct session_client *c, const struct err *why)
{
	const struct tlsio_peer *peer = tlsio_stream_peer(c->stream);
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "session-end");
	if (l.is_off)
		return;
	add_client(&l, &c->remote, c->machine.hello);
	add_tls(&l, c);
	if (peer) {
		log_text(&l, "resumed", peer->is_resumed ? "yes" : "no");
		log_text(&l, "sni", peer->server_name);
	}
	log_number(&l, "messages", c->machine.accepted);
	log_number(&l, "refused", c->machine.refused);
	log_number(&l, "bytes", (int64_t)c->input_bytes);
	log_number(&l, "duration_ms", tlsio_loop_now_ms(c->service->loop) - c->began_ms);
	log_text(&l, "end", c->machine.end_reason);
	if (why && why->kind != ERR_NONE)
		log_text(&l, "reason", why->text);
	log_end(&l);
}

void session_log_leftover(const struct session_client *c, size_t bytes)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_WARNING, "starttls-leftover");
	if (l.is_off)
		return;
	add_client(&l, &c->remote, c->machine.hello);
	log_number(&l, "bytes", (int64_t)bytes);
	log_end(&l);
}

void session_log_unanswered(const struct session_client *c)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "sender-not-looked-up");
	if (l.is_off)
		return;
	log_str(&l, "sender", c->machine.transaction->sender);
	log_text(&l, "reason", "no answer in time");
	add_client(&l, &c->remote, c->machine.hello);
	log_end(&l);
}

void session_log_turned_away(const struct netaddr *client, const char *reason)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "turned-away");
	if (l.is_off)
		return;
	add_client(&l, client, NULL);
	log_text(&l, "reason", reason);
	log_end(&l);
}
