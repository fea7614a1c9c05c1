#include "policy/policy_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/make_peer.h"

#define HOST "mx.example.net"
#define SOURCE "postern.conf:12 domain \"example.net\""

static struct made root, middle, leaf, evil_root, evil_leaf;
static struct made_peer good, evil, alone, bare;
static struct policy_pin leaf_pin, middle_pin, other_pin;
static struct tlsio_trust *const some_trust = (struct tlsio_trust *)(uintptr_t)1;

static int make_world(void **state)
{
	(void)state;
	static const char *const names[] = { HOST, "*.mail.example.net", NULL };
	root = make_certificate("root", NULL, true, NULL);
	middle = make_certificate("middle", NULL, true, &root);
	leaf = make_certificate(HOST, names, false, &middle);
	evil_root = make_certificate("middle", NULL, true, NULL); /* the same name, another key */
	evil_leaf = make_certificate(HOST, names, false, &evil_root);
	make_peer(&good, (const struct made *[]){ &leaf, &middle, &root }, 3);
	/* The forgery of a pinned issuer: the real one stands in the chain and signed nothing. */
	make_peer(&evil, (const struct made *[]){ &evil_leaf, &evil_root, &middle }, 3);
	make_peer(&alone, (const struct made *[]){ &leaf }, 1);
	make_peer(&bare, NULL, 0);
	memcpy(leaf_pin.spki_sha256, good.chain[0].spki_sha256, 32);
	memcpy(middle_pin.spki_sha256, good.chain[1].spki_sha256, 32);
	memset(other_pin.spki_sha256, 0x5a, 32);
	return 0;
}

static int free_world(void **state)
{
	(void)state;
	struct made_peer *peers[] = { &good, &evil, &alone, &bare };
	for (size_t i = 0; i < 4; i++)
		free_peer(peers[i]);
	struct made *all[] = { &root, &middle, &leaf, &evil_root, &evil_leaf };
	for (size_t i = 0; i < 5; i++)
		free_certificate(all[i]);
	return 0;
}

/* Plain structs, never policy_requirement_new: the trust is no real one. */
static struct policy_requirement demand(enum policy_level level)
{
	return (struct policy_requirement){ .level = level, .minimum = TLSIO_TLS12,
		.trust = level == POLICY_LEVEL_VERIFY ? some_trust : NULL,
		.trust_name = (char *)(uintptr_t)(level == POLICY_LEVEL_VERIFY ? "system" : NULL),
		.source = (char *)(uintptr_t)SOURCE };
}

static void expect(const struct policy_judgement *j, enum policy_verdict verdict,
	enum policy_reason reason, bool is_verified, const char *words)
{
	if (j->verdict != verdict || j->reason != reason || j->is_verified != is_verified)
		fail_msg("verdict %d reason %s verified %d: %s", j->verdict,
			policy_reason_name(j->reason), j->is_verified, j->text);
	if (words && !strstr(j->text, words))
		fail_msg("no \"%s\" in: %s", words, j->text);
}

static void T8_judges_a_missing_starttls_by_level(void **state)
{
	(void)state;
	struct policy_judgement j;
	struct policy_requirement r = demand(POLICY_LEVEL_NONE);
	policy_judge_no_starttls(&r, HOST, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, false, NULL);
	r = demand(POLICY_LEVEL_MAY);
	policy_judge_no_starttls(&r, HOST, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, false, "offers no STARTTLS");
	r = demand(POLICY_LEVEL_ENCRYPT);
	policy_judge_no_starttls(&r, HOST, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_STARTTLS_NOT_SUPPORTED, false, "demands encrypt");
	r = demand(POLICY_LEVEL_VERIFY);
	policy_judge_no_starttls(&r, HOST, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_STARTTLS_NOT_SUPPORTED, false, NULL);
	assert_string_equal(j.text, "mx.example.net offers no STARTTLS, but " SOURCE
				    " demands verify");
}

