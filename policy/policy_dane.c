#include "policy/policy_dane.h"

#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_digest.h"

enum { HEADER_BYTES = 3 };

bool policy_dane_parse(struct str rdata, struct policy_tlsa *ret)
{
	const uint8_t *at = (const uint8_t *)rdata.at;
	if (rdata.length <= HEADER_BYTES)
		return false;
	*ret = (struct policy_tlsa){ at[0], at[1], at[2], str_skip(rdata, HEADER_BYTES) };
	return true;
}

const char *policy_dane_format(const struct policy_tlsa *tlsa, char *into, size_t capacity)
{
	if (capacity == 0)
		return into;
	int written =
		snprintf(into, capacity, "%d %d %d ", tlsa->usage, tlsa->selector, tlsa->matching);
	size_t used = (size_t)written;
	if (used + 4 > capacity) /* no room for a single digit and a cut */
		return into;
	size_t room = capacity - used - 1, bytes = tlsa->data.length;
	bool is_cut = bytes > room / 2;
	if (is_cut)
		bytes = (room - 3) / 2;
	codec_hex(tlsa->data.at, bytes, into + used);
	if (is_cut)
		memcpy(into + used + 2 * bytes, "...", 4);
	return into;
}

bool policy_dane_is_usable(const struct policy_tlsa *tlsa)
{
	if (tlsa->usage != POLICY_TLSA_TA && tlsa->usage != POLICY_TLSA_EE)
		return false;
	if (tlsa->selector != POLICY_TLSA_CERTIFICATE && tlsa->selector != POLICY_TLSA_KEY)
		return false;
	switch (tlsa->matching) {
	case POLICY_TLSA_FULL:
		if (tlsa->data.length > POLICY_TLSA_DATA_BYTES)
			return false;
		return tlsa->selector == POLICY_TLSA_KEY ? tlsio_peer_is_key(tlsa->data)
							 : tlsio_peer_is_certificate(tlsa->data);
	case POLICY_TLSA_SHA256:
		return tlsa->data.length == TLSIO_DIGEST_SHA256_BYTES;
	case POLICY_TLSA_SHA512:
		return tlsa->data.length == TLSIO_DIGEST_SHA512_BYTES;
	default:
		return false;
	}
}

static bool is_same(const struct policy_tlsa *a, const struct policy_tlsa *b)
{
	return a->usage == b->usage && a->selector == b->selector && a->matching == b->matching &&
	       str_equal(a->data, b->data);
}

/* A stronger digest of the same usage and selector stands among them (RFC 7671 section 9). */
static bool is_outdone(const struct policy_tlsa *tlsa, const struct policy_tlsa *all, size_t count)
{
	if (tlsa->matching != POLICY_TLSA_SHA256)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (all[i].usage == tlsa->usage && all[i].selector == tlsa->selector &&
			all[i].matching == POLICY_TLSA_SHA512)
			return true;
	}
	return false;
}

size_t policy_dane_select(const struct policy_tlsa *records, size_t count, struct policy_tlsa *ret)
{
	struct policy_tlsa usable[POLICY_TLSA_MOST];
	size_t usable_count = 0, kept = 0;
	for (size_t i = 0; i < count && usable_count < POLICY_TLSA_MOST; i++) {
		bool is_new = true;
		for (size_t j = 0; j < usable_count && is_new; j++)
			is_new = !is_same(&records[i], &usable[j]);
		if (is_new && policy_dane_is_usable(&records[i]))
			usable[usable_count++] = records[i];
	}
	for (size_t i = 0; i < usable_count; i++) {
		if (!is_outdone(&usable[i], usable, usable_count))
			ret[kept++] = usable[i];
	}
	return kept;
}

static bool fits(const struct policy_tlsa *tlsa, const struct tlsio_certificate *certificate)
{
	uint8_t digest[TLSIO_DIGEST_SHA512_BYTES];
	struct str bytes = tlsa->selector == POLICY_TLSA_KEY ? certificate->spki : certificate->der;
	if (bytes.length == 0)
		return false; /* a certificate without a key that can be read */
	switch (tlsa->matching) {
	case POLICY_TLSA_FULL:
		return str_equal(tlsa->data, bytes);
	case POLICY_TLSA_SHA256:
		return str_equal(tlsa->data,
			str_from(tlsa->selector == POLICY_TLSA_KEY ? certificate->spki_sha256
								   : certificate->sha256,
				TLSIO_DIGEST_SHA256_BYTES));
	default:
		tlsio_digest_sha512(bytes, digest);
		return str_equal(tlsa->data, str_from(digest, sizeof(digest)));
	}
}

