/* What a deferred recipient waits for, as the queue shows it. */
#include "smtpd/relay/relay_outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smtpd/relay/relay_causes.h"

static void our_codes_say_the_cause(void **state)
{
	static const struct {
		const char *code;
		enum spool_cause cause;
	} rows[] = {
		{ "4.4.1", SPOOL_CAUSE_UNREACHABLE }, { "4.4.2", SPOOL_CAUSE_UNREACHABLE },
		{ "4.4.3", SPOOL_CAUSE_NAMES }, { "4.4.4", SPOOL_CAUSE_NAMES },
		{ "4.4.6", SPOOL_CAUSE_NAMES }, { "4.7.4", SPOOL_CAUSE_POLICY },
		{ "4.7.5", SPOOL_CAUSE_POLICY }, { "4.5.0", SPOOL_CAUSE_REPLY },
		{ "4.3.0", SPOOL_CAUSE_OURS }, { "4.3.5", SPOOL_CAUSE_OURS },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct relay_outcome o = { 0 };
		relay_outcome_set(&o, RELAY_DEFERRED, rows[i].code, "words");
		assert_int_equal(o.cause, rows[i].cause);
	}
}

static void a_reply_is_a_reply_whatever_its_code(void **state)
{
	struct smtp_reply reply = { .code = 454, .enhanced = "4.7.0" };
	struct relay_outcome o = { 0 };
	(void)state;
	relay_outcome_from_reply(&o, &reply, "mx.example.net");
	assert_int_equal(o.kind, RELAY_DEFERRED);
	assert_int_equal(o.cause, SPOOL_CAUSE_REPLY);
}

/* Many hosts, one sentence: its cause is the one that comes first in it, by policy before others. */
static void many_hosts_have_the_first_ones_cause(void **state)
{
	struct smtp_reply reply = { .code = 421, .enhanced = "4.3.2" };
	struct relay_causes causes = { 0 };
	struct relay_outcome reached = { 0 }, policy = { 0 }, both = { 0 };
	(void)state;
	relay_outcome_from_reply(&reached, &reply, "a.example.net");
	relay_outcome_set(&policy, RELAY_DEFERRED, "4.7.5", "not the name");
	relay_causes_note(&causes, "a.example.net", &reached, false);
	relay_causes_note(&causes, "b.example.net", &reached, false);
	relay_causes_outcome(&causes, "example.net", &both);
	assert_int_equal(both.cause, SPOOL_CAUSE_REPLY);
	relay_causes_note(&causes, "b.example.net", &policy, true);
	relay_causes_outcome(&causes, "example.net", &both);
	assert_int_equal(both.cause, SPOOL_CAUSE_POLICY);
	relay_causes_clear(&causes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_codes_say_the_cause),
		cmocka_unit_test(a_reply_is_a_reply_whatever_its_code),
		cmocka_unit_test(many_hosts_have_the_first_ones_cause),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
