/* Every (usage x selector x matching type x whose record x chain x name) against what the RFCs say.
 * The oracle knows how each chain was made, never how it is checked. */
#include "policy/policy_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/crypto.h>

#include "tests/policy/make_peer.h"

#define HOST "mx.example.net"
#define DOMAIN "example.net"
#define TEXT(literal) ((char *)(uintptr_t)(literal))

enum name { SAME, UPPER_CASE, WILDCARD, THE_DOMAIN, CN_ALONE, OTHER_NAME, CN_BESIDE_SAN, FRAGMENT,
	WILDCARD_ABOVE, NAMES };

/* RFC 7672 3.2.2, 3.2.3: host or domain; a wildcard is one whole label; the common name counts only
 * where the SAN has no DNS name. */
static const struct {
	const char *common_name;
	const char *san[2];
	bool fits;
} names[NAMES] = {
	[SAME] = { "leaf", { HOST }, true },
	[UPPER_CASE] = { "leaf", { "MX.Example.NET" }, true },
	[WILDCARD] = { "leaf", { "*.example.net" }, true },
	[THE_DOMAIN] = { "leaf", { DOMAIN }, true },
	[CN_ALONE] = { HOST, { NULL }, true },
	[OTHER_NAME] = { "leaf", { "mx.example.org" }, false },
	[CN_BESIDE_SAN] = { HOST, { "mx.example.org" }, false },
	[FRAGMENT] = { "leaf", { "m*.example.net" }, false },
	[WILDCARD_ABOVE] = { "leaf", { "*.net" }, false },
};

enum issuer { TOP, MIDDLE, EXPIRED_MIDDLE, NO_AUTHORITY, EVIL, EVIL_NAMESAKE, STRANGER, ISSUERS,
	ITSELF };
static struct made issuers[ISSUERS];

/* How a certificate stands to the leaf shown. */
enum standing {
	FOREIGN,    /* not shown, and did not lead here */
	SHOWN,	    /* and the leaf leads there (or is it) */
	LEFT_OUT,   /* not shown, and all up to it is, and good */
	SHOWN_LATE, /* the leaf leads there, but out of time */
	LATE_LEFT_OUT,
	APPENDED, /* shown, but the leaf does not validly lead there */
};
enum whose { OF_LEAF, OF_MIDDLE, OF_TOP, OF_NOBODY, WHOSE };

enum { LEAF = -1, END = -2 };
static const struct chain {
	const char *what;
	enum issuer leaf_by;
	bool is_leaf_expired, is_leaf_sha1;
	int shown[5]; /* LEAF and issuers, to END */
	enum issuer middle; /* whom the record of the middle one means */
	enum standing standing[WHOSE];
} chains[] = {
	{ "good", MIDDLE, false, false, { LEAF, MIDDLE, TOP, END }, MIDDLE,
		{ SHOWN, SHOWN, SHOWN, FOREIGN } },
	{ "good, in disorder", MIDDLE, false, false, { LEAF, TOP, MIDDLE, END }, MIDDLE,
		{ SHOWN, SHOWN, SHOWN, FOREIGN } },
	{ "good, a stranger among it", MIDDLE, false, false, { LEAF, STRANGER, MIDDLE, TOP, END },
		MIDDLE, { SHOWN, SHOWN, SHOWN, FOREIGN } },
	{ "good, without the top", MIDDLE, false, false, { LEAF, MIDDLE, END }, MIDDLE,
		{ SHOWN, SHOWN, LEFT_OUT, FOREIGN } },
	{ "good, leaf alone", MIDDLE, false, false, { LEAF, END }, MIDDLE,
		{ SHOWN, LEFT_OUT, FOREIGN, FOREIGN } },
	{ "leaf by the top itself, alone", TOP, false, false, { LEAF, END }, MIDDLE,
		{ SHOWN, FOREIGN, LEFT_OUT, FOREIGN } },
	{ "leaf expired", MIDDLE, true, false, { LEAF, MIDDLE, TOP, END }, MIDDLE,
		{ SHOWN_LATE, SHOWN_LATE, SHOWN_LATE, FOREIGN } },
	{ "leaf expired, without the top", MIDDLE, true, false, { LEAF, MIDDLE, END }, MIDDLE,
		{ SHOWN_LATE, SHOWN_LATE, LATE_LEFT_OUT, FOREIGN } },
	{ "issuer expired", EXPIRED_MIDDLE, false, false, { LEAF, EXPIRED_MIDDLE, TOP, END },
		EXPIRED_MIDDLE, { SHOWN, SHOWN_LATE, SHOWN_LATE, FOREIGN } },
	{ "issuer is no authority", NO_AUTHORITY, false, false, { LEAF, NO_AUTHORITY, TOP, END },
		NO_AUTHORITY, { SHOWN, APPENDED, APPENDED, FOREIGN } },
	{ "unknown authority", STRANGER, false, false, { LEAF, STRANGER, END }, MIDDLE,
		{ SHOWN, FOREIGN, FOREIGN, FOREIGN } },
	{ "forged, top appended", EVIL, false, false, { LEAF, EVIL, TOP, END }, MIDDLE,
		{ SHOWN, FOREIGN, APPENDED, FOREIGN } },
	{ "forged, both appended", EVIL, false, false, { LEAF, EVIL, MIDDLE, TOP, END }, MIDDLE,
		{ SHOWN, APPENDED, APPENDED, FOREIGN } },
	{ "forged, middle appended", EVIL, false, false, { LEAF, EVIL, MIDDLE, END }, MIDDLE,
		{ SHOWN, APPENDED, FOREIGN, FOREIGN } },
	{ "forged by a namesake", EVIL_NAMESAKE, false, false,
		{ LEAF, EVIL_NAMESAKE, MIDDLE, TOP, END }, MIDDLE,
		{ SHOWN, APPENDED, APPENDED, FOREIGN } },
	{ "forged by a hidden namesake", EVIL_NAMESAKE, false, false, { LEAF, MIDDLE, TOP, END },
		MIDDLE, { SHOWN, APPENDED, APPENDED, FOREIGN } },
	{ "self-signed", ITSELF, false, false, { LEAF, END }, MIDDLE,
		{ SHOWN, FOREIGN, FOREIGN, FOREIGN } },
	{ "self-signed, top appended", ITSELF, false, false, { LEAF, TOP, END }, MIDDLE,
		{ SHOWN, FOREIGN, APPENDED, FOREIGN } },
	{ "self-signed, expired", ITSELF, true, false, { LEAF, END }, MIDDLE,
		{ SHOWN_LATE, FOREIGN, FOREIGN, FOREIGN } },
	{ "signed with SHA-1", MIDDLE, false, true, { LEAF, MIDDLE, TOP, END }, MIDDLE,
		{ SHOWN, APPENDED, APPENDED, FOREIGN } },
};
enum { CHAINS = sizeof(chains) / sizeof(chains[0]) };

