/* policy_requirement: what a peer must show. Immutable, shared by reference. Pure.
 *
 * For:     policy_rules gives one per domain; relay carries it with the connection (pool key,
 *          TLS session key); policy_judge holds the facts against it.
 */
#ifndef POLICY_POLICY_REQUIREMENT_H
#define POLICY_POLICY_REQUIREMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_trust.h"
#include "policy/policy_dane.h"

enum policy_level {
	POLICY_LEVEL_NONE,    /* never TLS */
	POLICY_LEVEL_MAY,     /* TLS where offered, in clear otherwise (opportunistic, RFC 7435) */
	POLICY_LEVEL_ENCRYPT, /* TLS or nothing; any certificate */
	POLICY_LEVEL_VERIFY,  /* TLS, chain to an authority (or pinned key), and a name that fits */
	/* In a rule: DANE where the host has usable TLSA records, as MAY elsewhere (this is what
	 * every rule does unless it says otherwise; the word is Postfix's). In a host's requirement
	 * (policy_combine): the `tlsa` records must match; without records nothing passes. */
	POLICY_LEVEL_DANE,
	POLICY_LEVEL_DANE_ONLY, /* the same, but a host without usable records is not used */
};
/* "none", "may", "encrypt", "verify", "dane", "dane-only" */
const char *policy_level_name(enum policy_level level);
bool policy_level_parse(struct str text, enum policy_level *ret);

/* Who demands it, for logs and words. */
enum policy_origin {
	POLICY_ORIGIN_RULE, /* the operator's file, or what holds without a word in it */
	POLICY_ORIGIN_EXCEPTION,
	POLICY_ORIGIN_DANE, /* TLSA records of the host, unusable ones too */
	POLICY_ORIGIN_STS,
};
/* "rule", "exception", "dane", "sts" */
const char *policy_origin_name(enum policy_origin origin);

struct policy_pin {
	uint8_t spki_sha256[32];
};
/* "sha256:" and 64 hexadecimal digits (":" between bytes allowed) or base64. */
int policy_pin_parse(struct str text, struct policy_pin *ret, struct err *err);

struct policy_requirement {
	unsigned references;
	enum policy_level level;
	enum tlsio_version minimum; /* MAY: a peer below it gets a clear session instead */
	/* VERIFY: names any of which must match; none = the name of the host we dial. An entry
	 * ".example.net" stands for any host below. */
	char **names;
	size_t name_count;
	struct tlsio_trust *trust; /* shares; VERIFY with pins only: NULL */
	char *trust_name;	   /* file of the own CA, or "system", for words */
	uint8_t trust_sha256[32];  /* of the content: other authorities, another demand */
	/* Keys (SPKI), any of which must be there. Leaf's key: with pins and no trust it alone
	 * decides (names and dates do not matter, as DANE-EE). An issuer's key counts when the
	 * chain really leads to it; without trust it then stands for the authority and the name
	 * must fit (as DANE-TA): anybody can append a foreign certificate to his chain. */
	struct policy_pin *pins;
	size_t pin_count;
	/* DANE, DANE_ONLY: selected records (policy_dane_select), any of which must match, and the
	 * reference names for usage 2 (RFC 7672 3.2.2), A-labels. The rule's own trust, names and
	 * pins, where there are any, must be met besides. */
	struct policy_tlsa *tlsa;
	size_t tlsa_count;
	char **dane_names;
	size_t dane_name_count;
	char *server_name; /* SNI (the TLSA base domain, RFC 7672 8.1); NULL: the host we dial */
	enum policy_origin origin;
	char *source;		   /* where it was said: "postern.conf:12 domain \"example.org\"" */
	char fingerprint[33];	   /* hexadecimal; equal for equal demands, whatever the source */
};

/* NULL gives NULL. */
struct policy_requirement *policy_requirement_ref(struct policy_requirement *r);
void policy_requirement_unref(struct policy_requirement **r);

/* Makes one (references = 1): copies names, pins, records and texts, shares trust, computes
 * fingerprint. */
struct policy_requirement *policy_requirement_new(const struct policy_requirement *from);

#endif
