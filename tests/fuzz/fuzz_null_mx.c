/* fuzz_null_mx: any bytes as a DNS answer about a domain's MX records. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_null_mx_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* a block of just that size, in replays too */
	uint8_t *bytes = malloc(size ? size : 1);
	memcpy(bytes, data, size);
	struct policy_null_mx_answer answer = policy_null_mx_answer_parse(bytes, size);
	/* a header, a record with a pointer for a name and three bytes of data */
	assert(answer.result != POLICY_NULL_MX_YES || size >= 12 + 14);
	assert(answer.ttl_s <= INT32_MAX);
	free(bytes);
	return 0;
}
