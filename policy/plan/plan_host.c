#include "policy/plan/plan_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "policy/plan/plan_host_parts.h"
#include "policy/policy_domain.h"
#include "policy/sts/sts_address.h"

bool plan_host_is_address(const char *name, uint16_t port, struct netaddr *ret)
{
	char inner[64];
	struct str text = str_of(name);
	if (text.length > 2 && text.at[0] == '[' && text.at[text.length - 1] == ']')
		text = str_from(text.at + 1, text.length - 2);
	if (str_starts_nocase(text, STR("IPv6:")))
		text = str_skip(text, 5);
	/* A port is not part of it: "192.0.2.1:25" is no address here. */
	if (str_find(text, ']') < text.length || !str_copy(text, inner, sizeof(inner)))
		return false;
	size_t colon = str_find(text, ':');
	if (colon < text.length && str_find_last(text, ':') == colon)
		return false;
	return netaddr_parse(text, port, ret, NULL) == 0;
}

void plan_host_count_ttl(struct plan_host *host, const struct dns_answer *answer)
{
	uint32_t ttl_s = answer->result == DNS_FAILED ? PLAN_FAILURE_TTL_S : answer->ttl_s;
	if (ttl_s < host->ttl_s)
		host->ttl_s = ttl_s;
}

static void cancel_all(struct plan_host_parts *p)
{
	for (size_t i = 0; i < FAMILIES; i++)
		dns_cancel(&p->families[i].question);
	dns_cancel(&p->question);
	tlsio_timer_stop(&p->timer);
}

void plan_host_end(struct plan_host *host, enum plan_host_state state)
{
	cancel_all(host->parts);
	host->state = state;
	if (state != PLAN_HOST_GOOD && host->parts->has_failed && host->ttl_s > PLAN_FAILURE_TTL_S)
		host->ttl_s = PLAN_FAILURE_TTL_S;
	if (!host->parts->is_starting && !host->parts->is_stopping)
		host->parts->on_over(host->parts->ctx);
}

static void end_out(struct plan_host *host, enum policy_reason reason, const char *text)
{
	host->reason = reason;
	free(host->text);
	host->text = mem_dup(text);
	/* Words of name servers: they end up in replies and logs. */
	for (char *at = host->text; *at; at++)
		*at = (*at < ' ' || *at > '~') ? '?' : *at;
	plan_host_end(host, PLAN_HOST_OUT);
}

/* ---- addresses -------------------------------------------------------------------------------- */

static void note_addresses(struct plan_host *host, const struct family *f,
	const struct dns_answer *answer)
{
	char text[500], ip[NETADDR_TEXT_BYTES];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s", dns_type_name(f->type));
	if (!host->notes)
		return;
	for (size_t i = 0; i < f->count && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, " %s",
			netaddr_format_ip(&f->addresses[i], ip));
	if (answer->result != DNS_FOUND && used < sizeof(text))
		used += (size_t)snprintf(text + used, sizeof(text) - used, ": %s",
			answer->result == DNS_FAILED    ? answer->why
			: answer->result == DNS_NO_NAME ? "no such name"
							: "none");
	if (answer->is_alias && used < sizeof(text))
		snprintf(text + used, sizeof(text) - used, " (%s is an alias of %s)", host->name,
			answer->canonical);
	policy_plan_add_evidence(host->notes, POLICY_EVIDENCE_ADDRESS, host->name,
		dns_verdict_name(answer->result, answer->security),
		answer->result == DNS_FAILED ? -1 : (int64_t)answer->ttl_s, answer->age_s, "%s", text);
}

/* Families alternate, the newer first, so that a host without a way for one is reached soon. */
static void join_addresses(struct plan_host *host)
{
	struct family *f = host->parts->families;
	for (size_t i = 0; i < POLICY_PLAN_ADDRESSES_MOST; i++) {
		for (size_t j = FAMILIES; j-- > 0;) {
			if (i < f[j].count && host->address_count < POLICY_PLAN_ADDRESSES_MOST)
				host->addresses[host->address_count++] = f[j].addresses[i];
		}
	}
}

