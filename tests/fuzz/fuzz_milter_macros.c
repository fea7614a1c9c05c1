/* Macro values, a sender and a recipient of any bytes: an MTA hands on what clients and their certificates say. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "smtpd/inbound/inbound_verdict.h"
#include "smtpd/milter/milter_facts.h"
#include "smtpd/milter/milter_header.h"

enum { TEXTS = 11 };

static struct policy_inbound *rules;

static void make_rules(void)
{
	static char name[] = "out.partner.example", below[] = ".pool.example", gcm[] = "*GCM*",
		    cbc[] = "*CBC*";
	char *names[] = { name, below }, *ciphers[] = { gcm }, *refused[] = { cbc };
	const struct policy_inbound_demand demand = { .requires_certificate = true, .names = names,
		.name_count = 2, .ciphers = ciphers, .cipher_count = 1, .refused_ciphers = refused,
		.refused_cipher_count = 1, .minimum_bits = 128, .requires_tls = true };
	rules = policy_inbound_new();
	policy_inbound_add_sender_domain(rules, STR("*"), &demand, NULL);
	policy_inbound_add_recipient_domain(rules, STR("*"), &demand, NULL);
	policy_inbound_add_client_name(rules, STR(".partner.example"), &demand, NULL);
}

/* One line of printable ASCII, or folded as a header field is. */
static void check_ascii(const char *text, bool is_folded)
{
	for (const char *c = text; *c; c++) {
		if (is_folded && *c == '\n')
			assert(c[1] == '\t');
		else
			assert((*c >= ' ' && *c < 0x7f) || (is_folded && *c == '\t'));
	}
}

static void check_refusal(const struct policy_inbound_refusal *r)
{
	assert(r->code == 530 || r->code == 554);
	assert(r->mode == POLICY_INBOUND_REJECT);
	check_ascii(r->text, false);
}

static void check(const struct milter_macros *macros, enum milter_mta mta, char *const *texts)
{
	struct milter_facts facts;
	struct policy_inbound_refusal refusal;
	struct buf value = { 0 };
	const struct milter_client client = { .name = inbound_verdict_client_name(str_of(texts[8])) };
	milter_facts_read(macros, mta, &facts);
	assert(facts.is_tls == (macros->tls_version && macros->tls_version[0]));
	if (facts.common_name[0])
		assert(facts.certificate == POLICY_INBOUND_CERTIFICATE_VERIFIED);
	if (mta == MILTER_MTA_SENDMAIL && facts.certificate == POLICY_INBOUND_CERTIFICATE_VERIFIED)
		assert(strcmp(macros->verify, "OK") == 0);
	const struct policy_inbound_facts shown =
		milter_facts_shown(&facts, &client, POLICY_INBOUND_REJECT);
	bool goes_on = inbound_verdict_sender(rules, &shown, str_of(texts[9]),
		inbound_verdict_requiretls(str_of(texts[9])), &refusal);
	if (!goes_on)
		check_refusal(&refusal);
	/* Nobody passes with what is demanded of all but <>, unless he shows the name. */
	if (goes_on && inbound_verdict_domain(str_of(texts[9])).length > 0)
		assert(facts.certificate == POLICY_INBOUND_CERTIFICATE_VERIFIED &&
			facts.version >= 12 && facts.bits >= 128);
	milter_header_value("mx.example", &facts, goes_on ? NULL : &refusal, &value);
	char *text = buf_take(&value);
	check_ascii(text, true);
	free(text);
	if (!inbound_verdict_recipient(rules, &shown, str_of(texts[10]), &refusal))
		check_refusal(&refusal);
	milter_header_is(texts[8], "X-Postern-TLS");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *texts[TEXTS];
	struct str rest = str_from(data, size), line;
	if (!rules)
		make_rules();
	for (size_t i = 0; i < TEXTS; i++) {
		line = STR("");
		if (i + 1 < TEXTS)
			str_split(&rest, '\n', &line);
		else if (rest.at)
			line = rest;
		texts[i] = mem_dup_bytes(line.at ? line.at : "", line.length);
	}
	const struct milter_macros macros = { .tls_version = texts[0], .cipher = texts[1],
		.cipher_bits = texts[2], .verify = texts[3], .cert_subject = texts[4],
		.cert_issuer = texts[5], .cn_subject = texts[6] };
	check(&macros, MILTER_MTA_POSTFIX, texts);
	check(&macros, MILTER_MTA_SENDMAIL, texts);
	milter_facts_mta(MILTER_MTA_AUTO, texts[7]);
	for (size_t i = 0; i < TEXTS; i++)
		free(texts[i]);
	return 0;
}
