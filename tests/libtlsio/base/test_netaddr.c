#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <netinet/in.h>

#include <cmocka.h>

#include "libtlsio/base/netaddr.h"

static void parses_and_prints_addresses(void **state)
{
	(void)state;
	static const struct {
		const char *text, *printed; /* NULL: refused */
	} table[] = {
		{ "192.0.2.1", "192.0.2.1:25" },
		{ "192.0.2.1:2525", "192.0.2.1:2525" },
		{ "192.0.2.1:0", "192.0.2.1:0" },
		{ "2001:db8::1", "[2001:db8::1]:25" },
		{ "[2001:DB8:0:0::1]:465", "[2001:db8::1]:465" },
		{ "[::1]", "[::1]:25" },
		{ "::", "[::]:25" },
		{ "::ffff:192.0.2.1", "192.0.2.1:25" }, /* one rule speaks of both */
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
			"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
		{ "", NULL },
		{ "192.0.2.1:65536", NULL },
		{ "192.0.2.1:", NULL },
		{ "192.0.2.1:-1", NULL },
		{ "192.0.2", NULL },
		{ "192.0.2.256", NULL },
		{ "example.com", NULL },
		{ "[::1", NULL },
		{ "[::1]25", NULL },
		{ "[::1]:x", NULL },
		{ "::g", NULL },
		{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct netaddr a;
		struct err err = { 0 };
		char text[NETADDR_TEXT_BYTES];
		int result = netaddr_parse(str_of(table[i].text), 25, &a, &err);
		assert_int_equal(result, table[i].printed ? 0 : -1);
		if (table[i].printed)
			assert_string_equal(netaddr_format(&a, text), table[i].printed);
		else
			assert_int_equal(err.kind, ERR_INPUT);
	}
}

static void survives_the_way_through_sockaddr(void **state)
{
	(void)state;
	static const char *const texts[] = { "127.0.0.1:1", "[2001:db8::9]:65535" };
	for (size_t i = 0; i < 2; i++) {
		struct netaddr a, back;
		struct sockaddr_storage at;
		netaddr_parse(str_of(texts[i]), 0, &a, NULL);
		socklen_t length = netaddr_to_sockaddr(&a, &at);
		assert_true(length == sizeof(struct sockaddr_in) ||
			    length == sizeof(struct sockaddr_in6));
		netaddr_from_sockaddr((struct sockaddr *)&at, &back);
		assert_true(netaddr_equal(&a, &back));
	}
	struct netaddr local;
	struct sockaddr none = { .sa_family = AF_UNIX };
	netaddr_from_sockaddr(&none, &local);
	assert_int_equal(local.family, NETADDR_UNIX);
	assert_true(netaddr_is_loopback(&local));
}

static void networks_contain_what_their_prefix_says(void **state)
{
	(void)state;
	static const struct {
		const char *net, *address;
		bool is_inside;
	} table[] = {
		{ "10.0.0.0/8", "10.255.255.255:25", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.20.30.0/23", "10.20.31.9", true },
		{ "10.20.30.0/23", "10.20.32.0", false },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.6", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "10.0.0.1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", true },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct netaddr_net net;
		struct netaddr a;
		struct err err;
		assert_int_equal(netaddr_net_parse(str_of(table[i].net), &net, &err), 0);
		assert_int_equal(netaddr_parse(str_of(table[i].address), 25, &a, &err), 0);
		assert_int_equal(netaddr_net_contains(&net, &a), table[i].is_inside);
	}
}

static void refuses_networks_that_cannot_be_meant(void **state)
{
	(void)state;
	static const char *const table[] = { "", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "::/129",
		"10.0.0.1/8", "2001:db8::1/64", "10.0.0.0:25/8", "/8" };
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct netaddr_net net;
		struct err err = { 0 };
		assert_int_equal(netaddr_net_parse(str_of(table[i]), &net, &err), -1);
		assert_int_equal(err.kind, ERR_INPUT);
	}
	struct netaddr_net net;
	struct err err;
	netaddr_net_parse(STR("10.20.30.40/16"), &net, &err);
	assert_non_null(strstr(err.text, "10.20.0.0/16"));
}

static void masks_clients_of_one_network_to_one_key(void **state)
{
	(void)state;
	struct netaddr a, b;
	netaddr_parse(STR("[2001:db8:1:2:aaaa::1]:1"), 0, &a, NULL);
	netaddr_parse(STR("[2001:db8:1:2:bbbb::2]:2"), 0, &b, NULL);
	a = netaddr_mask(&a, 32, 64);
	b = netaddr_mask(&b, 32, 64);
	assert_true(netaddr_equal(&a, &b));
	netaddr_parse(STR("[2001:db8:1:3::1]"), 0, &b, NULL);
	b = netaddr_mask(&b, 32, 64);
	assert_false(netaddr_equal(&a, &b));
	netaddr_parse(STR("192.0.2.1:99"), 0, &a, NULL);
	a = netaddr_mask(&a, 24, 64);
	char text[NETADDR_TEXT_BYTES];
	assert_string_equal(netaddr_format(&a, text), "192.0.2.0:0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_prints_addresses),
		cmocka_unit_test(survives_the_way_through_sockaddr),
		cmocka_unit_test(networks_contain_what_their_prefix_says),
		cmocka_unit_test(refuses_networks_that_cannot_be_meant),
		cmocka_unit_test(masks_clients_of_one_network_to_one_key),
	};
	return cmocka_run_group_tests_name("netaddr", tests, NULL, NULL);
}
