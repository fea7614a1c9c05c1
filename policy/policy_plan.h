/* policy_plan: where mail of a domain may go, and what each host must show. Immutable, shared.
 *
 * For:     relay obeys it, posternctl explains it; made by policy/plan (in postern-policyd), carried
 *          by policy/door.
 * Promise: a host without a requirement must not be used; hosts stand in order of preference, those
 *          of equal preference in any order (who uses them shuffles, RFC 5321 5.1).
 */
#ifndef POLICY_POLICY_PLAN_H
#define POLICY_POLICY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "policy/policy_judge.h"
#include "policy/policy_report.h"
#include "policy/policy_requirement.h"

enum {
	POLICY_PLAN_HOSTS_MOST = 20,	 /* looked at; further MX records are left out, with evidence */
	POLICY_PLAN_ADDRESSES_MOST = 16, /* of one host */
	POLICY_PLAN_EVIDENCE_MOST = 400,
};

/* What is asked: by whom mail of rule_domain is taken. */
enum policy_question_kind {
	POLICY_BY_MX,	/* the MX hosts of next_hop (RFC 5321 5.1); MTA-STS policy of next_hop */
	POLICY_BY_HOST, /* next_hop itself is the host ("smtp host:port"), and the MTA-STS domain if a name */
};
struct policy_question {
	enum policy_question_kind kind;
	const char *rule_domain; /* recipient's domain: whose rule and exception hold. A-labels */
	const char *next_hop;	 /* the same, or the smart host's domain, or the host */
	uint16_t port;		 /* 25, or the host's: TLSA records are per port (RFC 7672 2.2.3) */
	bool wants_evidence;
};

enum policy_plan_state {
	POLICY_PLAN_READY,   /* try the hosts; when none has a requirement, defer with their words */
	POLICY_PLAN_DEFER,   /* try later: text says what could not be found out */
	POLICY_PLAN_NO_MAIL, /* null MX (RFC 7505): fail for good, 5.1.10 */
	POLICY_PLAN_NO_DOMAIN, /* no such domain, or neither MX nor address: fail for good, 5.1.2 or 5.4.4 */
};
const char *policy_plan_state_name(enum policy_plan_state state); /* "ready", "defer", "no-mail", "no-domain" */

struct policy_plan_host {
	char *name; /* A-labels, lower case, no trailing dot; an address literal is "192.0.2.1" */
	unsigned preference;
	struct netaddr *addresses; /* families alternate; port as in the question */
	size_t address_count;
	/* Shares. NULL: do not use this host; reason and text say why, in plain words. */
	struct policy_requirement *requirement;
	enum policy_reason reason;
	char *text;
	/* MTA-STS in testing mode: judged besides, reported, never obeyed (RFC 8461 5). NULL: nothing
	 * to judge; then testing_reason (when not NONE) is the verdict already (MX not in policy). */
	struct policy_requirement *testing;
	enum policy_reason testing_reason;
	/* MX set proven by DNSSEC, or host named by an MTA-STS policy: then a good certificate proves
	 * the domain, not only the host; the log says which (D5). */
	bool is_domain_proven;
	/* What a session with it is reported under; of a host that must not be used, one that there would
	 * have been. None: nothing is reported. */
	struct policy_report reports[POLICY_REPORTS_MOST];
	size_t report_count;
};

/* What was found on the way, for people: one thing a line. */
enum policy_evidence_kind {
	POLICY_EVIDENCE_RULE,	    /* subject: rule's source; text: what it demands */
	POLICY_EVIDENCE_EXCEPTION,  /* subject: source; text: reason and end date */
	POLICY_EVIDENCE_MX,
	POLICY_EVIDENCE_ADDRESS,
	POLICY_EVIDENCE_TLSA,
	POLICY_EVIDENCE_STS_RECORD, /* the TXT record */
	POLICY_EVIDENCE_STS_POLICY, /* the policy in force: mode, mx, max_age */
	POLICY_EVIDENCE_STS_FETCH,  /* the last try to fetch it */
	POLICY_EVIDENCE_STS_TALLY,  /* testing mode: how many would have passed and failed */
	POLICY_EVIDENCE_LOST,	    /* an alternative that lost: what would have held, and why not */
	POLICY_EVIDENCE_NOTE,
};
const char *policy_evidence_kind_name(enum policy_evidence_kind kind); /* "rule", "exception", "mx", ... */

