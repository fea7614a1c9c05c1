/* probe_machine: what a probe says to a host and in which order, as a table without I/O.
 *
 * For:     probe_connection, which moves the bytes; tests, which record the actions.
 * Promise: says EHLO, STARTTLS and QUIT and nothing else, so no mail can ever come of it. What was
 *          learned in plaintext is forgotten after TLS (RFC 3207 4.2); TLS is started only behind a
 *          220. Exactly one `over`; no action follows it.
 */
#ifndef SMTPD_EXPLAIN_PROBE_MACHINE_H
#define SMTPD_EXPLAIN_PROBE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/str.h"
#include "smtpd/smtp/smtp_ehlo.h"
#include "smtpd/smtp/smtp_reply.h"

enum probe_step {
	PROBE_GREETING,
	PROBE_EHLO,
	PROBE_STARTTLS,
	PROBE_HANDSHAKE,  /* no byte is read as SMTP */
	PROBE_EHLO_AGAIN, /* in TLS */
	PROBE_QUIT,
	PROBE_OVER,
};
/* "the greeting", "EHLO", "STARTTLS", "the handshake", ... for words */
const char *probe_step_name(enum probe_step step);

struct probe_machine_actions {
	void (*say)(void *ctx, const char *line); /* without line end */
	void (*heard)(void *ctx, int code, struct str text); /* one line of a reply; any bytes */
	/* Answer with probe_machine_secured or probe_machine_tls_failed. */
	void (*start_tls)(void *ctx);
	void (*no_starttls)(void *ctx); /* EHLO does not offer it */
	void (*tls_refused)(void *ctx, const char *why); /* STARTTLS was answered otherwise */
	/* why NULL: all was said that there is to say. */
	void (*over)(void *ctx, const char *why);
};

struct probe_machine {
	const struct probe_machine_actions *actions;
	void *ctx;
	const char *hostname;
	enum probe_step step;
	bool is_tls_first, is_secured;
	struct smtp_reply reply;
	bool is_heard, is_bad, has_extra;
	struct err fault;
	struct smtp_ehlo ehlo; /* of the last EHLO */
	char why[300];	       /* what over will say */
};

/* hostname: ours, for EHLO; borrowed. is_tls_first: the connection begins with the handshake. */
void probe_machine_begin(struct probe_machine *m, const char *hostname, bool is_tls_first,
	const struct probe_machine_actions *actions, void *ctx);
void probe_machine_clear(struct probe_machine *m);
/* At most one reply; how many bytes are consumed. Consume them, then let it act, and so on until act
 * returns false: so bytes behind a reply are still the stream's when TLS is to begin. */
size_t probe_machine_read(struct probe_machine *m, struct str input);
bool probe_machine_act(struct probe_machine *m);
void probe_machine_secured(struct probe_machine *m);
void probe_machine_tls_failed(struct probe_machine *m);
/* The connection ended, or the time is up. */
void probe_machine_lost(struct probe_machine *m, const char *why);

#endif
