/* explain: why mail of a domain goes where it goes, and what each host must show: for people, and
 * as JSON. Pure: facts in, text out.
 *
 * For:     posternctl explain; probe begins with the same plan.
 * Promise: the verdict comes first, in one sentence; then the hosts, what was found, what lost.
 */
#ifndef SMTPD_EXPLAIN_EXPLAIN_H
#define SMTPD_EXPLAIN_EXPLAIN_H

#include "policy/policy_plan.h"
#include "smtpd/explain/explain_json.h"
#include "smtpd/explain/explain_page.h"

enum explain_way {
	EXPLAIN_BY_MX,	 /* plan */
	EXPLAIN_BY_HOST, /* one host named by the route: plan, or its rule alone */
	EXPLAIN_LMTP,
	EXPLAIN_MAILDIR,
	EXPLAIN_REFUSE, /* a route that refuses, or none at all */
};
const char *explain_way_name(enum explain_way way); /* "mx", "host", "lmtp", "maildir", "refuse" */

struct explain {
	const char *domain;	    /* A-labels */
	enum explain_way way;
	bool is_this_host;	    /* BY_HOST: not a domain was asked about, but next_hop itself */
	const char *next_hop;	    /* "host:port", a path; of REFUSE its words; NULL: the domain itself */
	const char *asked;	    /* who answered: "policyd", "alone"; NULL: nobody was asked */
	const struct policy_plan *plan; /* NULL: the way and the rule are all */
	const struct policy_requirement *rule; /* without plan: what holds; NULL: nothing to demand */
	const char *warning;	    /* "DNSSEC validation does not work here: ..."; NULL none */
	int64_t now_s;
};

/* What scripts go by. */
enum explain_status {
	EXPLAIN_DELIVERABLE = 0,
	EXPLAIN_STAYS = 1,    /* nothing usable, or not to be found out now: mail waits */
	EXPLAIN_RETURNED = 3, /* null MX, no such domain, a route that refuses: fails for good */
};
enum explain_status explain_status(const struct explain *e);

/* The verdict alone, one sentence. */
void explain_sentence(const struct explain *e, struct buf *to);
void explain_text(const struct explain *e, struct explain_page *page);
/* One object and a newline; the keys are in posternctl(8). */
void explain_put_json(const struct explain *e, struct buf *to);
/* The same object's members, for probe. */
void explain_put_members(const struct explain *e, struct explain_json *j);

#endif
