#include "policy/plan/plan_tally.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "libtlsio/base/mem.h"
#include "policy/policy_domain.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

struct domain {
	UT_hash_handle hh; /* in order of the last word about it */
	char name[POLICY_DOMAIN_BYTES];
	uint64_t passed, failed;
	enum policy_reason reason; /* of the last that would have failed */
	char host[POLICY_DOMAIN_BYTES];
	int64_t failed_s, heard_s;
};

struct plan_tally {
	struct domain *domains;
};

struct plan_tally *plan_tally_new(void)
{
	return mem_zero(sizeof(struct plan_tally));
}

static void drop(struct plan_tally *tally, struct domain *d)
{
	HASH_DEL(tally->domains, d);
	free(d);
}

void plan_tally_free(struct plan_tally **ptally)
{
	struct plan_tally *tally = *ptally;
	struct domain *d, *next;
	*ptally = NULL;
	if (!tally)
		return;
	HASH_ITER (hh, tally->domains, d, next)
		drop(tally, d);
	free(tally);
}

static struct domain *find(const struct plan_tally *tally, const char *domain)
{
	char name[POLICY_DOMAIN_BYTES];
	struct domain *d = NULL;
	if (policy_domain_parse(str_of(domain), name, NULL) == 0)
		HASH_FIND_STR(tally->domains, name, d);
	return d;
}

void plan_tally_add(struct plan_tally *tally, const char *domain, const char *host,
	enum policy_reason reason, int64_t now_s)
{
	struct domain *d = find(tally, domain);
	if (d) {
		HASH_DEL(tally->domains, d); /* to the end of the order */
	} else {
		d = mem_zero(sizeof(*d));
		if (policy_domain_parse(str_of(domain), d->name, NULL) < 0) {
			free(d);
			return;
		}
		if (HASH_COUNT(tally->domains) >= PLAN_TALLY_MOST)
			drop(tally, tally->domains);
	}
	HASH_ADD_STR(tally->domains, name, d);
	d->heard_s = now_s;
	if (reason == POLICY_REASON_NONE) {
		d->passed++;
		return;
	}
	d->failed++;
	d->reason = reason;
	d->failed_s = now_s;
	str_copy(str_of(host ? host : ""), d->host, sizeof(d->host));
}

void plan_tally_show(const struct plan_tally *tally, const char *domain, int64_t now_s,
	struct policy_plan *plan)
{
	const struct domain *d = find(tally, domain);
	char when[32] = "";
	struct tm tm;
	time_t at;
	if (!d)
		return;
	at = (time_t)d->failed_s;
	if (d->failed > 0 && gmtime_r(&at, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (d->failed > 0)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_TALLY, domain, "testing", -1,
			now_s - d->heard_s,
			"%" PRIu64 " deliveries would have passed, %" PRIu64
			" failed; the last: %s at host %s, %s",
			d->passed, d->failed, policy_reason_name(d->reason), d->host, when);
	else
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_TALLY, domain, "testing", -1,
			now_s - d->heard_s,
			"%" PRIu64 " deliveries would have passed, none failed", d->passed);
}