struct policy_evidence {
	enum policy_evidence_kind kind;
	char *subject;	/* the name asked ("_25._tcp.mx.example.org"), the host, the rule's place */
	char *verdict;	/* "secure", "insecure", "bogus", "error", "enforce", ...; "" none */
	char *text;	/* one line, printable UTF-8 or ASCII */
	int64_t ttl_s;	/* of the DNS answer or left of the policy; -1 none */
	int64_t age_s;	/* since it was learned; -1 none */
};

enum policy_sts_mode { POLICY_STS_NONE, POLICY_STS_TESTING, POLICY_STS_ENFORCE };

/* The domain as a whole, for who can say only one thing for all its hosts (smtpd/socketmap). */
struct policy_plan_whole {
	struct policy_requirement *rule; /* shares; what the rule or exception demands */
	bool is_exception;
	bool is_general; /* nobody spoke of this domain: the rule is "*" or the built-in one */
	bool uses_dane;
	bool is_by_mx;
	bool is_mx_known;  /* the MX look-up was answered */
	bool is_mx_proven; /* by DNSSEC; or the operator named the host */
	/* Hosts, by what is known of their TLSA records; those without an address are left out.
	 * unknown: a look-up failed. Without uses_dane all but unknown are plain. */
	unsigned dane_hosts, unusable_hosts, plain_hosts, unknown_hosts;
	/* The MTA-STS policy in force, as far as the rule takes it into account. */
	enum policy_sts_mode sts_mode;
	char **sts_mx; /* patterns; first those that name hosts of this plan */
	size_t sts_mx_count;
	char *sts_text; /* as received, or as many of its lines as are kept */
	/* The words of the policies that reports name (policy/tlsrpt), each once. */
	char **words;
	size_t word_count;
};

struct policy_plan {
	unsigned references;
	char *rule_domain;
	char *next_hop;
	enum policy_plan_state state;
	enum policy_reason reason;	/* DEFER */
	char *text;			/* all but READY: a plain sentence */
	/* DEFER, made by who asked: the planner did not answer, so nothing is known of the domain. Never
	 * sent by a planner. */
	bool is_unanswered;
	char rule_fingerprint[33];	/* of the rule in force (policy_rule): the asker compares */
	struct policy_plan_host *hosts; /* READY */
	size_t host_count;
	struct policy_plan_whole *whole; /* owned; NULL in a plan that came through policy/door */
	int64_t made_s;	   /* wall clock */
	int64_t expires_s; /* by DNS TTLs, the STS policy's end, the exception's end: ask again then */
	struct policy_evidence *evidence;
	size_t evidence_count;
};

/* An empty one (references = 1, READY) to be filled by its maker before it is shared. */
struct policy_plan *policy_plan_new(const char *rule_domain, const char *next_hop);
struct policy_plan *policy_plan_ref(struct policy_plan *plan);
void policy_plan_unref(struct policy_plan **plan);
/* For the maker. The new host, zeroed but for its name (copied); NULL beyond POLICY_PLAN_HOSTS_MOST. */
struct policy_plan_host *policy_plan_add_host(struct policy_plan *plan, const char *name,
	unsigned preference);
/* Copies. Text is made one printable line. Beyond POLICY_PLAN_EVIDENCE_MOST: dropped. */
void policy_plan_add_evidence(struct policy_plan *plan, enum policy_evidence_kind kind,
	const char *subject, const char *verdict, int64_t ttl_s, int64_t age_s, const char *format, ...)
	__attribute__((format(printf, 7, 8)));
/* Accepts NULL, sets NULL. */
void policy_plan_whole_free(struct policy_plan_whole **whole);
/* For the maker, and who reads one: copies report; beyond POLICY_REPORTS_MOST: dropped. */
void policy_plan_add_report(struct policy_plan_host *host, const struct policy_report *report);
/* state, reason and text at once. */
void policy_plan_end(struct policy_plan *plan, enum policy_plan_state state,
	enum policy_reason reason, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
