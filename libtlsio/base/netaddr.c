#include "libtlsio/base/netaddr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>

static bool set_ip(const char *text, struct netaddr *a)
{
	if (inet_pton(AF_INET, text, a->bytes) == 1) {
		a->family = NETADDR_IPV4;
		return true;
	}
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET6, text, &six.sin6_addr) != 1)
		return false;
	uint16_t port = a->port;
	netaddr_from_sockaddr((struct sockaddr *)&six, a);
	a->port = port;
	return true;
}

int netaddr_parse(struct str text, uint16_t default_port, struct netaddr *ret, struct err *err)
{
	struct netaddr a = { .port = default_port };
	struct str host = text, port = { NULL, 0 };
	if (text.length && text.at[0] == '[') {
		size_t end = str_find(text, ']');
		if (end == text.length)
			return err_set(err, ERR_INPUT, "'%.*s': the ']' is missing", STR_ARGS(text));
		host = str_from(text.at + 1, end - 1);
		struct str rest = str_skip(text, end + 1);
		if (rest.length && rest.at[0] != ':')
			return err_set(err, ERR_INPUT, "'%.*s': expected ':port' behind ']'",
				STR_ARGS(text));
		if (rest.length)
			port = str_skip(rest, 1);
	} else {
		size_t colon = str_find(text, ':');
		if (colon < text.length && str_find_last(text, ':') == colon) {
			host = str_head(text, colon);
			port = str_skip(text, colon + 1);
		}
	}
	if (port.at) {
		uint64_t value;
		if (!str_to_u64(port, 65535, &value))
			return err_set(err, ERR_INPUT, "'%.*s': '%.*s' is not a port (0..65535)",
				STR_ARGS(text), STR_ARGS(port));
		a.port = (uint16_t)value;
	}
	char host_text[64];
	if (!str_copy(host, host_text, sizeof(host_text)) || !set_ip(host_text, &a))
		return err_set(err, ERR_INPUT, "'%.*s' is not an IP address", STR_ARGS(text));
	*ret = a;
	return 0;
}

void netaddr_from_sockaddr(const struct sockaddr *from, struct netaddr *ret)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	*ret = (struct netaddr){ 0 };
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *four = (const void *)from;
		ret->family = NETADDR_IPV4;
		ret->port = ntohs(four->sin_port);
		memcpy(ret->bytes, &four->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *six = (const void *)from;
		ret->port = ntohs(six->sin6_port);
		if (memcmp(&six->sin6_addr, mapped, 12) == 0) {
			ret->family = NETADDR_IPV4;
			memcpy(ret->bytes, (const char *)&six->sin6_addr + 12, 4);
		} else {
			ret->family = NETADDR_IPV6;
			memcpy(ret->bytes, &six->sin6_addr, 16);
		}
	} else if (from->sa_family == AF_UNIX) {
		ret->family = NETADDR_UNIX;
	}
}

socklen_t netaddr_to_sockaddr(const struct netaddr *from, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (from->family == NETADDR_IPV4) {
		struct sockaddr_in *four = (struct sockaddr_in *)ret;
		four->sin_family = AF_INET;
		four->sin_port = htons(from->port);
		memcpy(&four->sin_addr, from->bytes, 4);
		return sizeof(*four);
	}
	assert(from->family == NETADDR_IPV6);
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(from->port);
	memcpy(&six->sin6_addr, from->bytes, 16);
	return sizeof(*six);
}

const char *netaddr_format_ip(const struct netaddr *a, char *text)
{
	if (a->family == NETADDR_IPV4)
		inet_ntop(AF_INET, a->bytes, text, NETADDR_TEXT_BYTES);
	else if (a->family == NETADDR_IPV6)
		inet_ntop(AF_INET6, a->bytes, text, NETADDR_TEXT_BYTES);
	else
		snprintf(text, NETADDR_TEXT_BYTES, "%s",
			a->family == NETADDR_UNIX ? "unix" : "none");
	return text;
}

const char *netaddr_format(const struct netaddr *a, char *text)
{
	char ip[NETADDR_TEXT_BYTES];
	netaddr_format_ip(a, ip);
	if (a->family == NETADDR_IPV4)
		snprintf(text, NETADDR_TEXT_BYTES, "%.40s:%u", ip, a->port);
	else if (a->family == NETADDR_IPV6)
		snprintf(text, NETADDR_TEXT_BYTES, "[%.46s]:%u", ip, a->port);
	else
		snprintf(text, NETADDR_TEXT_BYTES, "%s", ip);
	return text;
}

bool netaddr_equal(const struct netaddr *a, const struct netaddr *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool netaddr_is_loopback(const struct netaddr *a)
{
	static const uint8_t one[16] = { [15] = 1 };
	if (a->family == NETADDR_IPV4)
		return a->bytes[0] == 127;
	return a->family == NETADDR_UNIX ||
	       (a->family == NETADDR_IPV6 && memcmp(a->bytes, one, 16) == 0);
}

static void clear_host_bits(struct netaddr *a, unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		if (bits >= 8 * (i + 1))
			continue;
		unsigned keep = bits > 8 * i ? bits - 8 * i : 0;
		a->bytes[i] &= (uint8_t)(0xff00 >> keep);
	}
}

int netaddr_net_parse(struct str text, struct netaddr_net *ret, struct err *err)
{
	size_t slash = str_find(text, '/');
	struct netaddr_net net;
	if (netaddr_parse(str_head(text, slash), 0, &net.address, err) < 0)
		return -1;
	if (net.address.port != 0)
		return err_set(err, ERR_INPUT, "'%.*s': a network has no port", STR_ARGS(text));
	uint64_t bits = net.address.family == NETADDR_IPV4 ? 32 : 128;
	if (slash < text.length && !str_to_u64(str_skip(text, slash + 1), bits, &bits))
		return err_set(err, ERR_INPUT, "'%.*s': the prefix length must be 0..%u",
			STR_ARGS(text), (unsigned)bits);
	net.prefix_bits = (uint8_t)bits;
	struct netaddr masked = net.address;
	clear_host_bits(&masked, (unsigned)bits);
	if (!netaddr_equal(&masked, &net.address)) {
		char right[NETADDR_TEXT_BYTES];
		return err_set(err, ERR_INPUT, "'%.*s' has host bits set; did you mean %s/%u?",
			STR_ARGS(text), netaddr_format_ip(&masked, right), (unsigned)bits);
	}
	*ret = net;
	return 0;
}

bool netaddr_net_contains(const struct netaddr_net *net, const struct netaddr *a)
{
	if (net->address.family != a->family)
		return false;
	struct netaddr masked = *a;
	masked.port = 0;
	clear_host_bits(&masked, net->prefix_bits);
	return netaddr_equal(&masked, &net->address);
}

struct netaddr netaddr_mask(const struct netaddr *a, unsigned ipv4_bits, unsigned ipv6_bits)
{
	struct netaddr masked = *a;
	masked.port = 0;
	clear_host_bits(&masked, a->family == NETADDR_IPV4 ? ipv4_bits : ipv6_bits);
	return masked;
}
