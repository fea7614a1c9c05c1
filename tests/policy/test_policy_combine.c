/* Every combination of rule, DANE, MTA-STS and MX set against the table of policy/PRECEDENCE.md: the
 * page and the program cannot differ. */
#include "policy/policy_combine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "tests/policy/make_peer.h"

#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* --- the page ----------------------------------------------------------------------------- */

enum { CELLS = 7, ROWS = 16 };
enum { CELL_RULE, CELL_DANE, CELL_STS, CELL_MX, CELL_SHOW, CELL_BY, CELL_WHY };

struct page_row {
	struct str cells[CELLS];
	unsigned decided;
};

static struct buf page;
static struct page_row rows[ROWS];
static size_t row_count;
static struct tlsio_trust *roots, *own_authority;
static const uint8_t roots_sha256[32] = { 7, 7 };

static struct str trim(struct str s)
{
	while (s.length && s.at[0] == ' ')
		s = str_skip(s, 1);
	while (s.length && s.at[s.length - 1] == ' ')
		s.length--;
	return s;
}

static void read_row(struct str line)
{
	struct page_row row = { 0 };
	struct str rest = str_skip(line, 1), cell;
	size_t count = 0;
	while (count < CELLS && str_split(&rest, '|', &cell))
		row.cells[count++] = trim(cell);
	if (count < CELLS || str_equal(row.cells[0], STR("rule")) || row.cells[0].at[0] == '-')
		return;
	assert_true(row_count < ROWS);
	rows[row_count++] = row;
}

static void read_page(void)
{
	struct err err = { 0 };
	struct buf path = { 0 };
	const char *folder = getenv("srcdir");
	buf_printf(&path, "%s/policy/PRECEDENCE.md", folder ? folder : ".");
	if (file_read(buf_text(&path), 1 << 20, &page, &err) < 0)
		fail_msg("%s", err.text);
	buf_release(&path);
	struct str rest = buf_str(&page), line;
	while (str_split(&rest, '\n', &line)) {
		if (str_starts(line, STR("|")))
			read_row(line);
	}
	assert_int_equal(row_count, ROWS);
}

static bool says(struct str cell, const char *word)
{
	struct str part;
	if (str_equal(cell, STR("any")))
		return true;
	while (str_split(&cell, ',', &part)) {
		if (str_equal(trim(part), str_of(word)))
			return true;
	}
	return str_equal(trim(cell), str_of(word));
}

static struct tlsio_trust *make_trust(const char *name)
{
	struct err err = { 0 };
	struct made made = make_certificate(name, NULL, true, NULL);
	gnutls_datum_t pem;
	assert_true(gnutls_x509_crt_export2(made.crt, GNUTLS_X509_FMT_PEM, &pem) >= 0);
	struct tlsio_trust *trust =
		tlsio_trust_pem(name, str_from((const char *)pem.data, pem.size), &err);
	assert_non_null(trust);
	gnutls_free(pem.data);
	free_certificate(&made);
	return trust;
}

static int set_up(void **state)
{
	(void)state;
	read_page();
	roots = make_trust("roots");
	own_authority = make_trust("own");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_release(&page);
	tlsio_trust_unref(&roots);
	tlsio_trust_unref(&own_authority);
	return 0;
}

/* --- one host under one combination ------------------------------------------------------- */

#define RULE_SOURCE "postern.conf:12 domain \"example.org\""
#define HOST "mx1.example.net"

static const char *const rule_words[] = { "none", "may", "encrypt", "verify", "dane", "dane-only",
	"verify own", "exception" };
enum { RULE_VERIFY_OWN = 6, RULE_EXCEPTION = 7, RULE_COUNT = 8 };
static const char *const dane_words[] = { "not asked", "absent", "usable", "unusable", "error" };
enum { DANE_COUNT = 5 };
static const char *const sts_words[] = { "none", "testing named", "testing unnamed",
	"enforce named", "enforce unnamed" };
