#include "smtpd/inbound/inbound_verdict.h"

#include <stdio.h>

struct str inbound_verdict_client_name(struct str host)
{
	if (host.length == 0 || host.at[0] == '[' || str_equal_nocase(host, STR("unknown")))
		return STR("");
	return host;
}

/* Without the brackets. */
static struct str address_of(struct str path)
{
	path = str_trim(path);
	if (path.length > 0 && path.at[0] == '<')
		path = str_skip(path, 1);
	if (path.length > 0 && path.at[path.length - 1] == '>')
		path = str_head(path, path.length - 1);
	return path;
}

struct str inbound_verdict_domain(struct str path)
{
	path = address_of(path);
	size_t at = str_find_last(path, '@');
	return at < path.length ? str_skip(path, at + 1) : STR("");
}

/* RFC 5321 4.5.1: <postmaster> hears from everybody, also from who cannot do TLS. */
static bool is_postmaster(struct str path)
{
	return str_equal_nocase(address_of(path), STR("postmaster"));
}

/* "info", "info@": not empty, and the MTA will find it a domain. */
static bool is_bare(struct str path)
{
	return address_of(path).length > 0 && inbound_verdict_domain(path).length == 0;
}

enum inbound_requiretls inbound_verdict_requiretls(struct str parameter)
{
	size_t equals = str_find(parameter, '=');
	if (!str_equal_nocase(str_head(parameter, equals), STR("REQUIRETLS")))
		return INBOUND_REQUIRETLS_NONE;
	return equals < parameter.length ? INBOUND_REQUIRETLS_MALFORMED : INBOUND_REQUIRETLS_WANTED;
}

/* As the mode says, though it is no rule of anybody's. */
static void refuse_value(enum policy_inbound_mode mode, struct policy_inbound_refusal *ret)
{
	bool is_for_now = mode == POLICY_INBOUND_TEMPFAIL;
	*ret = (struct policy_inbound_refusal){ .mode = mode, .code = is_for_now ? 451 : 501,
		.enhanced = is_for_now ? "4.5.4" : "5.5.4", .source = "RFC 8689",
		.text = "REQUIRETLS has no value: leave out the equals sign (RFC 8689)" };
}

/* A sender that promises TLS to the end began without it: nothing may be promised on. */
static bool is_requiretls_kept(const struct policy_inbound_facts *facts,
	enum inbound_requiretls requiretls, struct policy_inbound_refusal *ret)
{
	if (requiretls == INBOUND_REQUIRETLS_NONE)
		return true;
	if (facts->has_tls && requiretls == INBOUND_REQUIRETLS_MALFORMED) {
		refuse_value(facts->default_mode, ret);
		return false;
	}
	static const struct policy_inbound_demand tls = { .requires_tls = true };
	if (facts->has_tls)
		return true;
	struct policy_inbound_facts shown = { .default_mode = facts->default_mode };
	policy_inbound_demand_is_met(&tls, &shown, "REQUIRETLS", ret);
	snprintf(ret->text, sizeof(ret->text),
		"Must issue a STARTTLS command first: REQUIRETLS is for TLS only (RFC 8689)");
	ret->source = "RFC 8689";
	return false;
}

bool inbound_verdict_sender(const struct policy_inbound *rules,
	const struct policy_inbound_facts *facts, struct str sender,
	enum inbound_requiretls requiretls, struct policy_inbound_refusal *ret_refusal)
{
	struct policy_inbound_refusal by_rules;
	bool is_kept = is_requiretls_kept(facts, requiretls, ret_refusal);
	bool may_send = is_bare(sender) ?
		policy_inbound_may_send_bare(rules, facts, &by_rules) :
		policy_inbound_may_send(rules, facts, inbound_verdict_domain(sender), &by_rules);
	if (may_send)
		return is_kept;
	if (is_kept || by_rules.mode > ret_refusal->mode)
		*ret_refusal = by_rules;
	return false;
}

bool inbound_verdict_recipient(const struct policy_inbound *rules,
	const struct policy_inbound_facts *facts, struct str recipient,
	struct policy_inbound_refusal *ret_refusal)
{
	if (is_postmaster(recipient))
		return true;
	if (is_bare(recipient))
		return policy_inbound_may_receive_bare(rules, facts, ret_refusal);
	return policy_inbound_may_receive(rules, facts, inbound_verdict_domain(recipient),
		ret_refusal);
}