/* Of a chain up to its anchor. What is wrong besides an end date weighs more than the date. */
static enum policy_dane_match match_of_faults(unsigned faults)
{
	if (faults == 0)
		return POLICY_DANE_MATCH;
	if (faults & ~(unsigned)(TLSIO_CHAIN_EXPIRED | TLSIO_CHAIN_NOT_YET_VALID))
		return POLICY_DANE_BROKEN;
	return POLICY_DANE_EXPIRED;
}

/* The nearer to a match, the more it tells. */
static enum policy_dane_match nearer(enum policy_dane_match a, enum policy_dane_match b)
{
	static const int distance[] = { [POLICY_DANE_MATCH] = 0,
		[POLICY_DANE_NAME] = 1,
		[POLICY_DANE_EXPIRED] = 2,
		[POLICY_DANE_BROKEN] = 3,
		[POLICY_DANE_NO_MATCH] = 4,
		[POLICY_DANE_NO_CERTIFICATE] = 5 };
	return distance[b] < distance[a] ? b : a;
}

/* An anchor that only DNS shows: a host may leave it out of its chain (RFC 7671 5.2.1, 5.2.2). Of a
 * chain that does not lead there the record says nothing: NO_MATCH. */
static enum policy_dane_match match_absent_anchor(
	const struct tlsio_peer *peer, const struct policy_tlsa *tlsa, unsigned *paths_left)
{
	if (tlsa->matching != POLICY_TLSA_FULL || *paths_left == 0)
		return POLICY_DANE_NO_MATCH;
	--*paths_left;
	unsigned faults = tlsa->selector == POLICY_TLSA_KEY
				  ? tlsio_peer_faults_to_key(peer, tlsa->data)
				  : tlsio_peer_faults_to(peer, tlsa->data);
	return faults & TLSIO_CHAIN_UNTRUSTED ? POLICY_DANE_NO_MATCH : match_of_faults(faults);
}

static enum policy_dane_match match_anchor(
	const struct tlsio_peer *peer, const struct policy_tlsa *tlsa, unsigned *paths_left)
{
	enum policy_dane_match best = POLICY_DANE_NO_MATCH;
	for (size_t i = 0; i < peer->chain_count && best != POLICY_DANE_MATCH; i++) {
		if (!fits(tlsa, &peer->chain[i]) || *paths_left == 0)
			continue;
		--*paths_left;
		best = nearer(
			best, match_of_faults(tlsio_peer_faults_to(peer, peer->chain[i].der)));
	}
	return best == POLICY_DANE_NO_MATCH ? match_absent_anchor(peer, tlsa, paths_left) : best;
}

static bool has_any_name(const struct tlsio_peer *peer, char *const *names, size_t name_count)
{
	for (size_t i = 0; i < name_count; i++) {
		if (tlsio_peer_has_name_or_cn(peer, names[i]))
			return true;
	}
	return false;
}

enum policy_dane_match policy_dane_match(const struct tlsio_peer *peer,
	const struct policy_tlsa *records, size_t count, char *const *names, size_t name_count,
	size_t *ret_index)
{
	if (peer->chain_count == 0)
		return POLICY_DANE_NO_CERTIFICATE;
	enum policy_dane_match best = POLICY_DANE_NO_MATCH;
	unsigned paths_left = POLICY_DANE_PATHS_MOST;
	for (size_t i = 0; i < count; i++) {
		enum policy_dane_match match;
		if (records[i].usage == POLICY_TLSA_EE)
			match = fits(&records[i], &peer->chain[0]) ? POLICY_DANE_MATCH
								   : POLICY_DANE_NO_MATCH;
		else
			match = match_anchor(peer, &records[i], &paths_left);
		if (match == POLICY_DANE_MATCH && records[i].usage == POLICY_TLSA_TA &&
			!has_any_name(peer, names, name_count))
			match = POLICY_DANE_NAME;
		if (match == POLICY_DANE_MATCH) {
			if (ret_index)
				*ret_index = i;
			return match;
		}
		best = nearer(best, match);
	}
	return best;
}