enum { STS_NOTHING, STS_TESTING_NAMED, STS_TESTING_UNNAMED, STS_ENFORCE_NAMED,
	STS_ENFORCE_UNNAMED, STS_COUNT };

struct hop {
	struct policy_requirement draft;
	struct policy_rule rule;
	struct policy_combine from;
	struct policy_plan *plan;
	struct policy_plan_host *host;
};

static char *own_names[] = { TEXT("mail.partner.example") };
static const uint8_t digest[32] = { 1, 2, 3 };
static struct policy_tlsa records[] = { { POLICY_TLSA_EE, POLICY_TLSA_KEY, POLICY_TLSA_SHA256,
	{ (const char *)digest, 32 } } };
static const char *const dane_names[] = { HOST, "example.org" };

static void set_rule(struct hop *h, unsigned rule)
{
	h->draft = (struct policy_requirement){ .level = (enum policy_level)rule,
		.minimum = TLSIO_TLS12, .source = TEXT(RULE_SOURCE) };
	if (rule == RULE_VERIFY_OWN) {
		h->draft.names = own_names;
		h->draft.name_count = 1;
	}
	if (rule == RULE_EXCEPTION) {
		h->draft.level = POLICY_LEVEL_MAY;
		h->draft.source = TEXT("postern.conf:12 exception \"example.org\"");
	}
	if (rule == RULE_VERIFY_OWN)
		h->draft.level = POLICY_LEVEL_VERIFY;
	if (h->draft.level == POLICY_LEVEL_VERIFY) {
		h->draft.trust = roots;
		h->draft.trust_name = TEXT("system");
	}
	h->rule = (struct policy_rule){
		.uses_dane = rule != RULE_EXCEPTION,
		.uses_sts = rule != RULE_EXCEPTION,
		.is_exception = rule == RULE_EXCEPTION,
	};
}

static void set_hop(struct hop *h, unsigned rule, unsigned dane, unsigned sts, bool is_mx_secure)
{
	memset(h, 0, sizeof(*h));
	set_rule(h, rule);
	h->from = (struct policy_combine){
		.rule = &h->rule,
		.rule_domain = "example.org",
		.next_hop = "example.org",
		.host = HOST,
		.is_by_mx = true,
		.is_mx_secure = is_mx_secure,
		.dane = { .state = (enum policy_dane_state)dane, .base = HOST, .names = dane_names,
			.name_count = 2, .records = dane == POLICY_DANE_USABLE ? records : NULL,
			.record_count = dane == POLICY_DANE_USABLE, .text = "signature expired",
			.is_bogus = true },
		.sts = { .is_mx_named = sts == STS_TESTING_NAMED || sts == STS_ENFORCE_NAMED,
			.mode = sts == STS_NOTHING	 ? POLICY_STS_NONE
				: sts < STS_ENFORCE_NAMED ? POLICY_STS_TESTING
							   : POLICY_STS_ENFORCE,
			.domain = "example.org", .roots = roots, .roots_name = "system",
			.roots_sha256 = roots_sha256 },
	};
}

static const struct policy_requirement *decide(struct hop *h)
{
	h->rule.requirement = policy_requirement_new(&h->draft);
	h->plan = policy_plan_new("example.org", "example.org");
	h->host = policy_plan_add_host(h->plan, h->from.host, 10);
	policy_combine_host(&h->from, h->plan, h->host, true);
	return h->host->requirement;
}

static void end(struct hop *h)
{
	policy_plan_unref(&h->plan);
	policy_requirement_unref(&h->rule.requirement);
}

static bool lost(const struct hop *h, const char *verdict, const char *words)
{
	for (size_t i = 0; i < h->plan->evidence_count; i++) {
		const struct policy_evidence *e = &h->plan->evidence[i];
		assert_int_equal(e->kind, POLICY_EVIDENCE_LOST);
		assert_string_equal(e->subject, HOST);
		if (strcmp(e->verdict, verdict) == 0 && strstr(e->text, words))
			return true;
	}
	return false;
}

