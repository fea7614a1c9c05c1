/* policy_requirement: what a peer must show. Immutable, shared by reference. Pure.
 *
 * For:     policy_rules gives one per domain; relay carries it with the connection (pool key,
 *          TLS session key); policy_judge holds the facts against it.
 */
#ifndef POLICY_POLICY_REQUIREMENT_H
#define POLICY_POLICY_REQUIREMENT_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_trust.h"

enum policy_level {
	POLICY_LEVEL_NONE,    /* never TLS */
	POLICY_LEVEL_MAY,     /* TLS where offered, in clear otherwise (opportunistic, RFC 7435) */
	POLICY_LEVEL_ENCRYPT, /* TLS or nothing; any certificate */
	POLICY_LEVEL_VERIFY,  /* TLS, chain to an authority (or pinned key), and a name that fits */
};
/* "none", "may", "encrypt", "verify" */
const char *policy_level_name(enum policy_level level);

struct policy_pin {
	uint8_t spki_sha256[32];
};

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
	/* Keys (SPKI) of the leaf, or of an issuer in the chain, any of which must be there. With
	 * pins and no trust, the pin alone decides (names and dates do not matter). */
	struct policy_pin *pins;
	size_t pin_count;
	char *source;		   /* where it was said: "postern.conf:12 domain \"example.org\"" */
	char fingerprint[33];	   /* hexadecimal; equal for equal demands, whatever the source */
};

struct policy_requirement *policy_requirement_ref(struct policy_requirement *r);
void policy_requirement_unref(struct policy_requirement **r);

/* Makes one (references = 1): copies names, pins and texts, shares trust, computes fingerprint. */
struct policy_requirement *policy_requirement_new(const struct policy_requirement *from);

#endif
