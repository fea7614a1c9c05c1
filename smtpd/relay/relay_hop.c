#include "smtpd/relay/relay_hop.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"

/* The testing requirement is in it because its authorities and names shape the handshake, too: what
 * was learned without them cannot be judged by them. */
static void set_key(struct relay_hop *hop)
{
	struct buf key = { 0 };
	char address[NETADDR_TEXT_BYTES];
	buf_append_text(&key, hop->transport == RELAY_LMTP ? "lmtp" : hop->implicit_tls ? "smtps" :
		"smtp");
	buf_printf(&key, " %s %s %s/%s", relay_hop_name(hop),
		netaddr_format(&hop->address, address),
		policy_level_name(hop->requirement->level), hop->requirement->fingerprint);
	if (hop->testing)
		buf_printf(&key, " testing/%s", hop->testing->fingerprint);
	hop->key = buf_take(&key);
}

struct relay_hop *relay_hop_new(const struct relay_hop *from)
{
	struct relay_hop *hop = mem_zero(sizeof(*hop));
	*hop = *from;
	hop->references = 1;
	hop->host = mem_dup(from->host);
	hop->path = mem_dup(from->path);
	hop->requirement = policy_requirement_ref(from->requirement);
	hop->testing = policy_requirement_ref(from->testing);
	for (size_t i = 0; i < from->report_count; i++)
		policy_report_copy(&from->reports[i], &hop->reports[i]);
	set_key(hop);
	return hop;
}

struct relay_hop *relay_hop_of_route(const struct relay_destination *d,
	const struct netaddr *address)
{
	struct relay_hop hop = { .transport = d->transport, .host = d->host, .path = d->path,
		.address = { .family = NETADDR_UNIX }, .implicit_tls = d->implicit_tls,
		.requirement = d->requirement };
	if (address) {
		hop.address = *address;
		hop.address.port = d->port;
	}
	return relay_hop_new(&hop);
}

struct relay_hop *relay_hop_of_plan(const struct relay_destination *d,
	const struct policy_plan_host *host, const struct netaddr *address)
{
	struct relay_hop hop = { .transport = d->transport, .host = host->name,
		.address = *address, .implicit_tls = d->implicit_tls,
		.requirement = host->requirement, .is_planned = true,
		.is_domain_proven = host->is_domain_proven, .testing = host->testing,
		.testing_reason = host->testing_reason,
		.report_count = host->report_count };
	memcpy(hop.reports, host->reports, sizeof(hop.reports)); /* relay_hop_new copies what they hold */
	return relay_hop_new(&hop);
}

struct relay_hop *relay_hop_ref(struct relay_hop *hop)
{
	hop->references++;
	return hop;
}

void relay_hop_unref(struct relay_hop **ref)
{
	struct relay_hop *hop = *ref;
	*ref = NULL;
	if (!hop || --hop->references > 0)
		return;
	policy_requirement_unref(&hop->requirement);
	policy_requirement_unref(&hop->testing);
	for (size_t i = 0; i < hop->report_count; i++)
		policy_report_clear(&hop->reports[i]);
	free(hop->key);
	free(hop->host);
	free(hop->path);
	free(hop);
}

const char *relay_hop_name(const struct relay_hop *hop)
{
	return hop->host ? hop->host : hop->path;
}

const char *relay_hop_proof(const struct relay_hop *hop, bool is_verified)
{
	if (!is_verified)
		return "no";
	return !hop->is_planned ? "yes" : hop->is_domain_proven ? "domain" : "host";
}