/* --- the page holds ----------------------------------------------------------------------- */

static struct page_row *find_row(unsigned rule, unsigned dane, unsigned sts, bool is_mx_secure)
{
	for (size_t i = 0; i < row_count; i++) {
		if (says(rows[i].cells[CELL_RULE], rule_words[rule]) &&
			says(rows[i].cells[CELL_DANE], dane_words[dane]) &&
			says(rows[i].cells[CELL_STS], sts_words[sts]) &&
			says(rows[i].cells[CELL_MX], is_mx_secure ? "secure" : "insecure"))
			return &rows[i];
	}
	fail_msg("no row for %s, %s, %s", rule_words[rule], dane_words[dane], sts_words[sts]);
	return NULL;
}

static void check_refused(const struct hop *h, struct str reason, struct str by)
{
	assert_null(h->host->requirement);
	assert_null(h->host->testing);
	assert_int_equal(h->host->testing_reason, POLICY_REASON_NONE);
	if (!str_equal(reason, str_of(policy_reason_name(h->host->reason))))
		fail_msg("%s for %.*s", policy_reason_name(h->host->reason), STR_ARGS(reason));
	assert_non_null(strstr(h->host->text, HOST " is not used: "));
	const char *words = str_equal(by, STR("rule")) ? RULE_SOURCE
		: str_equal(by, STR("DANE"))	       ? "TLSA records could not be found out: signature expired"
						       : "the MTA-STS policy of example.org";
	assert_non_null(strstr(h->host->text, words));
}

