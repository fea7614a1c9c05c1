/* Requests of a socketmap client, and the policy that an answer is made of. First byte: which. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/socketmap/socketmap_answer.h"
#include "smtpd/socketmap/socketmap_netstring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct policy_plan *make_plan(const char *next_hop, struct str text)
{
	static const struct policy_requirement may = { .level = POLICY_LEVEL_MAY,
		.minimum = TLSIO_TLS12 };
	struct policy_plan *plan = policy_plan_new(next_hop, next_hop);
	struct policy_plan_whole *w = plan->whole = mem_zero(sizeof(*w));
	size_t end = str_find(text, '\n');
	w->rule = policy_requirement_new(&may);
	w->is_general = w->uses_dane = w->is_by_mx = w->is_mx_known = true;
	w->sts_mode = POLICY_STS_ENFORCE;
	w->sts_mx = mem_array(1, sizeof(*w->sts_mx));
	w->sts_mx[w->sts_mx_count++] = mem_dup_bytes(text.at, end);
	w->sts_text = mem_dup_bytes(text.at, text.length);
	return plan;
}

/* Every answer is one of the five words, a space, and printable ASCII; "OK" has something behind. */
static void check_answer(struct str a)
{
	bool is_ok = str_starts(a, STR("OK "));
	assert(is_ok || str_starts(a, STR("NOTFOUND ")) || str_starts(a, STR("TEMP ")) ||
		str_starts(a, STR("PERM ")));
	assert(!is_ok || a.length > 3);
	assert(a.length <= SOCKETMAP_ANSWER_BYTES_MOST);
	for (size_t i = 0; i < a.length; i++)
		assert(a.at[i] >= ' ' && a.at[i] <= '~');
}

static void answer(const struct socketmap_request *r, struct str text)
{
	struct policy_plan *plan = make_plan(r->next_hop, text);
	struct buf out = { 0 };
	int depth = 0;
	socketmap_answer_write(&out, r->map, plan);
	struct str a = buf_str(&out);
	check_answer(a);
	for (size_t i = 0; i < a.length; i++) {
		depth += (a.at[i] == '{') - (a.at[i] == '}');
		assert(depth == 0 || depth == 1);
	}
	assert(depth == 0);
	buf_release(&out);
	policy_plan_unref(&plan);
}

static void read_stream(struct str in)
{
	struct str payload;
	size_t used;
	while (socketmap_netstring_split(in, SOCKETMAP_REQUEST_BYTES_MOST, &payload, &used, NULL) == 1) {
		struct socketmap_request r;
		struct buf again = { 0 };
		socketmap_netstring_write(&again, payload);
		assert(str_equal(buf_str(&again), str_head(in, used)));
		buf_release(&again);
		socketmap_request_read(payload, &r);
		if (r.kind == SOCKETMAP_ASK) {
			assert(r.next_hop[0] && r.next_hop[0] != '.' && r.port);
			answer(&r, payload);
		} else if (r.kind == SOCKETMAP_REFUSE)
			assert(r.why && str_is_ascii(str_of(r.why)));
		in = str_skip(in, used);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct socketmap_request request = { .map = SOCKETMAP_POSTFIX_TLSRPT,
		.next_hop = "example.org" };
	if (size == 0)
		return 0;
	struct str body = str_from(data + 1, size - 1);
	if (data[0] & 1)
		read_stream(body);
	else
		answer(&request, body);
	return 0;
}
