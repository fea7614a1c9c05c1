/* fuzz_tlsa: a set of TLSA records from anybody, against one peer.
 *
 * Input: records one behind the other, each a byte "how", two bytes of length and the RDATA. The low
 * two bits of "how" say what becomes of the data: 0 as it stands; 1, 2, 3 what a record of the leaf,
 * its issuer or the root would hold, its first byte changed where more bits are set. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

#include "policy/policy_dane.h"
#include "tests/policy/make_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 48, DATA_BYTES = 2048 };

static struct made_peer peer;
static char *names[] = { (char *)(uintptr_t) "mx.example.net" };

static void make_world(void)
{
	static const char *const san[] = { "mx.example.net", NULL };
	struct made root = make_certificate("root", NULL, true, NULL);
	struct made middle = make_certificate("middle", NULL, true, &root);
	struct made leaf = make_certificate("leaf", san, false, &middle);
	make_peer(&peer, (const struct made *[]){ &leaf, &middle, &root }, 3);
	free_certificate(&leaf);
	free_certificate(&middle);
	free_certificate(&root);
}

/* What a true record of the index-th certificate holds; false when there is no such kind. */
static bool true_data(
	size_t index, const struct policy_tlsa *tlsa, uint8_t into[DATA_BYTES], size_t *ret_length)
{
	const struct tlsio_certificate *of = &peer.chain[index];
	struct str bytes = tlsa->selector == 1 ? of->spki : of->der;
	if (tlsa->matching > 2 || tlsa->selector > 1)
		return false;
	*ret_length = tlsa->matching == 0 ? bytes.length : tlsa->matching == 1 ? 32 : 64;
	if (tlsa->matching == 0)
		memcpy(into, bytes.at, bytes.length);
	else
		gnutls_hash_fast(tlsa->matching == 1 ? GNUTLS_DIG_SHA256 : GNUTLS_DIG_SHA512,
			bytes.at, bytes.length, into);
	return true;
}

/* Whatever way the bytes came: a fuzzer that watches comparisons learns digests. */
static bool is_true(const struct policy_tlsa *tlsa)
{
	uint8_t made[DATA_BYTES];
	size_t length;
	for (size_t i = 0; i < peer.peer.chain_count; i++) {
		if ((tlsa->usage == POLICY_TLSA_TA || (tlsa->usage == POLICY_TLSA_EE && i == 0)) &&
			true_data(i, tlsa, made, &length) &&
			str_equal(tlsa->data, str_from(made, length)))
			return true;
	}
	return false;
}

struct set {
	struct policy_tlsa records[RECORDS];
	uint8_t *data[RECORDS]; /* a block of just that size each */
	bool is_true[RECORDS];
	size_t count;
};

static void add(struct set *set, uint8_t how, struct str rdata)
{
	uint8_t made[DATA_BYTES];
	size_t length;
	struct policy_tlsa *tlsa = &set->records[set->count];
	bool is_parsed = policy_dane_parse(rdata, tlsa);
	assert(is_parsed == (rdata.length >= 4));
	if (!is_parsed)
		return;
	if ((how & 3) && true_data((how & 3) - 1U, tlsa, made, &length)) {
		made[0] ^= how >> 2;
		tlsa->data = str_from(made, length);
	}
	uint8_t *own = malloc(tlsa->data.length);
	memcpy(own, tlsa->data.at, tlsa->data.length);
	tlsa->data.at = (const char *)own;
	set->is_true[set->count] = is_true(tlsa);
	set->data[set->count++] = own;
}

static void check_selected(const struct policy_tlsa *selected, size_t count)
{
	assert(count <= POLICY_TLSA_MOST);
	for (size_t i = 0; i < count; i++) {
		char text[40];
		assert(policy_dane_is_usable(&selected[i]));
		assert(strlen(policy_dane_format(&selected[i], text, sizeof(text))) < sizeof(text));
		for (size_t j = 0; j < count; j++) /* RFC 7671 section 9 */
			assert(selected[i].usage != selected[j].usage ||
				selected[i].selector != selected[j].selector ||
				selected[i].matching != 1 || selected[j].matching != 2);
	}
}

static void check_match(const struct set *set, const struct policy_tlsa *selected, size_t count)
{
	size_t index = count;
	enum policy_dane_match match =
		policy_dane_match(&peer.peer, selected, count, names, 1, &index);
	bool any_true = false;
	size_t anchors = 0;
	for (size_t j = 0; j < count; j++)
		anchors += selected[j].usage == POLICY_TLSA_TA;
	for (size_t i = 0; i < set->count; i++) {
		for (size_t j = 0; j < count; j++)
			any_true |= set->is_true[i] &&
				    set->data[i] == (const void *)selected[j].data.at;
	}
	assert(match != POLICY_DANE_MATCH || any_true);
	/* each may fit every certificate, and be looked for above them; no more ways are gone */
	if (anchors <= POLICY_DANE_PATHS_MOST / (peer.peer.chain_count + 1))
		assert(match == POLICY_DANE_MATCH || !any_true);
	assert((match == POLICY_DANE_MATCH) == (index < count));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct set set = { .count = 0 };
	struct policy_tlsa selected[RECORDS];
	if (peer.peer.chain_count == 0)
		make_world();
	while (size >= 3 && set.count < RECORDS) {
		size_t length = (size_t)data[1] << 8 | data[2];
		if (length > size - 3)
			length = size - 3;
		add(&set, data[0], str_from(data + 3, length));
		data += 3 + length;
		size -= 3 + length;
	}
	size_t count = policy_dane_select(set.records, set.count, selected);
	check_selected(selected, count);
	check_match(&set, selected, count);
	while (set.count > 0)
		free(set.data[--set.count]);
	return 0;
}