static void check_level(const struct hop *h, struct str level, struct str by)
{
	const struct policy_requirement *r = h->host->requirement;
	assert_non_null(r);
	assert_null(h->host->text);
	assert_int_equal(h->host->reason, POLICY_REASON_NONE);
	if (str_equal(level, STR("its level")))
		level = str_of(policy_level_name(h->draft.level));
	if (!str_equal(level, str_of(policy_level_name(r->level))))
		fail_msg("%s for %.*s", policy_level_name(r->level), STR_ARGS(level));
	bool is_dane = str_starts(by, STR("DANE"));
	const char *begins = is_dane ? r->level == POLICY_LEVEL_DANE
			? "the set of TLSA records of " HOST : "the set of unusable TLSA records of " HOST
		: str_equal(by, STR("MTA-STS"))		  ? "the MTA-STS policy of example.org"
							  : h->draft.source;
	if (strncmp(r->source, begins, strlen(begins)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", r->source, begins);
	assert_int_equal(r->origin, is_dane ? POLICY_ORIGIN_DANE
			: str_equal(by, STR("MTA-STS")) ? POLICY_ORIGIN_STS
							: h->draft.origin);
	if (str_equal(by, STR("DANE, rule")))
		assert_non_null(strstr(r->source, " (and " RULE_SOURCE ")"));
}

static void check_content(const struct hop *h, struct str by)
{
	const struct policy_requirement *r = h->host->requirement;
	bool is_dane = r->level == POLICY_LEVEL_DANE;
	assert_int_equal(r->minimum, h->draft.minimum);
	assert_int_equal(r->tlsa_count, is_dane ? 1 : 0);
	assert_int_equal(r->dane_name_count, is_dane ? 2 : 0);
	if (is_dane) {
		assert_string_equal(r->server_name, HOST);
		assert_string_equal(r->dane_names[1], "example.org");
		assert_int_equal(r->trust != NULL, str_equal(by, STR("DANE, rule")));
		assert_int_equal(r->name_count > 0, str_equal(by, STR("DANE, rule")));
	} else {
		assert_null(r->server_name);
		assert_int_equal(r->trust != NULL, r->level == POLICY_LEVEL_VERIFY);
	}
	if (str_equal(by, STR("MTA-STS"))) {
		assert_int_equal(r->name_count, 1);
		assert_string_equal(r->names[0], HOST);
		assert_memory_equal(r->trust_sha256, roots_sha256, 32);
	}
}

static void check_combination(unsigned rule, unsigned dane, unsigned sts, unsigned flags)
{
	struct hop h;
	bool is_mx_secure = flags & 1;
	struct page_row *row = find_row(rule, dane, sts, is_mx_secure);
	struct str show = row->cells[CELL_SHOW], by = row->cells[CELL_BY];
	set_hop(&h, rule, dane, sts, is_mx_secure);
	h.draft.minimum = flags & 2 ? TLSIO_TLS13 : TLSIO_TLS12;
	decide(&h);
	row->decided++;
	if (str_starts(show, STR("not used: "))) {
		check_refused(&h, str_skip(show, 10), by);
	} else {
		check_level(&h, show, by);
		check_content(&h, by);
		/* Who sees only the verdict must find the rule where it added to it. */
		if (h.draft.minimum == TLSIO_TLS13)
			assert_non_null(strstr(h.host->requirement->source, h.draft.source));
	}
	end(&h);
}

static void the_page_holds_for_every_combination(void **state)
{
	(void)state;
	for (unsigned rule = 0; rule < RULE_COUNT; rule++)
		for (unsigned dane = 0; dane < DANE_COUNT; dane++)
			for (unsigned sts = 0; sts < STS_COUNT; sts++)
				for (unsigned flags = 0; flags < 4; flags++)
					check_combination(rule, dane, sts, flags);
	for (size_t i = 0; i < row_count; i++) {
		if (rows[i].decided == 0)
			fail_msg("row %zu of the page decides nothing", i + 1);
	}
}

/* --- beside the page ---------------------------------------------------------------------- */

/* `dane = false` and `mta-sts = false`: as if nothing had been found. */
static void what_the_rule_leaves_out_does_not_count_and_is_named(void **state)
{
	(void)state;
	for (unsigned dane = POLICY_DANE_USABLE; dane < DANE_COUNT; dane++)
		for (unsigned sts = STS_TESTING_NAMED; sts < STS_COUNT; sts++) {
			static const char *const verdicts[] = { "", "", "dane", "encrypt", "error" };
			struct hop h;
			set_hop(&h, POLICY_LEVEL_ENCRYPT, dane, sts, true);
			h.rule.uses_dane = h.rule.uses_sts = false;
			const struct policy_requirement *r = decide(&h);
			assert_int_equal(r->level, POLICY_LEVEL_ENCRYPT);
			assert_string_equal(r->source, RULE_SOURCE);
			assert_null(h.host->testing);
			assert_true(lost(&h, verdicts[dane], "the rule leaves it out (" RULE_SOURCE ")"));
			assert_true(lost(&h, sts < STS_ENFORCE_NAMED ? "testing" : "enforce",
				"the rule leaves it out"));
			end(&h);
		}
}

static void D22_an_exception_names_what_it_overrides(void **state)
{
	(void)state;
	struct hop h;
	set_hop(&h, RULE_EXCEPTION, POLICY_DANE_USABLE, STS_ENFORCE_NAMED, true);
	assert_int_equal(decide(&h)->level, POLICY_LEVEL_MAY);
	assert_true(lost(&h, "dane", "would have to match one of them; but the exception stands above"));
	assert_true(lost(&h, "enforce", "certificate for the host's name; but the exception stands"));
	end(&h);
}

static void M21_mta_sts_never_rescues_a_host_whose_dane_fails(void **state)
{
	(void)state;
	struct hop h;
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_ERROR, STS_ENFORCE_NAMED, true);
	assert_null(decide(&h));
	assert_true(lost(&h, "enforce", "the host is not used"));
	assert_true(lost(&h, "may", "the host is not used"));
	end(&h);
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_USABLE, STS_ENFORCE_NAMED, true);
	assert_int_equal(decide(&h)->level, POLICY_LEVEL_DANE);
	assert_true(lost(&h, "enforce", "DANE decides alone"));
	assert_true(lost(&h, "may", RULE_SOURCE " says may; but the host's usable TLSA records demand more"));
	end(&h);
}

