/* A stream of policy-service requests, of any bytes, judged by rules of every kind. */
#include <assert.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "smtpd/delegation/delegation_answer.h"

static struct policy_inbound *rules;
static const struct inbound_settings settings = { .mode = POLICY_INBOUND_REJECT };
static struct policy_pin pin = { { 1 } };

static void make_rules(void)
{
	static char name[] = "out.partner.example", gcm[] = "*GCM*";
	char *names[] = { name }, *ciphers[] = { gcm };
	const struct policy_inbound_demand strict = { .requires_certificate = true, .names = names,
		.name_count = 1, .pins = &pin, .pin_count = 1, .ciphers = ciphers, .cipher_count = 1,
		.minimum_bits = 128 };
	const struct policy_inbound_demand tls = { .requires_tls = true,
		.mode = POLICY_INBOUND_REPORT };
	const struct policy_inbound_demand kept = { .requires_tls = true,
		.mode = POLICY_INBOUND_QUARANTINE };
	rules = policy_inbound_new();
	policy_inbound_add_sender_domain(rules, STR("*"), &strict, NULL);
	policy_inbound_add_sender_domain(rules, STR("kept.example"), &kept, NULL);
	policy_inbound_add_recipient_domain(rules, STR("*"), &tls, NULL);
	policy_inbound_add_client_name(rules, STR(".partner.example"), &tls, NULL);
	policy_inbound_add_daemon(rules, STR("partners"), &strict, NULL);
}

/* "action=...", one line of printable ASCII, an empty one; never OK. */
static void check_answer(struct str a)
{
	assert(str_starts(a, STR("action=")) && a.length > 9 && a.length < 400);
	assert(a.at[a.length - 1] == '\n' && a.at[a.length - 2] == '\n');
	for (size_t i = 0; i + 2 < a.length; i++)
		assert(a.at[i] >= ' ' && a.at[i] < 0x7f);
	a = str_skip(a, 7);
	assert(str_equal(a, STR("DUNNO\n\n")) || str_starts(a, STR("HOLD ")) ||
		str_starts(a, STR("WARN ")) || str_starts(a, STR("530 5.7.0 ")) ||
		str_starts(a, STR("554 5.7.")));
}

static void judge(const struct delegation_request *r)
{
	struct delegation_facts f;
	struct policy_inbound_refusal no;
	struct buf out = { 0 };
	bool is_of_recipient;
	delegation_facts_read(r, &settings, &f);
	bool objects = delegation_answer_objects(rules, r, &f, &no, &is_of_recipient);
	const struct policy_inbound_facts *s = &f.shown;
	/* Facts of TLS come of TLS, a name of a verified certificate, a pass of what was demanded. */
	if (!s->has_tls)
		assert(!s->version && !s->bits && !s->key_sha256 && !s->common_name.length);
	if (s->common_name.length)
		assert(s->certificate == POLICY_INBOUND_CERTIFICATE_VERIFIED);
	if (f.stage == DELEGATION_STAGE_EARLY)
		assert(!objects);
	if (!objects && f.stage != DELEGATION_STAGE_EARLY && str_equal(s->daemon, STR("partners")))
		assert(s->version >= 12 && s->bits >= 128 &&
			((s->key_sha256 && memcmp(s->key_sha256, &pin, 32) == 0) ||
				str_equal_nocase(s->common_name, STR("out.partner.example")) ||
				str_starts(s->common_name, STR("*."))));
	delegation_answer_write(objects ? &no : NULL, &out);
	check_answer(buf_str(&out));
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_from(data, size);
	size_t scanned = 0, length;
	if (!rules)
		make_rules();
	while ((length = delegation_request_length(in, &scanned)) > 0) {
		struct delegation_request r;
		struct err err;
		size_t again = length / 2;
		assert(length <= in.length && scanned == 0 && in.at[length - 1] == '\n');
		assert(delegation_request_length(str_head(in, length), &again) == length);
		if (delegation_request_read(str_head(in, length), &r, &err) == 0)
			judge(&r);
		else
			assert(str_is_ascii(str_of(err.text)));
		in = str_skip(in, length);
	}
	assert(scanned == in.length);
	return 0;
}