/* Only an operator wrote "verify" or "encrypt" anywhere. */
static void says_in_plain_words_what_dns_and_policies_demand(void **state)
{
	(void)state;
	struct policy_judgement j;
	static const struct {
		enum policy_origin origin;
		enum policy_level level;
		const char *words;
	} rows[] = {
		{ POLICY_ORIGIN_RULE, POLICY_LEVEL_VERIFY, "verify" },
		{ POLICY_ORIGIN_EXCEPTION, POLICY_LEVEL_ENCRYPT, "encrypt" },
		{ POLICY_ORIGIN_DANE, POLICY_LEVEL_DANE, "a certificate that matches it" },
		{ POLICY_ORIGIN_DANE, POLICY_LEVEL_ENCRYPT, "TLS" },
		{ POLICY_ORIGIN_STS, POLICY_LEVEL_VERIFY, "a valid certificate for the host's name" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_requirement r = demand(rows[i].level);
		char words[200];
		r.origin = rows[i].origin;
		policy_judge_no_starttls(&r, HOST, &j);
		snprintf(words, sizeof(words), HOST " offers no STARTTLS, but " SOURCE " demands %s",
			rows[i].words);
		assert_string_equal(j.text, words);
	}
}

static void names_the_domain_and_what_is_below_it(void **state)
{
	(void)state;
	struct policy_judgement j;
	char *names[] = { (char *)(uintptr_t) "other.example", (char *)(uintptr_t) ".other.example" };
	struct policy_requirement r = demand(POLICY_LEVEL_VERIFY);
	r.names = names;
	r.name_count = 2;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_HOST_MISMATCH, false,
		"none of which is other.example or a host below it; ");
}

static void T1_T8_judges_a_failed_handshake_by_level(void **state)
{
	(void)state;
	struct policy_judgement j;
	struct policy_requirement r = demand(POLICY_LEVEL_MAY);
	policy_judge_failed_tls(&r, HOST, "peer closed", &j);
	expect(&j, POLICY_IN_CLEAR, POLICY_REASON_VALIDATION_FAILURE, false, "peer closed");
	r = demand(POLICY_LEVEL_ENCRYPT);
	policy_judge_failed_tls(&r, HOST, "peer closed", &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, "demands encrypt");
	r = demand(POLICY_LEVEL_VERIFY);
	r.minimum = TLSIO_TLS13;
	policy_judge_failed_tls(&r, HOST, "454 4.7.0 \x01\xc3 no\r\n", &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false,
		"(454 4.7.0 ?\? no?\?), but " SOURCE " demands verify with TLS1.3");
}

struct row {
	const char *title;
	enum policy_level level;
	enum tlsio_version minimum, version;
	unsigned faults;
	const char *matched;
	enum policy_verdict verdict;
	enum policy_reason reason;
	bool is_verified;
	const char *words;
};