static void D3_a_resolver_that_fails_is_told_in_plain_words(void **state)
{
	(void)state;
	struct hop h;
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_ERROR, STS_NOTHING, true);
	h.from.dane.is_bogus = false;
	h.from.dane.text = "SERVFAIL from 192.0.2.53\r\n250 x\xc3";
	assert_null(decide(&h));
	assert_int_equal(h.host->reason, POLICY_REASON_NONE);
	assert_string_equal(h.host->text, HOST " is not used: whether it has TLSA records could not be "
		"found out: SERVFAIL from 192.0.2.53??250 x?");
	end(&h);
}

static void D5_an_unproven_mx_proves_the_host_only(void **state)
{
	(void)state;
	struct hop h;
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_USABLE, STS_NOTHING, false);
	decide(&h);
	assert_false(h.host->is_domain_proven);
	end(&h);
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_USABLE, STS_NOTHING, true);
	decide(&h);
	assert_true(h.host->is_domain_proven);
	end(&h);
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_ABSENT, STS_TESTING_NAMED, false);
	decide(&h);
	assert_true(h.host->is_domain_proven);
	end(&h);
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_ABSENT, STS_TESTING_NAMED, false);
	h.rule.uses_sts = false;
	decide(&h);
	assert_false(h.host->is_domain_proven);
	end(&h);
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_ABSENT, STS_TESTING_UNNAMED, false);
	decide(&h);
	assert_false(h.host->is_domain_proven);
	end(&h);
}

static void check_domain_names(const struct policy_requirement *r)
{
	assert_int_equal(r->name_count, 2);
	assert_string_equal(r->names[0], "example.org");
	assert_string_equal(r->names[1], ".example.org");
}

