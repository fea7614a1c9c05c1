/* policy_combine: rule, DANE and MTA-STS of one host -> the requirement that holds. Pure.
 *
 * For:     policy/plan. The table is PRECEDENCE.md, tested row by row.
 * Order:   an exception stands alone. Else the strongest per host: DANE with usable records (never
 *          rescued or replaced by MTA-STS, RFC 8461 2), then the rule's own identity (names, pins,
 *          or an authority other than "system"), then MTA-STS enforce, then the rule's verify, then
 *          TLS without authentication (encrypt; TLSA records all unusable, RFC 7672 2.2), then may,
 *          then none. A rule's minimum version holds whoever decides, and so does its own identity
 *          beside DANE. MTA-STS enforce also closes hosts that its mx patterns do not name, unless
 *          DANE passes for them and the MX set is proven by DNSSEC.
 * Names:   verify without names, reached by MX: the host's own name counts when the MX set is
 *          proven by DNSSEC or the host named by an MTA-STS policy; otherwise the certificate must
 *          be for the domain or a host below it, beside DANE too, since an unproven MX record could
 *          name anybody's host.
 */
#ifndef POLICY_POLICY_COMBINE_H
#define POLICY_POLICY_COMBINE_H

#include "policy/policy_plan.h"
#include "policy/policy_rules.h"

enum policy_dane_state { /* RFC 7672 2.1, per host */
	POLICY_DANE_NOT_ASKED,	/* rule without DANE; address or CNAME insecure (D4, D8); address literal (D7) */
	POLICY_DANE_ABSENT,	/* proven or plain: no records, or an insecure answer (D12) */
	POLICY_DANE_USABLE,
	POLICY_DANE_UNUSABLE,	/* secure records, none usable */
	POLICY_DANE_ERROR,	/* bogus, SERVFAIL, time-out: the host is out (D3) */
};
struct policy_dane_finding {
	enum policy_dane_state state;
	const struct policy_tlsa *records; /* USABLE: selected ones */
	size_t record_count;
	const char *base;	    /* TLSA base domain: SNI (D18) and first name */
	const char *const *names;   /* all reference names (D16), base first */
	size_t name_count;
	const char *text;	    /* ERROR: words */
	bool is_bogus;		    /* ERROR: dnssec-invalid rather than a resolver that fails */
};

struct policy_sts_finding {
	enum policy_sts_mode mode; /* NONE: no policy, or one of mode none */
	bool is_mx_named;	   /* the policy's mx patterns name this host */
	const char *domain;	   /* policy domain, for words */
	struct tlsio_trust *roots; /* borrowed; what PKIX means here ("system") */
	const char *roots_name;
	const uint8_t *roots_sha256;
};

struct policy_combine {
	const struct policy_rule *rule;
	const char *rule_domain;
	const char *next_hop;
	const char *host;	  /* A-label, or an address */
	bool is_by_mx;		  /* POLICY_BY_MX */
	bool is_mx_secure;
	struct policy_dane_finding dane;
	struct policy_sts_finding sts;
};

/* Fills host's requirement or reason and text, testing, testing_reason and is_domain_proven; adds
 * POLICY_EVIDENCE_LOST lines to plan where wants_evidence. host->name is set already. */
void policy_combine_host(const struct policy_combine *from, struct policy_plan *plan,
	struct policy_plan_host *host, bool wants_evidence);

#endif