static const struct row rows[] = {
	{ "verify, all good", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS12, 0, HOST, POLICY_PASS,
		POLICY_REASON_NONE, true, "" },
	{ "verify 1.3, all good", POLICY_LEVEL_VERIFY, TLSIO_TLS13, TLSIO_TLS13, 0, HOST,
		POLICY_PASS, POLICY_REASON_NONE, true, "" },
	{ "verify, too old", POLICY_LEVEL_VERIFY, TLSIO_TLS13, TLSIO_TLS12, 0, HOST, POLICY_REFUSE,
		POLICY_REASON_VALIDATION_FAILURE, false,
		HOST " speaks at most TLS1.2 but " SOURCE " demands TLS1.3" },
	{ "verify, untrusted", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13, TLSIO_CHAIN_UNTRUSTED,
		HOST, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false,
		"the certificate of " HOST " is not valid to the authorities of this machine: " },
	{ "verify, expired", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13, TLSIO_CHAIN_EXPIRED, HOST,
		POLICY_REFUSE, POLICY_REASON_CERTIFICATE_EXPIRED, false,
		"the certificate of " HOST " has expired (2001-09-09), but " SOURCE },
	{ "verify, untrusted and expired", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13,
		TLSIO_CHAIN_UNTRUSTED | TLSIO_CHAIN_EXPIRED, HOST, POLICY_REFUSE,
		POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false, "expired" },
	{ "verify, not yet valid", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13,
		TLSIO_CHAIN_NOT_YET_VALID, HOST, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE,
		false, SOURCE },
	{ "verify, revoked", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13, TLSIO_CHAIN_REVOKED, HOST,
		POLICY_REFUSE, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false, SOURCE },
	{ "verify, weak", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13, TLSIO_CHAIN_WEAK, HOST,
		POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, SOURCE },
	{ "verify, wrong purpose", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13,
		TLSIO_CHAIN_WRONG_PURPOSE, HOST, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE,
		false, SOURCE },
	{ "verify, broken", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13, TLSIO_CHAIN_BROKEN, HOST,
		POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, SOURCE },
	{ "verify, unchecked", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13, TLSIO_CHAIN_UNCHECKED,
		HOST, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, SOURCE },
	{ "verify, wrong name", POLICY_LEVEL_VERIFY, TLSIO_TLS12, TLSIO_TLS13, 0, NULL,
		POLICY_REFUSE, POLICY_REASON_CERTIFICATE_HOST_MISMATCH, false,
		"is for names [mx.example.net, *.mail.example.net], none of which is " },
	{ "encrypt, anything", POLICY_LEVEL_ENCRYPT, TLSIO_TLS12, TLSIO_TLS12,
		TLSIO_CHAIN_UNTRUSTED | TLSIO_CHAIN_EXPIRED, NULL, POLICY_PASS, POLICY_REASON_NONE,
		false, "is not verified" },
	{ "encrypt, too old", POLICY_LEVEL_ENCRYPT, TLSIO_TLS13, TLSIO_TLS12, 0, HOST, POLICY_REFUSE,
		POLICY_REASON_VALIDATION_FAILURE, false, "demands TLS1.3" },
	{ "encrypt, happens to be good", POLICY_LEVEL_ENCRYPT, TLSIO_TLS12, TLSIO_TLS13, 0, HOST,
		POLICY_PASS, POLICY_REASON_NONE, true, "" },
	{ "may, faults", POLICY_LEVEL_MAY, TLSIO_TLS12, TLSIO_TLS12, TLSIO_CHAIN_UNCHECKED, NULL,
		POLICY_PASS, POLICY_REASON_NONE, false, "is not verified" },
	{ "may, too old", POLICY_LEVEL_MAY, TLSIO_TLS13, TLSIO_TLS12, 0, HOST, POLICY_IN_CLEAR,
		POLICY_REASON_VALIDATION_FAILURE, false, "speaks at most TLS1.2" },
	{ "may, happens to be good", POLICY_LEVEL_MAY, TLSIO_TLS12, TLSIO_TLS13, 0, HOST,
		POLICY_PASS, POLICY_REASON_NONE, true, "" },
};

static void judges_a_peer_by_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		print_message("  %s\n", row->title);
		struct policy_requirement r = demand(row->level);
		r.minimum = row->minimum;
		struct tlsio_peer peer = good.peer;
		peer.version = row->version;
		peer.chain_faults = row->faults;
		peer.matched_name = row->matched;
		if (row->faults & TLSIO_CHAIN_EXPIRED)
			peer.not_after_s = 1000000000; /* 2001-09-09 */
		struct policy_judgement j;
		policy_judge_peer(&r, HOST, &peer, &j);
		expect(&j, row->verdict, row->reason, row->is_verified, row->words);
		if (row->verdict != POLICY_PASS)
			assert_non_null(strstr(j.text, SOURCE));
	}
}

static void names_no_leaf_date_when_an_issuer_expired(void **state)
{
	(void)state;
	struct policy_requirement r = demand(POLICY_LEVEL_VERIFY);
	struct tlsio_peer peer = good.peer;
	peer.chain_faults = TLSIO_CHAIN_EXPIRED;
	struct policy_judgement j;
	policy_judge_peer(&r, HOST, &peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_EXPIRED, false, "(an issuer's)");
}