static void verify_by_an_unproven_mx_wants_the_domain_in_the_certificate(void **state)
{
	(void)state;
	static const struct {
		unsigned sts;
		bool is_mx_secure, is_domain;
	} cases[] = {
		{ STS_NOTHING, true, false }, { STS_NOTHING, false, true },
		{ STS_TESTING_NAMED, false, false }, { STS_TESTING_UNNAMED, false, true },
		{ STS_TESTING_UNNAMED, true, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hop h;
		set_hop(&h, POLICY_LEVEL_VERIFY, POLICY_DANE_ABSENT, cases[i].sts,
			cases[i].is_mx_secure);
		const struct policy_requirement *r = decide(&h);
		assert_int_equal(r->level, POLICY_LEVEL_VERIFY);
		if (cases[i].is_domain)
			check_domain_names(r);
		else
			assert_int_equal(r->name_count, 0);
		assert_true(h.host->is_domain_proven);
		assert_int_equal(strstr(r->source, "not proven by DNSSEC") != NULL, cases[i].is_domain);
		end(&h);
	}
}

static void an_own_authority_without_names_wants_the_domain_too(void **state)
{
	(void)state;
	struct hop h;
	for (unsigned dane = POLICY_DANE_ABSENT; dane <= POLICY_DANE_USABLE; dane++) {
		set_hop(&h, POLICY_LEVEL_VERIFY, dane, STS_NOTHING, false);
		h.draft.trust = own_authority;
		h.draft.trust_name = TEXT("partner-ca.pem");
		const struct policy_requirement *r = decide(&h);
		check_domain_names(r);
		assert_ptr_equal(r->trust, own_authority);
		assert_string_equal(r->trust_name, "partner-ca.pem");
		end(&h);
	}
	set_hop(&h, POLICY_LEVEL_VERIFY, POLICY_DANE_USABLE, STS_ENFORCE_NAMED, true);
	h.draft.trust = own_authority;
	h.draft.trust_name = TEXT("partner-ca.pem");
	const struct policy_requirement *r = decide(&h);
	assert_int_equal(r->level, POLICY_LEVEL_DANE);
	assert_ptr_equal(r->trust, own_authority);
	assert_int_equal(r->name_count, 0);
	end(&h);
}

static void the_rules_pins_stand_beside_dane_and_before_mta_sts(void **state)
{
	(void)state;
	struct hop h;
	struct policy_pin pins[] = { { { 9 } } };
	for (unsigned dane = POLICY_DANE_ABSENT; dane <= POLICY_DANE_USABLE; dane++) {
		set_hop(&h, POLICY_LEVEL_VERIFY, dane, STS_ENFORCE_NAMED, true);
		h.draft.trust = NULL;
		h.draft.trust_name = NULL;
		h.draft.pins = pins;
		h.draft.pin_count = 1;
		const struct policy_requirement *r = decide(&h);
		assert_int_equal(r->level,
			dane == POLICY_DANE_USABLE ? POLICY_LEVEL_DANE : POLICY_LEVEL_VERIFY);
		assert_int_equal(r->pin_count, 1);
		assert_null(r->trust);
		assert_true(lost(&h, "enforce", dane == POLICY_DANE_USABLE
				? "DANE decides alone" : "the rule says itself who the host must be"));
		end(&h);
	}
}

/* "smtp host:port": the operator named the host, so nothing need prove the MX set; it is its own
 * policy's only candidate. */
static void a_host_by_name_needs_no_mx(void **state)
{
	(void)state;
	struct hop h;
	set_hop(&h, POLICY_LEVEL_DANE_ONLY, POLICY_DANE_USABLE, STS_NOTHING, false);
	h.from.is_by_mx = false;
	assert_int_equal(decide(&h)->level, POLICY_LEVEL_DANE);
	assert_non_null(strstr(h.host->requirement->source, "(and " RULE_SOURCE ")"));
	assert_true(h.host->is_domain_proven);
	end(&h);
	set_hop(&h, POLICY_LEVEL_VERIFY, POLICY_DANE_ABSENT, STS_ENFORCE_UNNAMED, false);
	h.from.is_by_mx = false;
	assert_null(decide(&h));
	assert_int_equal(h.host->reason, POLICY_REASON_VALIDATION_FAILURE);
	end(&h);
	set_hop(&h, POLICY_LEVEL_VERIFY, POLICY_DANE_ABSENT, STS_NOTHING, false);
	h.from.is_by_mx = false;
	assert_int_equal(decide(&h)->level, POLICY_LEVEL_VERIFY);
	assert_int_equal(h.host->requirement->name_count, 0);
	end(&h);
}

static void M17_testing_is_judged_besides_and_never_obeyed(void **state)
{
	(void)state;
	struct hop h;
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_ABSENT, STS_TESTING_NAMED, false);
	assert_int_equal(decide(&h)->level, POLICY_LEVEL_MAY);
	assert_non_null(h.host->testing);
	assert_int_equal(h.host->testing->level, POLICY_LEVEL_VERIFY);
	assert_string_equal(h.host->testing->names[0], HOST);
	assert_ptr_equal(h.host->testing->trust, roots);
	assert_int_equal(h.host->testing_reason, POLICY_REASON_NONE);
	assert_true(lost(&h, "testing", "judged and reported, not obeyed"));
	end(&h);
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_ABSENT, STS_TESTING_UNNAMED, false);
	assert_int_equal(decide(&h)->level, POLICY_LEVEL_MAY);
	assert_null(h.host->testing);
	assert_int_equal(h.host->testing_reason, POLICY_REASON_VALIDATION_FAILURE);
	end(&h);
	/* Where no TLS is wanted, nothing can be judged. */
	for (unsigned sts = STS_TESTING_NAMED; sts <= STS_TESTING_UNNAMED; sts++) {
		set_hop(&h, POLICY_LEVEL_NONE, POLICY_DANE_ABSENT, sts, false);
		assert_int_equal(decide(&h)->level, POLICY_LEVEL_NONE);
		assert_null(h.host->testing);
		assert_int_equal(h.host->testing_reason, POLICY_REASON_NONE);
		end(&h);
	}
}

