/* relay_destination: where mail of some domains goes and under which requirement. Immutable.
 *
 * For:     relay dials it; sched and the pool share by its key.
 * Promise: key = next hop + requirement fingerprint: two domains share connections exactly when
 *          both are equal, so one domain's rule can never be met by another's weaker connection.
 */
#ifndef SMTPD_RELAY_RELAY_DESTINATION_H
#define SMTPD_RELAY_RELAY_DESTINATION_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "policy/policy_requirement.h"

enum relay_transport {
	RELAY_SMTP,
	RELAY_LMTP,    /* RFC 2033, over TCP or a unix socket */
	RELAY_MAILDIR, /* a directory; the simplest next hop */
	RELAY_REFUSE,  /* no way: every recipient fails with `text` */
};

struct relay_destination {
	unsigned references;
	char *key;
	enum relay_transport transport;
	char *host;	 /* name or address as written; NULL for unix and maildir */
	uint16_t port;
	bool implicit_tls; /* "smtps host:465" */
	char *path;	 /* unix socket, or maildir */
	char *text;	 /* REFUSE */
	struct policy_requirement *requirement; /* shares */
};

/* The words of a route: "smtp host:port", "smtp [192.0.2.1]:25", "smtps host:465",
 * "lmtp unix:/path", "lmtp host:port", "maildir /path", "refuse words". Shares requirement;
 * a unix socket is exempt from any. */
struct relay_destination *relay_destination_parse(struct str words,
	struct policy_requirement *requirement, struct err *err);
/* A maildir path may contain %d (domain) and %u (local part, folded to safe characters); then this
 * is what a recipient's mail really goes to. */
struct relay_destination *relay_destination_ref(struct relay_destination *d);
void relay_destination_unref(struct relay_destination **d);

#endif
