/* Where policies are fetched from, and where not. */
#include "policy/sts/sts_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct netaddr address(const char *text)
{
	struct netaddr a;
	assert_int_equal(netaddr_parse(str_of(text), 443, &a, NULL), 0);
	return a;
}

static void public_addresses_are_fine(void **state)
{
	static const char *const texts[] = { "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255",
		"100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.0",
		"172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111",
		"2a00:1450::1", "2001:4860::8888", "2001:200::1", "3ffe::1", "64:ff9b::101:101",
		"2002:101:101::1" };
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct netaddr a = address(texts[i]);
		if (sts_address_objection(&a, false))
			fail_msg("%s: %s", texts[i], sts_address_objection(&a, false));
	}
}

static void inner_addresses_need_leave(void **state)
{
	static const struct {
		const char *text, *what;
	} inner[] = {
		{ "10.0.0.1", "a private" }, { "10.255.255.255", "a private" },
		{ "100.64.0.0", "behind a provider's NAT" },
		{ "100.127.255.255", "behind a provider's NAT" }, { "127.0.0.1", "a loopback" },
		{ "127.255.255.255", "a loopback" }, { "169.254.169.254", "a link-local" },
		{ "172.16.0.0", "a private" }, { "172.31.255.255", "a private" },
		{ "192.0.0.8", "a reserved" }, { "192.0.2.1", "documentation" },
		{ "192.88.99.1", "a reserved" }, { "192.168.0.1", "a private" },
		{ "198.18.0.1", "measurements" }, { "198.19.255.255", "measurements" },
		{ "198.51.100.7", "documentation" }, { "203.0.113.7", "documentation" },
		{ "::1", "a loopback" }, { "fc00::1", "a private" }, { "fdff::1", "a private" },
		{ "fe80::1", "a link-local" }, { "febf::1", "a link-local" },
		{ "fec0::1", "a private" }, { "2001:db8::1", "documentation" },
		{ "3fff::1", "documentation" }, { "2001::1", "a reserved" },
		{ "2001:2::1", "a reserved" }, { "100::1", "a reserved" }, { "4000::1", "a reserved" },
		{ "64:ff9b:1::1", "a reserved" }, { "64:ff9b::a00:1", "a private" },
		{ "2002:7f00:1::", "a loopback" }, { "::127.0.0.1", "a loopback" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
		struct netaddr a = address(inner[i].text);
		const char *what = sts_address_objection(&a, false);
		if (!what || !strstr(what, inner[i].what))
			fail_msg("%s: %s", inner[i].text, what ? what : "fine");
		assert_null(sts_address_objection(&a, true));
	}
}

static void nowhere_is_never_fine(void **state)
{
	static const char *const texts[] = { "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255",
		"240.0.0.1", "255.255.255.255", "::", "ff02::1", "64:ff9b::e000:1" };
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct netaddr a = address(texts[i]);
		assert_non_null(sts_address_objection(&a, false));
		assert_non_null(sts_address_objection(&a, true));
	}
	assert_non_null(sts_address_objection(&(struct netaddr){ .family = NETADDR_UNIX }, true));
}

/* As they come out of a AAAA record, not through a parser. */
static void wrapped_ipv4_addresses_are_judged_by_what_is_inside(void **state)
{
	struct netaddr a = { .family = NETADDR_IPV6, .port = 443 };
	(void)state;
	memcpy(a.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
	assert_string_equal(sts_address_objection(&a, false), "a loopback address");
	memcpy(a.bytes + 12, "\x0a\1\2\3", 4);
	assert_string_equal(sts_address_objection(&a, false), "a private address");
	memcpy(a.bytes + 12, "\x08\x08\x08\x08", 4);
	assert_null(sts_address_objection(&a, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_addresses_are_fine),
		cmocka_unit_test(inner_addresses_need_leave),
		cmocka_unit_test(nowhere_is_never_fine),
		cmocka_unit_test(wrapped_ipv4_addresses_are_judged_by_what_is_inside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