static void refuses_a_peer_without_certificate_under_verify(void **state)
{
	(void)state;
	struct policy_judgement j;
	struct policy_requirement r = demand(POLICY_LEVEL_VERIFY);
	bare.peer.matched_name = HOST; /* nonsense must not help */
	policy_judge_peer(&r, HOST, &bare.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, "shows no certificate");
	r.trust = NULL;
	r.pins = &leaf_pin;
	r.pin_count = 1;
	policy_judge_peer(&r, HOST, &bare.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, "shows no certificate");
}

static void accepts_only_the_names_of_the_rule(void **state)
{
	(void)state;
	char *names[] = { (char *)(uintptr_t) "other.example", (char *)(uintptr_t) ".example.net" };
	struct policy_requirement r = demand(POLICY_LEVEL_VERIFY);
	r.names = names;
	r.name_count = 2;
	struct policy_judgement j;
	struct tlsio_peer peer = good.peer;
	peer.matched_name = ".example.net";
	policy_judge_peer(&r, HOST, &peer, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, true, NULL);
	/* Matched by a name of another demand on the same handshake: ours are looked for again. */
	peer.matched_name = "another.example";
	policy_judge_peer(&r, HOST, &peer, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, true, NULL);
	names[1] = (char *)(uintptr_t) ".example.com";
	peer.matched_name = HOST; /* matched, but nobody asked for this name */
	policy_judge_peer(&r, HOST, &peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_HOST_MISMATCH, false,
		"none of which is other.example or another of the rule");
}

struct pin_row {
	const char *title;
	const struct made_peer *peer;
	const struct policy_pin *pin;
	bool has_trust;
	unsigned faults;
	const char *matched;
	enum policy_reason reason; /* NONE: passes verified */
};

static void judges_pins_by_the_table(void **state)
{
	(void)state;
	const struct pin_row pin_rows[] = {
		{ "leaf's key alone decides", &good, &leaf_pin, false, TLSIO_CHAIN_UNCHECKED, NULL,
			POLICY_REASON_NONE },
		{ "leaf's key, expired and self-signed", &alone, &leaf_pin, false,
			TLSIO_CHAIN_UNTRUSTED | TLSIO_CHAIN_EXPIRED, NULL, POLICY_REASON_NONE },
		{ "another key", &good, &other_pin, false, TLSIO_CHAIN_UNCHECKED, HOST,
			POLICY_REASON_VALIDATION_FAILURE },
		{ "issuer's key and the name", &good, &middle_pin, false, TLSIO_CHAIN_UNCHECKED,
			HOST, POLICY_REASON_NONE },
		{ "issuer's key, wrong name", &good, &middle_pin, false, TLSIO_CHAIN_UNCHECKED,
			NULL, POLICY_REASON_CERTIFICATE_HOST_MISMATCH },
		{ "issuer appended by a forger", &evil, &middle_pin, false, TLSIO_CHAIN_UNCHECKED,
			HOST, POLICY_REASON_VALIDATION_FAILURE },
		{ "issuer not in the chain", &alone, &middle_pin, false, TLSIO_CHAIN_UNCHECKED, HOST,
			POLICY_REASON_VALIDATION_FAILURE },
		{ "trust and leaf's key", &good, &leaf_pin, true, 0, HOST, POLICY_REASON_NONE },
		{ "trust and issuer's key", &good, &middle_pin, true, 0, HOST, POLICY_REASON_NONE },
		{ "trust good, key wrong", &good, &other_pin, true, 0, HOST,
			POLICY_REASON_VALIDATION_FAILURE },
		{ "trust good, issuer appended", &evil, &middle_pin, true, 0, HOST,
			POLICY_REASON_VALIDATION_FAILURE },
		{ "key good, trust not", &good, &leaf_pin, true, TLSIO_CHAIN_UNTRUSTED, HOST,
			POLICY_REASON_CERTIFICATE_NOT_TRUSTED },
		{ "key good, name not", &good, &leaf_pin, true, 0, NULL,
			POLICY_REASON_CERTIFICATE_HOST_MISMATCH },
	};
	for (size_t i = 0; i < sizeof(pin_rows) / sizeof(pin_rows[0]); i++) {
		const struct pin_row *row = &pin_rows[i];
		print_message("  %s\n", row->title);
		struct policy_pin pins[2] = { { { 0xff } }, *row->pin };
		struct policy_requirement r = demand(POLICY_LEVEL_VERIFY);
		r.trust = row->has_trust ? some_trust : NULL;
		r.pins = pins;
		r.pin_count = 2;
		struct tlsio_peer peer = row->peer->peer;
		peer.chain_faults = row->faults;
		peer.matched_name = row->matched;
		struct policy_judgement j;
		policy_judge_peer(&r, HOST, &peer, &j);
		bool passes = row->reason == POLICY_REASON_NONE;
		expect(&j, passes ? POLICY_PASS : POLICY_REFUSE, row->reason, passes, NULL);
	}
}

