/* netaddr: an IP address (or unix path) with port, and networks of addresses.
 *
 * For:     listeners, dialling, per-client limits and rules.
 * Promise: IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) are stored as the IPv4 address, so one
 *          rule speaks of both; plain data, may be copied and compared with netaddr_equal.
 */
#ifndef LIBTLSIO_BASE_NETADDR_H
#define LIBTLSIO_BASE_NETADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

#define NETADDR_TEXT_BYTES 56 /* "[" IPv6 "]:" port and NUL */

enum netaddr_family { NETADDR_NONE, NETADDR_IPV4, NETADDR_IPV6, NETADDR_UNIX };

struct netaddr {
	uint8_t family; /* enum netaddr_family */
	uint16_t port;
	uint8_t bytes[16]; /* IPv4 in the first four; all zero for unix and none */
};

struct netaddr_net {
	struct netaddr address; /* host bits zero */
	uint8_t prefix_bits;	/* 0..32 or 0..128 */
};

/* "192.0.2.1", "192.0.2.1:25", "2001:db8::1", "[2001:db8::1]:25"; without a port: default_port. */
int netaddr_parse(struct str text, uint16_t default_port, struct netaddr *ret, struct err *err);
void netaddr_from_sockaddr(const struct sockaddr *from, struct netaddr *ret);
/* Returns the length for bind/connect. NETADDR_IPV4 and NETADDR_IPV6 only. */
socklen_t netaddr_to_sockaddr(const struct netaddr *from, struct sockaddr_storage *ret);
/* "192.0.2.1:25", "[2001:db8::1]:25", "unix"; text holds NETADDR_TEXT_BYTES. Returns text. */
const char *netaddr_format(const struct netaddr *a, char *text);
/* The address alone: "192.0.2.1", "2001:db8::1". Returns text. */
const char *netaddr_format_ip(const struct netaddr *a, char *text);
bool netaddr_equal(const struct netaddr *a, const struct netaddr *b);
bool netaddr_is_loopback(const struct netaddr *a);

/* "192.0.2.0/24", "2001:db8::/32", or a single address. Host bits must be zero. */
int netaddr_net_parse(struct str text, struct netaddr_net *ret, struct err *err);
bool netaddr_net_contains(const struct netaddr_net *net, const struct netaddr *a);
/* The address cut to prefix bits, port 0: the key by which clients are counted together. */
struct netaddr netaddr_mask(const struct netaddr *a, unsigned ipv4_bits, unsigned ipv6_bits);

#endif
