#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy_plan.h"

static void holds_hosts_and_evidence_up_to_its_bounds(void **state)
{
	(void)state;
	struct policy_plan *plan = policy_plan_new("example.org", "example.org");
	for (unsigned i = 0; i < POLICY_PLAN_HOSTS_MOST; i++)
		assert_non_null(policy_plan_add_host(plan, "mx.example.org", i));
	assert_null(policy_plan_add_host(plan, "mx.example.org", 99));
	for (unsigned i = 0; i < POLICY_PLAN_EVIDENCE_MOST + 5; i++)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_MX, "example.org", "secure", 60, -1,
			"record %u", i);
	assert_int_equal(plan->evidence_count, POLICY_PLAN_EVIDENCE_MOST);
	for (unsigned i = 0; i < POLICY_PLAN_EVIDENCE_MOST; i++) {
		char text[32];
		snprintf(text, sizeof(text), "record %u", i);
		assert_string_equal(plan->evidence[i].text, text);
	}
	struct policy_plan *other = policy_plan_ref(plan);
	policy_plan_unref(&plan);
	assert_null(plan);
	assert_string_equal(other->hosts[19].name, "mx.example.org");
	policy_plan_unref(&other);
}

static void words_are_one_line(void **state)
{
	(void)state;
	struct policy_plan *plan = policy_plan_new("a", "b");
	policy_plan_end(plan, POLICY_PLAN_DEFER, POLICY_REASON_DNSSEC_INVALID, "x\r\n%s\x7f", "y");
	assert_string_equal(plan->text, "x??y?");
	policy_plan_end(plan, POLICY_PLAN_NO_MAIL, POLICY_REASON_NONE, "null MX");
	assert_string_equal(plan->text, "null MX");
	assert_string_equal(policy_plan_state_name(plan->state), "no-mail");
	policy_plan_unref(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_hosts_and_evidence_up_to_its_bounds),
		cmocka_unit_test(words_are_one_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
