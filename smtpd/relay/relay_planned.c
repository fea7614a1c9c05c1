#include "smtpd/relay/relay_planned.h"

#include <stdlib.h>
#include <string.h>

#include "smtpd/relay/relay_outcome.h"

/* So many hosts get a try whatever attempts_most says. */
#define HOSTS_AT_LEAST 5

struct ordered {
	const struct policy_plan_host *host;
	uint32_t random;
	size_t addresses; /* to be tried */
};

static int compare(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;
	if (x->host->preference != y->host->preference)
		return x->host->preference < y->host->preference ? -1 : 1;
	return x->random < y->random ? -1 : x->random > y->random;
}

bool relay_planned_is_foreign(const struct relay_destination *d, const struct policy_plan *plan)
{
	return plan->state == POLICY_PLAN_READY &&
		strcmp(plan->rule_fingerprint, d->rule_fingerprint) != 0;
}

/* For good only where it is said of the recipient's own domain: a host or smart host that the route
 * names can be mended, and the mail waits for that. */
static void end_for_good(struct relay_outcome *ret, const struct policy_plan *plan,
	const struct relay_destination *d, const char *text)
{
	/* a host in it: the domain is there, but it has neither MX nor address */
	const char *no_domain = plan->host_count > 0 ? "5.4.4" : "5.1.2";
	if (!d->by_mx || strcmp(d->domain, d->rule_domain) != 0)
		relay_outcome_set(ret, RELAY_DEFERRED, "4.4.4",
			"the route of this mail leads nowhere: %s", text);
	else if (plan->state == POLICY_PLAN_NO_MAIL)
		relay_outcome_set(ret, RELAY_FAILED, "5.1.10", "%s", text);
	else
		relay_outcome_set(ret, RELAY_FAILED, no_domain, "%s", text);
}

static void end(struct relay_outcome *ret, const struct policy_plan *plan,
	const struct relay_destination *d)
{
	const char *text = plan->text ? plan->text : "the plan says no more";
	if (plan->state == POLICY_PLAN_DEFER)
		relay_outcome_set(ret, RELAY_DEFERRED,
			plan->reason == POLICY_REASON_NONE || plan->is_unanswered ? "4.4.3" :
										    "4.7.5",
			"%s", text);
	else
		end_for_good(ret, plan, d, text);
}

static void note_unusable(struct relay_causes *causes, const struct policy_plan_host *host)
{
	struct relay_outcome outcome = { 0 };
	bool is_policy = !host->requirement && host->reason != POLICY_REASON_NONE;
	const char *why = host->text && host->text[0] ? host->text :
		host->requirement ? "it has no address" : policy_reason_name(host->reason);
	bool is_named = strstr(why, host->name) != NULL;
	relay_outcome_set(&outcome, RELAY_DEFERRED,
		is_policy ? "4.7.5" : host->requirement ? "4.4.4" : "4.4.3", "%s%s%s",
		is_named ? "" : host->name, is_named ? "" : ": ", why);
	relay_causes_note(causes, host->name, &outcome, is_policy);
}

/* Hosts that may be used, best first; what is wrong with the others is noted. */
static size_t order(const struct policy_plan *plan, const struct relay_planned_by *by,
	struct ordered *hosts, struct relay_causes *causes)
{
	size_t count = 0;
	for (size_t i = 0; i < plan->host_count && count < POLICY_PLAN_HOSTS_MOST; i++) {
		const struct policy_plan_host *host = &plan->hosts[i];
		if (host->requirement && host->address_count > 0)
			hosts[count++] = (struct ordered){ host, by->random(), 0 };
		else
			note_unusable(causes, host);
	}
	qsort(hosts, count, sizeof(*hosts), compare);
	return count;
}

/* RFC 5321 section 5.1: this server in the list ends it, or mail would go round. */
static bool find_self(const struct policy_plan *plan, const struct relay_planned_by *by,
	unsigned *ret_preference)
{
	bool is_found = false;
	for (size_t i = 0; by->destination->by_mx && i < plan->host_count; i++) {
		const struct policy_plan_host *host = &plan->hosts[i];
		if (!str_equal_nocase(str_of(host->name), str_of(by->hostname)))
			continue;
		if (!is_found || host->preference < *ret_preference)
			*ret_preference = host->preference;
		is_found = true;
	}
	return is_found;
}

static size_t cut_at_self(const struct policy_plan *plan, const struct relay_planned_by *by,
	struct ordered *hosts, size_t count, struct relay_causes *causes)
{
	unsigned own;
	if (!find_self(plan, by, &own))
		return count;
	while (count > 0 && hosts[count - 1].host->preference >= own)
		count--;
	if (count == 0) {
		struct relay_outcome outcome = { 0 };
		relay_outcome_set(&outcome, RELAY_DEFERRED, "4.4.6", "the MX records of %s lead to "
			"this server (%s) itself, and no route here says where its mail is kept",
			plan->next_hop, by->hostname);
		relay_causes_note(causes, by->hostname, &outcome, false);
	}
	return count;
}

/* One address for each host first, then further ones of the best. */
static void share_out(struct ordered *hosts, size_t count, size_t attempts_most)
{
	size_t left = attempts_most < RELAY_CANDIDATES_MOST ? attempts_most :
							      RELAY_CANDIDATES_MOST;
	for (size_t i = 0; i < count && (left > 0 || i < HOSTS_AT_LEAST); i++) {
		hosts[i].addresses = 1;
		left -= left > 0;
	}
	for (size_t i = 0; i < count; i++) {
		while (left > 0 && hosts[i].addresses < hosts[i].host->address_count) {
			hosts[i].addresses++;
			left--;
		}
	}
}

bool relay_planned_read(const struct policy_plan *plan, const struct relay_planned_by *by,
	struct relay_candidates *candidates, struct relay_causes *causes,
	struct relay_outcome *ret)
{
	struct ordered hosts[POLICY_PLAN_HOSTS_MOST];
	const struct relay_destination *d = by->destination;
	if (relay_planned_is_foreign(d, plan)) {
		relay_outcome_set(ret, RELAY_DEFERRED, "4.3.5",
			"postern-policyd works by other rules than this process; tried again shortly");
		return false;
	}
	if (plan->state != POLICY_PLAN_READY) {
		end(ret, plan, d);
		return false;
	}
	size_t count = order(plan, by, hosts, causes);
	count = cut_at_self(plan, by, hosts, count, causes);
	share_out(hosts, count, by->attempts_most);
	for (size_t i = 0; i < count; i++)
		for (size_t a = 0; a < hosts[i].addresses; a++)
			relay_candidates_add(candidates, relay_hop_of_plan(d, hosts[i].host,
				&hosts[i].host->addresses[a]), hosts[i].host->preference, (unsigned)i);
	if (candidates->count > 0)
		return true;
	if (causes->count > 0)
		relay_causes_outcome(causes, d->by_mx ? plan->next_hop : "", ret);
	else
		relay_outcome_set(ret, RELAY_DEFERRED, "4.4.3", "no host was found for %s",
			plan->next_hop);
	return false;
}