/* level x version x minimum x every set of chain faults x name: what must never happen. */
static void never_goes_below_the_level(void **state)
{
	(void)state;
	static const enum tlsio_version versions[] = { TLSIO_VERSION_NONE, TLSIO_TLS12, TLSIO_TLS13 };
	for (unsigned mix = 0; mix < 4u * 3 * 3 * 512 * 2; mix++) {
		unsigned rest = mix;
		struct policy_requirement r = demand((enum policy_level)(rest % 4));
		rest /= 4;
		r.minimum = versions[rest % 3];
		rest /= 3;
		struct tlsio_peer peer = good.peer;
		peer.version = versions[rest % 3];
		rest /= 3;
		peer.chain_faults = rest % 512;
		peer.matched_name = rest / 512 ? HOST : NULL;
		struct policy_judgement j;
		policy_judge_peer(&r, HOST, &peer, &j);
		bool is_identified = peer.chain_faults == 0 && peer.matched_name;
		bool is_new_enough =
			peer.version >= (r.minimum ? r.minimum : TLSIO_TLS12);
		if (r.level >= POLICY_LEVEL_ENCRYPT) {
			assert_int_not_equal(j.verdict, POLICY_IN_CLEAR);
			bool may_pass = is_new_enough &&
				(r.level == POLICY_LEVEL_ENCRYPT || is_identified);
			assert_int_equal(j.verdict == POLICY_PASS, may_pass);
		} else {
			assert_int_not_equal(j.verdict, POLICY_REFUSE);
		}
		assert_int_equal(j.is_verified,
			r.level != POLICY_LEVEL_NONE && is_new_enough && is_identified);
		assert_int_equal(j.verdict == POLICY_PASS, j.reason == POLICY_REASON_NONE);
		assert_int_equal(j.verdict == POLICY_PASS && j.is_verified, j.text[0] == '\0' &&
			r.level != POLICY_LEVEL_NONE);
	}
}

static void names_reasons_in_the_words_of_rfc_8460(void **state)
{
	(void)state;
	assert_string_equal(policy_reason_name(POLICY_REASON_STARTTLS_NOT_SUPPORTED),
		"starttls-not-supported");
	assert_string_equal(policy_reason_name(POLICY_REASON_CERTIFICATE_HOST_MISMATCH),
		"certificate-host-mismatch");
	assert_string_equal(policy_reason_name(POLICY_REASON_CERTIFICATE_NOT_TRUSTED),
		"certificate-not-trusted");
	assert_string_equal(policy_reason_name(POLICY_REASON_CERTIFICATE_EXPIRED),
		"certificate-expired");
	assert_string_equal(policy_reason_name(POLICY_REASON_VALIDATION_FAILURE),
		"validation-failure");
}

/* Records of the good peer and of nobody, made anew for each test. */
static struct policy_tlsa key_record(int usage, const struct tlsio_certificate *of)
{
	return (struct policy_tlsa){ (uint8_t)usage, POLICY_TLSA_KEY, POLICY_TLSA_SHA256,
		str_from(of->spki_sha256, 32) };
}

static char *host_names[] = { (char *)(uintptr_t)HOST, (char *)(uintptr_t) "example.net" };
static char *other_names[] = { (char *)(uintptr_t) "other.example" };

