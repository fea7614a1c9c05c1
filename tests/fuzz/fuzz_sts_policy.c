/* fuzz_sts_policy: any bytes as the policy file of a domain. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "policy/sts/sts_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = str_from(data, size);
	struct err err = { 0 };
	struct sts_policy *p = sts_policy_parse(body, &err), *again;
	if (!p) {
		assert(str_starts(str_of(err.text), STR("line ")));
		return 0;
	}
	assert(p->mx_count > 0 || p->mode == POLICY_STS_NONE);
	assert(p->mx_count <= STS_MX_MOST && p->max_age_s <= STS_MAX_AGE_S);
	for (size_t i = 0; i < p->mx_count; i++)
		assert(sts_policy_names(p, p->mx[i]) && p->mx[i][0] != '.');
	/* What the cache keeps reads the same. */
	again = sts_policy_parse(str_from(p->text, p->text_bytes), NULL);
	assert(again && again->mode == p->mode && again->mx_count == p->mx_count);
	sts_policy_unref(&again);
	sts_policy_unref(&p);
	return 0;
}
