#include "smtpd/inbound/inbound_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal) ((char *)(uintptr_t)(literal))

static void P8_P9_exempt_by_setting(void **state)
{
	(void)state;
	struct netaddr_net nets[2];
	char *daemons[] = { TEXT("reinject"), TEXT(":10025") };
	assert_int_equal(netaddr_net_parse(STR("127.0.0.0/8"), &nets[0], NULL), 0);
	assert_int_equal(netaddr_net_parse(STR("::1"), &nets[1], NULL), 0);
	struct inbound_settings s = { .exempt = nets, .exempt_count = 2, .exempt_daemons = daemons,
		.exempt_daemon_count = 2 };
	static const struct {
		const char *ip, *daemon;
		uint16_t port;
		bool is_exempt;
	} rows[] = {
		{ "127.0.0.1", "smtpd", 25, true },
		{ "127.9.9.9", "", 0, true },
		{ "::1", "smtpd", 25, true },
		{ "::ffff:127.0.0.1", "smtpd", 25, true },
		{ "192.0.2.9", "smtpd", 25, false },
		{ "192.0.2.9", "", 0, false },
		{ "::2", "smtpd", 25, false },
		{ "192.0.2.9", "reinject", 25, true },
		{ "192.0.2.9", "smtpd", 10025, true },
		{ "192.0.2.9", ":10025", 25, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct netaddr client;
		assert_int_equal(netaddr_parse(str_of(rows[i].ip), 0, &client, NULL), 0);
		if (inbound_settings_exempts(&s, &client, str_of(rows[i].daemon), rows[i].port) !=
			rows[i].is_exempt)
			fail_msg("row %zu", i);
	}
	struct netaddr nowhere = { .family = NETADDR_NONE };
	assert_false(inbound_settings_exempts(&s, &nowhere, STR(""), 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(P8_P9_exempt_by_setting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
