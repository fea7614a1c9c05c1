/* policy_null_mx_answer: what a DNS answer says about a null MX (RFC 7505). Pure.
 *
 * For:     policy_null_mx.
 * Promise: any bytes are taken; YES only for exactly one MX record, of preference 0 and with the
 *          root as its host (section 3), in a whole answer without error.
 */
#ifndef POLICY_POLICY_NULL_MX_ANSWER_H
#define POLICY_POLICY_NULL_MX_ANSWER_H

#include <stddef.h>
#include <stdint.h>

enum policy_null_mx_result {
	POLICY_NULL_MX_UNKNOWN, /* no answer, or one that says nothing */
	POLICY_NULL_MX_NO,	/* other MX records, none, or no such domain */
	POLICY_NULL_MX_YES,
};

struct policy_null_mx_answer {
	enum policy_null_mx_result result;
	uint32_t ttl_s; /* how long it may be kept; 0: it does not say */
};

/* bytes: a DNS message (RFC 1035 section 4), the answer to a question for MX. */
struct policy_null_mx_answer policy_null_mx_answer_parse(const uint8_t *bytes, size_t length);

#endif
