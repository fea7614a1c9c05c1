#include "policy/policy_null_mx.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

#define ANSWER_BYTES 4096 /* whoever says more has more than one MX record */
#define TRY_S 2		  /* a server gets two, twice; what resolv.conf says may be less */
#define TRIES 2

/* A file of its own, so that a test can put another in its place. */
struct policy_null_mx_answer policy_null_mx_system(const char *domain)
{
	struct policy_null_mx_answer answer = { .result = POLICY_NULL_MX_UNKNOWN };
	struct __res_state state;
	uint8_t question[512], bytes[ANSWER_BYTES];
	memset(&state, 0, sizeof(state));
	if (res_ninit(&state) != 0)
		return answer;
	if (state.retrans > TRY_S)
		state.retrans = TRY_S;
	if (state.retry > TRIES)
		state.retry = TRIES;
	int length = res_nmkquery(&state, ns_o_query, domain, ns_c_in, ns_t_mx, NULL, 0, NULL,
		question, sizeof(question));
	if (length > 0)
		length = res_nsend(&state, question, length, bytes, sizeof(bytes));
	if (length > 0 && (size_t)length <= sizeof(bytes))
		answer = policy_null_mx_answer_parse(bytes, (size_t)length);
	res_nclose(&state);
	return answer;
}