static struct policy_requirement demand_dane(struct policy_tlsa *records, size_t count)
{
	struct policy_requirement r = demand(POLICY_LEVEL_DANE);
	r.tlsa = records;
	r.tlsa_count = count;
	r.dane_names = host_names;
	r.dane_name_count = 2;
	return r;
}

static void D11_dane_refuses_clear_text(void **state)
{
	(void)state;
	for (enum policy_level l = POLICY_LEVEL_DANE; l <= POLICY_LEVEL_DANE_ONLY; l++) {
		struct policy_judgement j;
		struct policy_requirement r = demand(l);
		policy_judge_no_starttls(&r, HOST, &j);
		expect(&j, POLICY_REFUSE, POLICY_REASON_STARTTLS_NOT_SUPPORTED, false,
			"demands dane");
		policy_judge_failed_tls(&r, HOST, "peer closed", &j);
		expect(&j, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, "peer closed");
	}
}

static void D21_dane_without_records_passes_nobody(void **state)
{
	(void)state;
	for (enum policy_level l = POLICY_LEVEL_DANE; l <= POLICY_LEVEL_DANE_ONLY; l++) {
		struct policy_judgement j;
		struct policy_requirement r = demand(l);
		r.trust = some_trust;
		good.peer.chain_faults = 0;
		good.peer.matched_name = HOST;
		policy_judge_peer(&r, HOST, &good.peer, &j);
		expect(&j, POLICY_REFUSE, POLICY_REASON_DANE_REQUIRED, false,
			HOST " has no usable TLSA record, but " SOURCE " demands dane");
	}
}

static void dane_says_which_host_and_which_records(void **state)
{
	(void)state;
	struct policy_judgement j;
	struct policy_tlsa records[] = { { 3, 1, 1, STR("0123456789abcdef0123456789abcdef") },
		{ 2, 1, 1, STR("fedcba9876543210fedcba9876543210") },
		{ 2, 0, 1, STR("fedcba9876543210fedcba9876543210") } };
	struct policy_requirement r = demand_dane(records, 1);
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false,
		"the certificate of " HOST " does not match the TLSA record of " HOST
		" (3 1 1 303132333435...), its key is 3 1 1 ");
	assert_non_null(strstr(j.text, "...; " SOURCE " demands dane"));
	r.tlsa_count = 2;
	r.server_name = (char *)(uintptr_t) "base.example";
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false,
		"does not match any of the 2 TLSA records of base.example (3 1 1 303132333435..., "
		"2 1 1 666564636261...)");
	r.tlsa_count = 3;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false,
		"any of the 3 TLSA records of base.example (3 1 1 303132333435..., "
		"2 1 1 666564636261..., ...)");
	policy_judge_peer(&r, HOST, &bare.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false,
		HOST " shows no certificate, but " SOURCE " demands dane");
}

static void dane_says_what_is_wrong_below_an_authority(void **state)
{
	(void)state;
	struct policy_judgement j;
	struct policy_tlsa record = key_record(2, &good.chain[1]);
	struct policy_requirement r = demand_dane(&record, 1);
	policy_judge_peer(&r, HOST, &evil.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false,
		HOST " shows the authority of the TLSA record of " HOST " (2 1 1 ");
	r.dane_names = other_names;
	r.dane_name_count = 1;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_HOST_MISMATCH, false,
		"is for names [" HOST ", *.mail.example.net], not other.example; " SOURCE);
	r.dane_name_count = 0;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_HOST_MISMATCH, false, NULL);
	struct made old = make_certificate_until(
		HOST, (const char *const[]){ HOST, NULL }, false, &middle, 1000000000);
	struct made_peer peer;
	make_peer(&peer, (const struct made *[]){ &old, &middle }, 2);
	peer.peer.not_after_s = 1000000000;
	r = demand_dane(&record, 1);
	policy_judge_peer(&r, HOST, &peer.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_EXPIRED, false,
		") but has expired (2001-09-09); " SOURCE " demands dane");
	peer.peer.not_after_s = INT64_C(1) << 40;
	peer.peer.chain_faults = TLSIO_CHAIN_UNTRUSTED | TLSIO_CHAIN_NOT_YET_VALID;
	policy_judge_peer(&r, HOST, &peer.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_EXPIRED, false,
		") but is not valid yet (or an issuer's is not); " SOURCE);
	peer.peer.not_after_s = 1000000000;
	/* D14: the same certificate by its own key */
	record = key_record(3, &peer.chain[0]);
	r.dane_name_count = 0;
	peer.peer.chain_faults = TLSIO_CHAIN_EXPIRED | TLSIO_CHAIN_UNTRUSTED;
	policy_judge_peer(&r, HOST, &peer.peer, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, true, "");
	free_peer(&peer);
	free_certificate(&old);
}

