/* relay_destination: where mail of some domains goes and under which rule. Immutable.
 *
 * For:     relay finds the hosts of it (relay_hop); sched shares its limits by its key.
 * Promise: key = next hop + what its rule demands: recipients share a transaction only when both
 *          are equal, so one domain's rule can never be met by another's weaker one.
 */
#ifndef SMTPD_RELAY_RELAY_DESTINATION_H
#define SMTPD_RELAY_RELAY_DESTINATION_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "policy/policy_plan.h"
#include "policy/policy_rules.h"

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
	char *host;	 /* name or address as written; NULL for unix, maildir and by_mx */
	uint16_t port;
	bool by_mx;	 /* SMTP to the MX hosts of `domain` */
	char *domain;	 /* by_mx: whose MX hosts and MTA-STS policy; "" = not known (words alone) */
	char *rule_domain; /* whose rule holds: a recipient's; "" = not known */
	bool implicit_tls; /* "smtps host:465" */
	char *path;	 /* unix socket, or maildir */
	char *text;	 /* REFUSE */
	struct policy_requirement *requirement; /* shares; of the rule: a host's may be stronger */
	char rule_fingerprint[33]; /* policy_rule's; "" = not known */
	int64_t until_s;	   /* the rule is an exception and ends then; 0: it has no end */
};

/* The words of a route: "mx" (the recipient's domain), "mx example.net" (a smart host's domain),
 * "smtp host:port", "smtp [192.0.2.1]:25", "smtps host:465", "lmtp unix:/path", "lmtp host:port",
 * "maildir /path", "refuse words". Shares requirement; a unix socket is exempt from any. For
 * checking words: whom a plan should be asked about is not known. */
struct relay_destination *relay_destination_parse(struct str words,
	struct policy_requirement *requirement, struct err *err);
/* The same for mail of this domain (lower case A-labels or a literal; "" = none) under its rule. */
struct relay_destination *relay_destination_new(struct str words, const char *domain,
	const struct policy_rule *rule, struct err *err);
/* A maildir path may contain %d (domain) and %u (local part, folded to safe characters); then this
 * is what a recipient's mail really goes to. */
/* Its hosts are those of a plan: by_mx, and any host whose rule takes TLSA records into account. */
bool relay_destination_is_planned(const struct relay_destination *d);
/* What to ask then; borrows from the destination. */
struct policy_question relay_destination_question(const struct relay_destination *d);
/* The next hop in a route's words: "smtp host:25", "mx example.net". Gives. */
char *relay_destination_words(const struct relay_destination *d);
struct relay_destination *relay_destination_ref(struct relay_destination *d);
void relay_destination_unref(struct relay_destination **d);

#endif
