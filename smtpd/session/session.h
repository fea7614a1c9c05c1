/* session: a client hands us mail over SMTP.
 *
 * For:     the worker: accepted descriptors go in, durable messages come out (in the spool).
 * Holds:   all sessions of one worker, counts per client network.
 * Promise: 250 after end of data only after the spool's on_done; never more input buffered than
 *          the settings allow; an idle session holds no buffers.
 */
#ifndef SMTPD_SESSION_SESSION_H
#define SMTPD_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_server.h"
#include "libtlsio/tlsio_transport.h"
#include "smtpd/session/session_settings.h"
#include "smtpd/spool/spool.h"

/* What a gate may look at. */
struct session_facts {
	const struct netaddr *client;
	const struct tlsio_peer *peer;	/* NULL = in clear */
	struct str hello;		/* EHLO name as given */
	const void *listener;		/* session_listener.ctx */
};

struct session_refusal {
	int code;		/* 450..554 */
	char enhanced[12];	/* "5.7.1" */
	char text[300];		/* one line, printable ASCII */
};

/* A question that is answered later. */
struct session_question;
/* refusal NULL: no objection. The question is over: forget it. From the loop, not inside of the
 * asking. */
void session_question_answer(struct session_question *question,
	const struct session_refusal *refusal);

/* The questions a session asks the house (session knows no policy and no routes). Called from the
 * loop, answered at once but for ask_sender. */
struct session_gate {
	/* May this client send as this sender? sender_domain empty for <>. */
	bool (*may_send)(void *ctx, const struct session_facts *facts, struct str sender_domain,
		struct session_refusal *ret_refusal);
	/* Do we take mail for this recipient domain from this client? (ours, or client may relay) */
	bool (*may_receive)(void *ctx, const struct session_facts *facts, struct str recipient,
		struct str recipient_domain, struct session_refusal *ret_refusal);
	/* The TLS wishes for this client: with or without tickets, or NULL: STARTTLS is not offered. */
	struct tlsio_server *(*tls_for)(void *ctx, const void *listener,
		const struct netaddr *client);
	/* Asked with refuse_null_mx_senders, where may_send was content and the sender has a domain
	 * (not <>, no address literal): is there a null MX to refuse it for? NULL: no need to look.
	 * Otherwise session_question_answer follows; what is returned is for forget_question, which
	 * comes instead when nobody wants the answer any more. Both may be NULL. */
	void *(*ask_sender)(void *ctx, const struct session_facts *facts, struct str sender_domain,
		struct session_question *question);
	void (*forget_question)(void *ctx, void *asked);
};

enum session_tls_mode { SESSION_TLS_OFF, SESSION_TLS_STARTTLS, SESSION_TLS_IMPLICIT };

/* One per listening socket; borrowed, lives as long as the settings it came with. */
struct session_listener {
	enum session_tls_mode tls;
	bool requires_tls; /* 530 to everything but NOOP EHLO STARTTLS QUIT (RFC 3207 section 4) */
	void *ctx;
};

struct session_service;

struct session_service *session_service_new(struct tlsio_loop *loop, struct spool *spool,
	const struct session_settings *settings, const struct session_gate *gate, void *gate_ctx);
/* New sessions get these settings; running ones keep what they began with. on_unused (may be NULL)
 * runs once these settings (and the listeners that came with them) are used by nobody any more:
 * replaced, and their last session ended, or the service freed. Also call it right after _new, with
 * the same settings, to be told of their end. */
void session_service_set_settings(struct session_service *service,
	const struct session_settings *settings, void (*on_unused)(void *ctx), void *ctx);
/* Takes fd. Over a limit the client gets its reply (421) and is closed. */
void session_service_accept(struct session_service *service,
	const struct session_listener *listener, int fd, const struct netaddr *local,
	const struct netaddr *remote);
/* The same over any transport (memory in tests). Takes transport. */
void session_service_accept_transport(struct session_service *service,
	const struct session_listener *listener, struct tlsio_transport *transport,
	const struct netaddr *local, const struct netaddr *remote);
/* Shutdown: idle sessions get 421 and end; running transactions finish; then on_idle. */
void session_service_drain(struct session_service *service, void (*on_idle)(void *ctx), void *ctx);
void session_service_free(struct session_service **service); /* aborts what is left */

struct session_counters {
	uint64_t connections, refused_connections, messages, refused_messages, tls_sessions,
		tls_resumed, tls_failed;
	uint64_t open_sessions;
};
void session_service_counters(const struct session_service *service, struct session_counters *ret);

#endif