static void end_without_address(struct plan_host *host)
{
	char text[500];
	const struct family *f = host->parts->families;
	const struct family *failed = f[0].result == DNS_FAILED ? &f[0]
		: f[1].result == DNS_FAILED			? &f[1]
								: NULL;
	if (host->parts->refused.family != NETADDR_NONE) {
		char ip[NETADDR_TEXT_BYTES];
		snprintf(text, sizeof(text), "host %s has no address that leads away from this "
			"machine (%s): mail would come back to us, or go nowhere", host->name,
			netaddr_format_ip(&host->parts->refused, ip));
		end_out(host, POLICY_REASON_NONE, text);
		return;
	}
	if (!failed) {
		bool is_there = f[0].result == DNS_NO_DATA || f[1].result == DNS_NO_DATA;
		snprintf(text, sizeof(text), is_there ? "host %s has no address"
						      : "there is no host %s (no such name)",
			host->name);
		host->text = mem_dup(text);
		host->is_secure = f[0].security == DNS_SECURE && f[1].security == DNS_SECURE;
		plan_host_end(host, PLAN_HOST_NO_ADDRESS);
		return;
	}
	bool is_bogus = f[0].security == DNS_BOGUS || f[1].security == DNS_BOGUS;
	if (is_bogus && failed->security != DNS_BOGUS)
		failed = &f[1];
	snprintf(text, sizeof(text),
		is_bogus ? "the address of host %s cannot be trusted: DNSSEC validation failed (%s: %s)"
			 : "the address of host %s could not be looked up (%s: %s)",
		host->name, dns_type_name(failed->type), failed->why);
	end_out(host, is_bogus ? POLICY_REASON_DNSSEC_INVALID : POLICY_REASON_NONE, text);
}

/* Both families are in, or one is and patience with the other is over. */
static void on_addresses(struct plan_host *host)
{
	struct plan_host_parts *p = host->parts;
	bool is_secure = true;
	const char *canonical = NULL;
	for (size_t i = 0; i < FAMILIES; i++) {
		struct family *f = &p->families[i];
		dns_cancel(&f->question);
		if (f->count == 0)
			continue;
		is_secure = is_secure && f->security == DNS_SECURE;
		if (f->canonical)
			canonical = f->canonical;
	}
	join_addresses(host);
	if (host->address_count == 0)
		end_without_address(host);
	else
		plan_host_find_dane(host, is_secure, canonical);
}

/* Whoever owns a domain says where its mail goes, but not to our own doors or nowhere. */
static bool leads_away(const struct netaddr *a)
{
	bool is_link_local = a->family == NETADDR_IPV4 ? a->bytes[0] == 169 && a->bytes[1] == 254
						       : a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
	return !netaddr_is_loopback(a) && !is_link_local && !sts_address_objection(a, true);
}

static void read_addresses(struct family *f, const struct dns_answer *answer, uint16_t port)
{
	size_t bytes = f->type == DNS_A ? 4 : 16;
	for (size_t i = 0; i < answer->count && f->count < POLICY_PLAN_ADDRESSES_MOST; i++) {
		struct netaddr *a = &f->addresses[f->count];
		if (answer->records[i].data.length != bytes)
			continue;
		memset(a, 0, sizeof(*a));
		a->family = f->type == DNS_A ? NETADDR_IPV4 : NETADDR_IPV6;
		a->port = port;
		memcpy(a->bytes, answer->records[i].data.at, bytes);
		if (f->host->parts->is_by_mx && !leads_away(a))
			f->host->parts->refused = *a;
		else
			f->count++;
	}
}

static void on_address(void *ctx, const struct dns_answer *answer)
{
	struct family *f = ctx;
	struct plan_host *host = f->host;
	struct plan_host_parts *p = host->parts;
	f->question = NULL;
	f->is_in = true;
	f->result = answer->result;
	f->security = answer->security;
	if (answer->result == DNS_FOUND) {
		read_addresses(f, answer, p->port);
		if (answer->is_alias)
			f->canonical = mem_dup(answer->canonical);
	} else if (answer->result == DNS_FAILED) {
		f->why = mem_dup(answer->why);
		p->has_failed = true;
	}
	plan_host_count_ttl(host, answer);
	note_addresses(host, f, answer);
	if ((p->families[0].is_in && p->families[1].is_in) || (f->count > 0 && p->is_impatient))
		on_addresses(host);
}

static void give_up_family(struct family *f)
{
	static const struct dns_answer silence = { .result = DNS_FAILED,
		.why = "no answer in time" };
	if (f->is_in)
		return;
	dns_cancel(&f->question);
	f->is_in = true;
	f->result = DNS_FAILED;
	f->why = mem_dup(silence.why);
	f->host->parts->has_failed = true;
	plan_host_count_ttl(f->host, &silence);
	note_addresses(f->host, f, &silence);
}

static void give_up_addresses(struct plan_host *host)
{
	for (size_t i = 0; i < FAMILIES; i++)
		give_up_family(&host->parts->families[i]);
	on_addresses(host);
}

