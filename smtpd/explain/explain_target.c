#include "smtpd/explain/explain_target.h"

#include <stdio.h>

#include "libtlsio/base/netaddr.h"

static int parse_port(struct str text, uint16_t *ret, struct err *err)
{
	uint64_t number;
	if (!str_to_u64(text, 65535, &number) || number == 0)
		return err_set(err, ERR_INPUT, "\"%.*s\" is no port (1 to 65535)",
			text.length < 20 ? (int)text.length : 20, text.at);
	*ret = (uint16_t)number;
	return 0;
}

/* Gives the address inside, without "IPv6:" (RFC 5321 4.1.3). */
static int parse_literal(struct str inside, char ret[NETADDR_TEXT_BYTES], struct err *err)
{
	struct netaddr address;
	if (str_starts_nocase(inside, STR("IPv6:")))
		inside = str_skip(inside, 5);
	if (netaddr_parse(inside, 1, &address, err) < 0)
		return -1;
	netaddr_format_ip(&address, ret);
	return 0;
}

static int parse_bracketed(struct str text, bool may_be_host, struct explain_target *ret,
	struct err *err)
{
	char address[NETADDR_TEXT_BYTES];
	size_t close = str_find(text, ']');
	if (close == text.length)
		return err_set(err, ERR_INPUT, "\"[\" without \"]\"");
	struct str behind = str_skip(text, close + 1);
	if (parse_literal(str_skip(str_head(text, close), 1), address, err) < 0)
		return -1;
	if (behind.length == 0) {
		snprintf(ret->domain, sizeof(ret->domain), "[%s]", address);
		return 0;
	}
	if (behind.at[0] != ':' || !may_be_host)
		return err_set(err, ERR_INPUT, "write \"[address]\" or \"[address]:port\"");
	ret->is_host = true;
	snprintf(ret->domain, sizeof(ret->domain), "%s", address);
	return parse_port(str_skip(behind, 1), &ret->port, err);
}

int explain_target_parse(struct str text, struct explain_target *ret, struct err *err)
{
	struct netaddr address;
	size_t at = str_find_last(text, '@');
	bool has_user = at < text.length;
	*ret = (struct explain_target){ 0 };
	if (has_user)
		text = str_skip(text, at + 1);
	if (text.length == 0)
		return err_set(err, ERR_INPUT, "a domain is missing");
	if (text.at[0] == '[')
		return parse_bracketed(text, !has_user, ret, err);
	if (netaddr_parse(text, 0, &address, NULL) == 0)
		return err_set(err, ERR_INPUT, "an address is written as \"[address]:port\" (that host) or "
			"\"[address]\" (mail for user@[address])");
	size_t colon = str_find(text, ':');
	if (colon == text.length || has_user)
		return policy_domain_parse(text, ret->domain, err);
	ret->is_host = true;
	if (parse_port(str_skip(text, colon + 1), &ret->port, err) < 0)
		return -1;
	return policy_domain_parse(str_head(text, colon), ret->domain, err);
}