static void D12_unusable_records_are_tls_without_authentication(void **state)
{
	(void)state;
	struct hop h;
	set_hop(&h, POLICY_LEVEL_NONE, POLICY_DANE_UNUSABLE, STS_NOTHING, true);
	assert_string_equal(decide(&h)->source,
		"the set of unusable TLSA records of " HOST);
	assert_true(lost(&h, "none", "none of them usable, which demand TLS"));
	end(&h);
	set_hop(&h, POLICY_LEVEL_ENCRYPT, POLICY_DANE_UNUSABLE, STS_NOTHING, true);
	assert_string_equal(decide(&h)->source, RULE_SOURCE
		" (and the set of unusable TLSA records of " HOST ")");
	assert_int_equal(h.plan->evidence_count, 0);
	end(&h);
	set_hop(&h, POLICY_LEVEL_VERIFY, POLICY_DANE_UNUSABLE, STS_NOTHING, true);
	assert_int_equal(decide(&h)->level, POLICY_LEVEL_VERIFY);
	assert_true(lost(&h, "encrypt", "more is demanded"));
	end(&h);
}

/* Domains that share a host share its connections exactly when they demand the same of it. */
static void equal_demands_are_equal_whoever_makes_them(void **state)
{
	(void)state;
	struct hop a, b;
	set_hop(&a, POLICY_LEVEL_MAY, POLICY_DANE_USABLE, STS_NOTHING, true);
	set_hop(&b, POLICY_LEVEL_DANE_ONLY, POLICY_DANE_USABLE, STS_ENFORCE_NAMED, true);
	assert_string_equal(decide(&a)->fingerprint, decide(&b)->fingerprint);
	end(&a);
	end(&b);
	set_hop(&a, POLICY_LEVEL_DANE, POLICY_DANE_ABSENT, STS_NOTHING, true);
	set_hop(&b, POLICY_LEVEL_MAY, POLICY_DANE_NOT_ASKED, STS_TESTING_NAMED, false);
	assert_string_equal(decide(&a)->fingerprint, decide(&b)->fingerprint);
	end(&a);
	end(&b);
}

static void says_nothing_besides_unless_asked(void **state)
{
	(void)state;
	struct hop h;
	set_hop(&h, POLICY_LEVEL_MAY, POLICY_DANE_USABLE, STS_ENFORCE_NAMED, true);
	h.rule.requirement = policy_requirement_new(&h.draft);
	h.plan = policy_plan_new("example.org", "example.org");
	h.host = policy_plan_add_host(h.plan, HOST, 10);
	policy_combine_host(&h.from, h.plan, h.host, false);
	assert_int_equal(h.plan->evidence_count, 0);
	end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_holds_for_every_combination),
		cmocka_unit_test(what_the_rule_leaves_out_does_not_count_and_is_named),
		cmocka_unit_test(D22_an_exception_names_what_it_overrides),
		cmocka_unit_test(M21_mta_sts_never_rescues_a_host_whose_dane_fails),
		cmocka_unit_test(D3_a_resolver_that_fails_is_told_in_plain_words),
		cmocka_unit_test(D5_an_unproven_mx_proves_the_host_only),
		cmocka_unit_test(verify_by_an_unproven_mx_wants_the_domain_in_the_certificate),
		cmocka_unit_test(an_own_authority_without_names_wants_the_domain_too),
		cmocka_unit_test(the_rules_pins_stand_beside_dane_and_before_mta_sts),
		cmocka_unit_test(a_host_by_name_needs_no_mx),
		cmocka_unit_test(M17_testing_is_judged_besides_and_never_obeyed),
		cmocka_unit_test(D12_unusable_records_are_tls_without_authentication),
		cmocka_unit_test(equal_demands_are_equal_whoever_makes_them),
		cmocka_unit_test(says_nothing_besides_unless_asked),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