static int make_world(void **state)
{
	(void)state;
	issuers[TOP] = make_certificate("top", NULL, true, NULL);
	issuers[MIDDLE] = make_certificate("middle", NULL, true, &issuers[TOP]);
	issuers[EXPIRED_MIDDLE] = make_certificate_until(
		"expired", NULL, true, &issuers[TOP], time(NULL) - 86400);
	issuers[NO_AUTHORITY] = make_certificate("no authority", NULL, false, &issuers[TOP]);
	issuers[EVIL] = make_certificate("evil", NULL, true, NULL);
	issuers[EVIL_NAMESAKE] = make_certificate("middle", NULL, true, NULL);
	issuers[STRANGER] = make_certificate("stranger", NULL, true, NULL);
	return 0;
}

static int free_world(void **state)
{
	(void)state;
	for (int i = 0; i < ISSUERS; i++)
		free_certificate(&issuers[i]);
	return 0;
}

static struct made make_leaf(const struct chain *chain, enum name name)
{
	const char *san[] = { names[name].san[0], NULL };
	return make_certificate_as(&(struct make_wishes){ names[name].common_name, san, false,
		chain->leaf_by == ITSELF ? NULL : &issuers[chain->leaf_by],
		chain->is_leaf_expired ? time(NULL) - 86400 : 0, chain->is_leaf_sha1 });
}

static void show(const struct chain *chain, const struct made *leaf, struct made_peer *ret)
{
	const struct made *shown[MADE_PEER_MOST];
	size_t count = 0;
	for (const int *at = chain->shown; *at != END; at++)
		shown[count++] = *at == LEAF ? leaf : &issuers[*at];
	make_peer(ret, shown, count);
}

/* A record of a certificate, made with GnuTLS alone. */
static struct policy_tlsa make_record(
	const struct made *made, int usage, int selector, int matching, unsigned char digest[64])
{
	struct made_peer peer;
	static unsigned char whole[2048];
	make_peer(&peer, &made, 1);
	struct str data = selector == 1 ? peer.chain[0].spki : peer.chain[0].der;
	assert_true(data.length <= sizeof(whole));
	memcpy(whole, data.at, data.length);
	struct policy_tlsa tlsa = { (uint8_t)usage, (uint8_t)selector, (uint8_t)matching,
		str_from(whole, data.length) };
	if (matching > 0) {
		gnutls_hash_fast(matching == 2 ? GNUTLS_DIG_SHA512 : GNUTLS_DIG_SHA256, data.at,
			data.length, digest);
		tlsa.data = str_from(digest, matching == 2 ? 64 : 32);
	}
	free_peer(&peer);
	return tlsa;
}

/* RFC 7672 3.1: usages 2 and 3; RFC 6698 2.1: selectors 0, 1; matching types 0 to 2. */
static bool is_usable(int usage, int selector, int matching)
{
	return usage >= 2 && selector <= 1 && matching <= 2;
}