static void on_due(void *ctx)
{
	struct plan_host *host = ctx;
	struct plan_host_parts *p = host->parts;
	bool has_any = p->families[0].count > 0 || p->families[1].count > 0;
	if (!p->is_impatient) {
		p->is_impatient = true;
		tlsio_timer_start(&p->timer, PLAN_HOST_LIMIT_MS - PLAN_HOST_PATIENCE_MS);
		if (!p->is_dane && has_any)
			give_up_addresses(host);
		return;
	}
	if (p->is_dane)
		plan_host_give_up_dane(host);
	else
		give_up_addresses(host);
}

/* ---- from outside ----------------------------------------------------------------------------- */

void plan_host_begin(struct plan_host *host)
{
	struct plan_host_parts *p = host->parts;
	tlsio_timer_start(&p->timer, PLAN_HOST_PATIENCE_MS);
	for (size_t i = 0; i < FAMILIES; i++)
		p->families[i].question = dns_ask(p->dns, host->name, p->families[i].type, on_address,
			&p->families[i]);
}

static void look_at_name(struct plan_host *host, bool may_be_address)
{
	char name[POLICY_DOMAIN_BYTES], text[400];
	struct netaddr address;
	if (plan_host_is_address(host->name, host->parts->port, &address)) {
		if (may_be_address) {
			char ip[NETADDR_TEXT_BYTES];
			free(host->name);
			host->name = mem_dup(netaddr_format_ip(&address, ip));
			host->addresses[host->address_count++] = address;
			plan_host_end(host, PLAN_HOST_GOOD);
			return;
		}
		snprintf(text, sizeof(text), "the MX record names an address (%s); RFC 5321 wants "
			"the name of a host", host->name);
		end_out(host, POLICY_REASON_NONE, text);
	} else if (policy_domain_parse(str_of(host->name), name, NULL) < 0) {
		snprintf(text, sizeof(text), "\"%.200s\" is not the name of a host", host->name);
		end_out(host, POLICY_REASON_NONE, text);
	} else {
		free(host->name);
		host->name = mem_dup(name);
	}
}

struct plan_host *plan_host_new(const struct plan_host_setup *setup)
{
	struct plan_host *host = mem_zero(sizeof(*host));
	struct plan_host_parts *p = mem_zero(sizeof(*p));
	host->parts = p;
	host->name = mem_dup(setup->name);
	host->preference = setup->preference;
	host->ttl_s = UINT32_MAX;
	if (setup->wants_evidence)
		host->notes = policy_plan_new("", "");
	p->dns = setup->dns;
	p->port = setup->port;
	p->uses_dane = setup->uses_dane;
	p->is_by_mx = setup->is_by_mx;
	p->next_hop = setup->next_hop;
	p->next_hop_canonical = setup->next_hop_canonical;
	p->is_own_reference = setup->is_own_reference;
	p->on_over = setup->on_over;
	p->ctx = setup->ctx;
	p->families[0].type = DNS_A;
	p->families[1].type = DNS_AAAA;
	for (size_t i = 0; i < FAMILIES; i++)
		p->families[i].host = host;
	tlsio_timer_init(&p->timer, setup->loop, on_due, host);
	p->is_starting = true;
	look_at_name(host, setup->may_be_address);
	p->is_starting = false;
	return host;
}

void plan_host_stop(struct plan_host *host)
{
	struct plan_host_parts *p = host->parts;
	if (host->state != PLAN_HOST_OPEN)
		return;
	p->is_stopping = true;
	if (!p->is_dane)
		give_up_addresses(host);
	/* The addresses may have been enough to begin with DANE. */
	if (host->state == PLAN_HOST_OPEN)
		plan_host_give_up_dane(host);
}

void plan_host_free(struct plan_host **phost)
{
	struct plan_host *host = *phost;
	*phost = NULL;
	if (!host)
		return;
	struct plan_host_parts *p = host->parts;
	cancel_all(p);
	for (size_t i = 0; i < FAMILIES; i++) {
		free(p->families[i].canonical);
		free(p->families[i].why);
	}
	plan_host_clear_dane(host);
	free(p);
	policy_plan_unref(&host->notes);
	free(host->text);
	free(host->name);
	free(host);
}

const char *plan_host_open_words(const struct plan_host *host, char *into, size_t capacity)
{
	const struct plan_host_parts *p = host->parts;
	if (p->question)
		snprintf(into, capacity, "%s %s", p->asked, p->bases_asked ? "TLSA" : "CNAME");
	else
		snprintf(into, capacity, "%s %s", host->name,
			p->families[0].is_in   ? "AAAA"
			: p->families[1].is_in ? "A"
					       : "A and AAAA");
	return into;
}
