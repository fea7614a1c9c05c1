#include "policy/plan/plan_whole.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "policy/sts/sts_policy.h"

/* A name that is none was never looked up: nothing failed there. */
static bool has_failed(const struct plan_host *host)
{
	return host->state == PLAN_HOST_OUT && host->ttl_s != UINT32_MAX;
}

static void count_host(struct policy_plan_whole *w, const struct plan_host *host)
{
	if (host->state != PLAN_HOST_GOOD) {
		w->unknown_hosts += has_failed(host);
		return;
	}
	switch (w->uses_dane ? host->dane.state : POLICY_DANE_NOT_ASKED) {
	case POLICY_DANE_USABLE:
		w->dane_hosts++;
		break;
	case POLICY_DANE_UNUSABLE:
		w->unusable_hosts++;
		break;
	case POLICY_DANE_ERROR:
		w->unknown_hosts++;
		break;
	case POLICY_DANE_NOT_ASKED:
	case POLICY_DANE_ABSENT:
		w->plain_hosts++;
		break;
	}
}

/* RFC 8461 4.1: "*." stands for one label. */
static bool names(const char *pattern, const char *host)
{
	const char *dot = strchr(host, '.');
	if (strncmp(pattern, "*.", 2) == 0)
		return dot && strcmp(pattern + 1, dot) == 0;
	return strcmp(pattern, host) == 0;
}

static bool names_any(const struct plan_whole_facts *f, const char *pattern)
{
	for (size_t i = 0; i < f->host_count; i++)
		if (names(pattern, f->hosts[i]->name))
			return true;
	return false;
}

/* Bounded; those that matter now come first, so that it is not they who are left out. */
static void keep_patterns(struct policy_plan_whole *w, const struct plan_whole_facts *f,
	const struct sts_policy *policy)
{
	size_t bytes = 0;
	if (policy->mx_count)
		w->sts_mx = mem_array(policy->mx_count, sizeof(*w->sts_mx));
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < policy->mx_count; i++) {
			size_t length = strlen(policy->mx[i]) + 1;
			if (names_any(f, policy->mx[i]) != (pass == 0) ||
				bytes + length > PLAN_WHOLE_MX_BYTES_MOST)
				continue;
			bytes += length;
			w->sts_mx[w->sts_mx_count++] = mem_dup(policy->mx[i]);
		}
	}
}

static char *whole_lines(const struct sts_policy *policy)
{
	struct str text = str_from(policy->text, policy->text_bytes);
	if (text.length > PLAN_WHOLE_TEXT_BYTES_MOST) {
		text = str_head(text, PLAN_WHOLE_TEXT_BYTES_MOST);
		size_t end = str_find_last(text, '\n');
		text = str_head(text, end < text.length ? end : 0);
	}
	return mem_dup_bytes(text.at, text.length);
}

static void keep_policy(struct policy_plan_whole *w, const struct plan_whole_facts *f,
	const struct sts_policy *policy)
{
	w->sts_mode = policy->mode;
	if (policy->mode == POLICY_STS_NONE)
		return;
	keep_patterns(w, f, policy);
	w->sts_text = whole_lines(policy);
}

bool plan_whole_is_of(const struct policy_plan_whole *w, const struct sts_policy *policy)
{
	enum policy_sts_mode mode = policy ? policy->mode : POLICY_STS_NONE;
	if (mode != w->sts_mode)
		return false;
	if (mode == POLICY_STS_NONE)
		return true;
	char *lines = whole_lines(policy);
	bool is_same = w->sts_text && strcmp(lines, w->sts_text) == 0;
	free(lines);
	return is_same;
}

struct policy_plan_whole *plan_whole_new(const struct plan_whole_facts *f)
{
	struct policy_plan_whole *w = mem_zero(sizeof(*w));
	w->rule = policy_requirement_ref(f->rule->requirement);
	w->is_exception = f->rule->is_exception;
	w->is_general = f->rule->is_general;
	w->uses_dane = f->rule->uses_dane;
	w->is_by_mx = f->is_by_mx;
	w->is_mx_known = f->is_mx_known || !f->is_by_mx;
	w->is_mx_proven = f->is_mx_secure || !f->is_by_mx;
	for (size_t i = 0; i < f->host_count; i++)
		count_host(w, f->hosts[i]);
	if (!f->sts || !f->rule->uses_sts)
		return w;
	struct sts_policy *policy = NULL;
	if (!f->has_policy)
		policy = sts_known(f->sts, f->next_hop);
	else if (f->policy)
		policy = sts_policy_ref(f->policy);
	if (policy)
		keep_policy(w, f, policy);
	sts_policy_unref(&policy);
	return w;
}
