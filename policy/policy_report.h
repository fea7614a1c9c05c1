/* policy_report: what a TLS session with a host of a plan is reported under (RFC 8460), said shortly.
 *
 * For:     the maker of a plan, which names the policies; relay, which judges a session by them; the
 *          door between the two; policy/tlsrpt, which counts.
 * How:     the words of a policy (records, lines, hosts) stay with the maker of the plan; identity
 *          names them.
 */
#ifndef POLICY_POLICY_REPORT_H
#define POLICY_POLICY_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/netaddr.h"
#include "policy/policy_judge.h"

enum policy_report_type { POLICY_REPORT_NO_POLICY, POLICY_REPORT_TLSA, POLICY_REPORT_STS };

/* By what a session is judged; what the operator demands beside it is nobody else's business. */
enum policy_report_measure {
	POLICY_REPORT_BY_REQUIREMENT, /* what the host's requirement takes from DANE or MTA-STS */
	POLICY_REPORT_BY_TESTING,     /* the host's `testing` requirement or verdict */
	POLICY_REPORT_BY_TLS,	      /* TLS came up, or not */
	POLICY_REPORT_BY_FAILURE,     /* nothing: `failure` is the verdict */
};

enum { POLICY_REPORTS_MOST = 2, POLICY_REPORT_WHY_BYTES_MOST = 200 };

struct policy_report {
	enum policy_report_type type;
	enum policy_report_measure measure;
	/* BY_FAILURE: the verdict. Else, when not NONE, something that went wrong beside it: a new policy
	 * that could not be fetched. */
	enum policy_reason failure;
	uint64_t identity; /* of the policy's words */
	char *domain;	   /* policy-domain: the policy's, or the TLSA base */
};

/* One session, judged. Texts and names are borrowed. */
struct policy_session {
	const char *domain; /* reported */
	const char *host;   /* receiving MX */
	struct netaddr sending, receiving; /* NETADDR_NONE: there was no connection */
	struct policy_session_part {
		enum policy_report_type type;
		enum policy_reason reason;  /* NONE: it passed */
		enum policy_reason besides; /* NONE: nothing else */
		uint64_t identity;
		const char *domain;
		const char *why; /* "" none; one line of printable ASCII */
	} parts[POLICY_REPORTS_MOST];
	size_t part_count;
};

/* What was seen of a session. */
struct policy_report_facts {
	const char *host;
	const struct policy_requirement *requirement;
	const struct policy_requirement *testing; /* NULL: testing_reason says it */
	enum policy_reason testing_reason;
	const struct tlsio_peer *peer; /* NULL: no TLS */
	const char *why; /* TLS was tried and failed: of that; NULL: the host did not offer it */
};
/* The session under this policy: reason NONE, or what it lacked, in words that name nothing of the
 * operator's configuration. */
void policy_report_judge(const struct policy_report *report, const struct policy_report_facts *facts,
	struct policy_judgement *ret);

/* Copies the domain. */
void policy_report_copy(const struct policy_report *from, struct policy_report *ret);
void policy_report_clear(struct policy_report *report);

#endif
