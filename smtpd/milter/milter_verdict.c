#include "smtpd/milter/milter_verdict.h"

#include <stdio.h>

struct str milter_verdict_client_name(const char *host)
{
	struct str name = str_of(host);
	if (name.length == 0 || name.at[0] == '[' || str_equal_nocase(name, STR("unknown")))
		return STR("");
	return name;
}

struct str milter_verdict_domain(struct str path)
{
	path = str_trim(path);
	if (path.length > 0 && path.at[0] == '<')
		path = str_skip(path, 1);
	if (path.length > 0 && path.at[path.length - 1] == '>')
		path = str_head(path, path.length - 1);
	size_t at = str_find_last(path, '@');
	return at < path.length ? str_skip(path, at + 1) : STR("");
}

static struct policy_inbound_facts gather(const struct milter_settings *settings,
	const struct milter_client *client, const struct milter_facts *facts)
{
	return (struct policy_inbound_facts){
		.client = client->address,
		.client_name = client->name,
		.daemon = client->daemon,
		.port = client->port,
		.has_tls = facts->is_tls,
		.version = facts->version,
		.cipher = str_of(facts->cipher),
		.bits = facts->bits,
		.certificate = facts->certificate,
		.certificate_fault = str_of(facts->verify),
		.common_name = str_of(facts->common_name),
		.default_mode = settings->mode,
	};
}

/* A sender that promises TLS to the end began without it: nothing may be promised on. */
static bool is_requiretls_kept(const struct milter_settings *settings,
	const struct milter_facts *facts, struct policy_inbound_refusal *ret)
{
	static const struct policy_inbound_demand tls = { .requires_tls = true };
	if (facts->is_tls)
		return true;
	struct policy_inbound_facts shown = { .default_mode = settings->mode };
	policy_inbound_demand_is_met(&tls, &shown, "REQUIRETLS", ret);
	snprintf(ret->text, sizeof(ret->text),
		"Must issue a STARTTLS command first: REQUIRETLS is for TLS only (RFC 8689)");
	ret->source = "RFC 8689";
	return false;
}

bool milter_verdict_sender(const struct milter_settings *settings,
	const struct policy_inbound *rules, const struct milter_client *client,
	const struct milter_facts *facts, struct str sender, bool wants_requiretls,
	struct policy_inbound_refusal *ret_refusal)
{
	struct policy_inbound_facts shown = gather(settings, client, facts);
	struct policy_inbound_refusal by_rules;
	bool is_kept = !wants_requiretls || is_requiretls_kept(settings, facts, ret_refusal);
	if (policy_inbound_may_send(rules, &shown, milter_verdict_domain(sender), &by_rules))
		return is_kept;
	if (is_kept || by_rules.mode > ret_refusal->mode)
		*ret_refusal = by_rules;
	return false;
}

bool milter_verdict_recipient(const struct milter_settings *settings,
	const struct policy_inbound *rules, const struct milter_client *client,
	const struct milter_facts *facts, struct str recipient,
	struct policy_inbound_refusal *ret_refusal)
{
	struct policy_inbound_facts shown = gather(settings, client, facts);
	return policy_inbound_may_receive(rules, &shown, milter_verdict_domain(recipient),
		ret_refusal);
}
