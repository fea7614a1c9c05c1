#include "smtpd/socketmap/socketmap_request.h"

#include <string.h>

#include "libtlsio/base/netaddr.h"

enum { SMTP_PORT = 25 };

static void refuse(struct socketmap_request *r, const char *why)
{
	r->kind = SOCKETMAP_REFUSE;
	r->why = why;
}

static bool read_map(struct str name, enum socketmap_map *ret)
{
	static const char *const names[] = {
		[SOCKETMAP_POSTFIX] = "postfix",
		[SOCKETMAP_POSTFIX_TLSRPT] = "postfix-tlsrpt",
		[SOCKETMAP_SENDMAIL] = "sts",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (str_equal(name, str_of(names[i]))) {
			*ret = (enum socketmap_map)i;
			return true;
		}
	}
	return false;
}

/* Numbers, and the names that /etc/services has for ports of mail. */
static bool read_port(struct str text, uint16_t *ret)
{
	static const struct {
		const char *name;
		uint16_t port;
	} services[] = { { "smtp", 25 }, { "lmtp", 24 }, { "submission", 587 },
		{ "submissions", 465 }, { "smtps", 465 }, { "ssmtp", 465 } };
	uint64_t number;
	if (str_to_u64(text, UINT16_MAX, &number) && number > 0) {
		*ret = (uint16_t)number;
		return true;
	}
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		if (str_equal_nocase(text, str_of(services[i].name))) {
			*ret = services[i].port;
			return true;
		}
	}
	return false;
}

static bool has_control_byte(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if ((unsigned char)s.at[i] <= ' ' || s.at[i] == 0x7f)
			return true;
	return false;
}

/* Rules hold for addresses, too; nothing is looked up for them. */
static bool read_address(struct str text, struct socketmap_request *r)
{
	struct netaddr address;
	char ip[NETADDR_TEXT_BYTES];
	if (str_starts_nocase(text, STR("ipv6:")))
		text = str_skip(text, 5);
	if (netaddr_parse(text, r->port, &address, NULL) < 0)
		return false;
	r->question = POLICY_BY_HOST;
	r->port = address.port;
	str_copy(str_of(netaddr_format_ip(&address, ip)), r->next_hop, sizeof(r->next_hop));
	return true;
}

static void read_name(struct str name, struct socketmap_request *r)
{
	if (policy_domain_parse(name, r->next_hop, NULL) < 0)
		r->kind = SOCKETMAP_NOT_FOUND;
}

/* What stands behind the name: nothing, or ":port". */
static bool read_end(struct str end, struct socketmap_request *r)
{
	if (end.length == 0)
		return true;
	if (end.at[0] == ':' && read_port(str_skip(end, 1), &r->port))
		return true;
	refuse(r, "the port of the next hop is neither a number nor a service of mail");
	return false;
}

static void read_bracketed(struct str key, struct socketmap_request *r)
{
	size_t close = str_find(key, ']');
	if (close == key.length) {
		r->kind = SOCKETMAP_NOT_FOUND;
		return;
	}
	struct str inside = str_from(key.at + 1, close - 1);
	if (!read_end(str_skip(key, close + 1), r))
		return;
	r->question = POLICY_BY_HOST;
	if (!read_address(inside, r))
		read_name(inside, r);
}

static void read_key(struct str key, struct socketmap_request *r)
{
	if (has_control_byte(key)) {
		refuse(r, "the key holds a space or a byte that no name has");
	} else if (key.length == 0 || key.at[0] == '.') {
		r->kind = SOCKETMAP_NOT_FOUND;
	} else if (key.at[0] == '[') {
		read_bracketed(key, r);
	} else if (!read_address(key, r)) {
		size_t colon = str_find(key, ':');
		if (read_end(str_skip(key, colon), r))
			read_name(str_head(key, colon), r);
	}
}

void socketmap_request_read(struct str payload, struct socketmap_request *ret)
{
	size_t space = str_find(payload, ' ');
	memset(ret, 0, sizeof(*ret));
	ret->kind = SOCKETMAP_ASK;
	ret->question = POLICY_BY_MX;
	ret->port = SMTP_PORT;
	if (space == payload.length)
		refuse(ret, "a request is the name of a map, a space and a key");
	else if (!read_map(str_head(payload, space), &ret->map))
		refuse(ret, "there is no such map: the maps are postfix, postfix-tlsrpt and sts");
	else
		read_key(str_skip(payload, space + 1), ret);
}
