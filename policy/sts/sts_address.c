#include "policy/sts/sts_address.h"

#include <string.h>

struct block {
	uint8_t first[6];
	uint8_t bits;
	bool is_nowhere; /* not even inside: nobody has such an address */
	const char *what;
};

static const struct block ipv4_blocks[] = {
	{ { 0 }, 8, true, "no address of a host" },
	{ { 10 }, 8, false, "a private address" },
	{ { 100, 64 }, 10, false, "an address behind a provider's NAT" },
	{ { 127 }, 8, false, "a loopback address" },
	{ { 169, 254 }, 16, false, "a link-local address" },
	{ { 172, 16 }, 12, false, "a private address" },
	{ { 192, 0, 0 }, 24, false, "a reserved address" },
	{ { 192, 0, 2 }, 24, false, "an address for documentation" },
	{ { 192, 88, 99 }, 24, false, "a reserved address" },
	{ { 192, 168 }, 16, false, "a private address" },
	{ { 198, 18 }, 15, false, "an address for measurements" },
	{ { 198, 51, 100 }, 24, false, "an address for documentation" },
	{ { 203, 0, 113 }, 24, false, "an address for documentation" },
	{ { 224 }, 4, true, "a multicast address" },
	{ { 240 }, 4, true, "a reserved address" },
};

/* What is not below 2000::/3 is refused anyway; these have better words, or are below it. */
static const struct block ipv6_blocks[] = {
	{ { 0xfc }, 7, false, "a private address" },
	{ { 0xfe, 0x80 }, 10, false, "a link-local address" },
	{ { 0xfe, 0xc0 }, 10, false, "a private address" },
	{ { 0xff }, 8, true, "a multicast address" },
	{ { 0x20, 0x01, 0x00, 0x00 }, 23, false, "a reserved address" }, /* Teredo and the like */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, false, "an address for documentation" },
	{ { 0x3f, 0xff }, 20, false, "an address for documentation" },
};

static bool is_in(const uint8_t *bytes, const struct block *block)
{
	unsigned whole = block->bits / 8, rest = block->bits % 8;
	if (memcmp(bytes, block->first, whole) != 0)
		return false;
	return rest == 0 || (bytes[whole] >> (8 - rest)) == (block->first[whole] >> (8 - rest));
}

static const char *objection_of(const uint8_t *bytes, const struct block *blocks, size_t count,
	bool allows_private)
{
	for (size_t i = 0; i < count; i++)
		if (is_in(bytes, &blocks[i]))
			return blocks[i].is_nowhere || !allows_private ? blocks[i].what : NULL;
	return NULL;
}

static const char *ipv4_objection(const uint8_t *bytes, bool allows_private)
{
	return objection_of(bytes, ipv4_blocks, sizeof(ipv4_blocks) / sizeof(ipv4_blocks[0]),
		allows_private);
}

/* Where in the IPv6 address the IPv4 one stands that packets will go to; 0: there is none. */
static size_t wrapped_at(const uint8_t *b)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const uint8_t compatible[12] = { 0 };
	if (memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0)
		return 12;
	if (b[0] == 0x20 && b[1] == 0x02) /* 6to4 */
		return 2;
	return memcmp(b, compatible, 12) == 0 && (b[12] || b[13] || b[14]) ? 12 : 0;
}

static const char *ipv6_objection(const uint8_t *b, bool allows_private)
{
	static const uint8_t loopback[16] = { [15] = 1 };
	static const uint8_t none[16] = { 0 };
	if (memcmp(b, none, 16) == 0)
		return "no address of a host";
	if (memcmp(b, loopback, 16) == 0)
		return allows_private ? NULL : "a loopback address";
	size_t at = wrapped_at(b);
	if (at > 0)
		return ipv4_objection(b + at, allows_private);
	const char *what = objection_of(b, ipv6_blocks,
		sizeof(ipv6_blocks) / sizeof(ipv6_blocks[0]), allows_private);
	if (what || allows_private)
		return what;
	return (b[0] & 0xe0) == 0x20 ? NULL : "a reserved address";
}

const char *sts_address_objection(const struct netaddr *address, bool allows_private)
{
	if (address->family == NETADDR_IPV4)
		return ipv4_objection(address->bytes, allows_private);
	if (address->family == NETADDR_IPV6)
		return ipv6_objection(address->bytes, allows_private);
	return "no address of a host";
}