static enum policy_dane_match expected(
	const struct chain *chain, enum whose whose, enum name name, int usage, int matching)
{
	/* RFC 7671 5.1, RFC 7672 3.1.1: the leaf's certificate or key and nothing else */
	if (usage == 3)
		return whose == OF_LEAF ? POLICY_DANE_MATCH : POLICY_DANE_NO_MATCH;
	/* RFC 7671 5.2: an anchor in the chain, or whole in DNS, from which the leaf validly comes,
	 * in time; RFC 7672 3.1.2: and with the name */
	switch (chain->standing[whose]) {
	case FOREIGN:
		return POLICY_DANE_NO_MATCH;
	case APPENDED:
		return POLICY_DANE_BROKEN;
	case LATE_LEFT_OUT:
		if (matching != 0)
			return POLICY_DANE_NO_MATCH;
		return POLICY_DANE_EXPIRED;
	case SHOWN_LATE:
		return POLICY_DANE_EXPIRED;
	case LEFT_OUT:
		if (matching != 0)
			return POLICY_DANE_NO_MATCH;
		break;
	case SHOWN:
		break;
	}
	return names[name].fits ? POLICY_DANE_MATCH : POLICY_DANE_NAME;
}

static enum policy_reason reason_of(enum policy_dane_match match)
{
	switch (match) {
	case POLICY_DANE_MATCH:
		return POLICY_REASON_NONE;
	case POLICY_DANE_NAME:
		return POLICY_REASON_CERTIFICATE_HOST_MISMATCH;
	case POLICY_DANE_EXPIRED:
		return POLICY_REASON_CERTIFICATE_EXPIRED;
	default:
		return POLICY_REASON_CERTIFICATE_NOT_TRUSTED;
	}
}

static char *reference_names[] = { TEXT(HOST), TEXT(DOMAIN) };

/* As the relay asks. */
static void check_judgement(const struct policy_tlsa *selected, size_t count,
	const struct made_peer *peer, enum policy_dane_match wanted, const char *where)
{
	struct policy_requirement r = { .level = POLICY_LEVEL_DANE,
		.tlsa = (struct policy_tlsa *)(uintptr_t)selected, .tlsa_count = count,
		.dane_names = reference_names, .dane_name_count = 2, .source = TEXT("TLSA") };
	bool is_good = count && wanted == POLICY_DANE_MATCH;
	enum policy_reason reason = count ? reason_of(wanted) : POLICY_REASON_DANE_REQUIRED;
	struct policy_judgement j;
	policy_judge_peer(&r, HOST, &peer->peer, &j);
	if (j.is_verified != is_good || j.verdict != (is_good ? POLICY_PASS : POLICY_REFUSE) ||
		j.reason != reason || (!is_good && !j.text[0]))
		fail_msg("%s: judged %s: %s", where, policy_reason_name(j.reason), j.text);
}

static void check(const struct chain *chain, enum name name, enum whose whose,
	const struct policy_tlsa *record, const struct made_peer *peer)
{
	char text[60], where[200];
	snprintf(where, sizeof(where), "%s, name %d, record of %d: %s", chain->what, (int)name,
		(int)whose, policy_dane_format(record, text, sizeof(text)));
	struct policy_tlsa selected[1];
	size_t count = policy_dane_select(record, 1, selected);
	if (count != is_usable(record->usage, record->selector, record->matching))
		fail_msg("%s: usable %zu", where, count);
	enum policy_dane_match wanted =
		expected(chain, whose, name, record->usage, record->matching);
	if (count > 0) {
		enum policy_dane_match got =
			policy_dane_match(&peer->peer, selected, 1, reference_names, 2, NULL);
		if (got != wanted)
			fail_msg("%s: %d, not %d", where, got, wanted);
	}
	if (name == SAME || name == OTHER_NAME) /* costs as much again */
		check_judgement(selected, count, peer, wanted, where);
}

static void check_all_records(const struct chain *chain, enum name name, const struct made *leaf,
	const struct made_peer *peer, const struct made *nobody)
{
	const struct made *of[WHOSE] = { leaf, &issuers[chain->middle], &issuers[TOP], nobody };
	for (int whose = 0; whose < WHOSE; whose++) {
		for (int n = 0; n < 4 * 3 * 4; n++) {
			unsigned char digest[64];
			struct policy_tlsa record =
				make_record(of[whose], n / 12, n / 4 % 3, n % 4, digest);
			check(chain, name, (enum whose)whose, &record, peer);
		}
	}
}

static void D11_to_D17_every_record_chain_and_name(void **state)
{
	(void)state;
	struct made nobody = make_certificate("nobody", NULL, true, NULL);
	for (size_t i = 0; i < CHAINS; i++) {
		for (int name = 0; name < NAMES; name++) {
			struct made leaf = make_leaf(&chains[i], (enum name)name);
			struct made_peer peer;
			show(&chains[i], &leaf, &peer);
			/* What the machine's own authorities say does not matter to DANE. */
			peer.peer.chain_faults = TLSIO_CHAIN_UNTRUSTED;
			check_all_records(&chains[i], (enum name)name, &leaf, &peer, &nobody);
			free_peer(&peer);
			free_certificate(&leaf);
		}
	}
	free_certificate(&nobody);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D11_to_D17_every_record_chain_and_name),
	};
	return cmocka_run_group_tests(tests, make_world, free_world);
}