static void dane_keeps_the_minimum_version(void **state)
{
	(void)state;
	struct policy_judgement j;
	struct policy_tlsa record = key_record(3, &good.chain[0]);
	struct policy_requirement r = demand_dane(&record, 1);
	r.minimum = TLSIO_TLS13;
	good.peer.version = TLSIO_TLS12;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, "at most TLS1.2");
	good.peer.version = TLSIO_TLS13;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, true, "");
}

/* A rule's own authority, names and pins hold besides the records, and the records besides them. */
static void a_rules_own_identity_holds_beside_dane(void **state)
{
	(void)state;
	struct policy_judgement j;
	struct policy_tlsa record = key_record(3, &good.chain[0]);
	struct policy_requirement r = demand_dane(&record, 1);
	r.trust = some_trust;
	good.peer.chain_faults = TLSIO_CHAIN_UNTRUSTED;
	good.peer.matched_name = HOST;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false,
		SOURCE " demands verify besides DANE");
	good.peer.chain_faults = 0;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, true, "");
	r.trust = NULL;
	r.pins = &other_pin;
	r.pin_count = 1;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_VALIDATION_FAILURE, false, "key-pins");
	r.pins = &leaf_pin;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, true, "");
	r.pin_count = 0;
	r.names = other_names;
	r.name_count = 1;
	good.peer.chain_faults = TLSIO_CHAIN_UNCHECKED;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_HOST_MISMATCH, false, "other.example");
	r.names = host_names;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_PASS, POLICY_REASON_NONE, true, "");
	/* and none of it saves a peer that the records refuse */
	record = key_record(3, &evil.chain[0]);
	r.trust = some_trust;
	r.pins = &leaf_pin;
	r.pin_count = 1;
	good.peer.chain_faults = 0;
	policy_judge_peer(&r, HOST, &good.peer, &j);
	expect(&j, POLICY_REFUSE, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, false, "does not match");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(T8_judges_a_missing_starttls_by_level),
		cmocka_unit_test(says_in_plain_words_what_dns_and_policies_demand),
		cmocka_unit_test(names_the_domain_and_what_is_below_it),
		cmocka_unit_test(T1_T8_judges_a_failed_handshake_by_level),
		cmocka_unit_test(judges_a_peer_by_the_table),
		cmocka_unit_test(names_no_leaf_date_when_an_issuer_expired),
		cmocka_unit_test(refuses_a_peer_without_certificate_under_verify),
		cmocka_unit_test(accepts_only_the_names_of_the_rule),
		cmocka_unit_test(judges_pins_by_the_table),
		cmocka_unit_test(never_goes_below_the_level),
		cmocka_unit_test(names_reasons_in_the_words_of_rfc_8460),
		cmocka_unit_test(D11_dane_refuses_clear_text),
		cmocka_unit_test(D21_dane_without_records_passes_nobody),
		cmocka_unit_test(dane_says_which_host_and_which_records),
		cmocka_unit_test(dane_says_what_is_wrong_below_an_authority),
		cmocka_unit_test(dane_keeps_the_minimum_version),
		cmocka_unit_test(a_rules_own_identity_holds_beside_dane),
	};
	return cmocka_run_group_tests(tests, make_world, free_world);
}
