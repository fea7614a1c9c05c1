/* tlsio_peer: what was negotiated and what the peer proved, as plain data.
 *
 * For:     policy, which judges; logs and Received lines, which tell.
 * Promise: states facts, never judges. Immutable once made. A resumed session carries the stored
 *          chain, verified again against this connection's trust and names: resumption alone
 *          proves nothing.
 */
#ifndef LIBTLSIO_TLSIO_PEER_H
#define LIBTLSIO_TLSIO_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"

enum tlsio_version { TLSIO_VERSION_NONE = 0, TLSIO_TLS12 = 12, TLSIO_TLS13 = 13 };
/* "TLS1.2", "TLS1.3", "none" */
const char *tlsio_version_name(enum tlsio_version version);
/* Accepts "1.2", "TLS1.2", "TLSv1.2" and the same for 1.3; false otherwise. */
bool tlsio_version_parse(struct str text, enum tlsio_version *ret);

/* The verification result, fault by fault; more than one may be set. */
enum tlsio_chain_fault {
	TLSIO_CHAIN_ABSENT = 1 << 0,    /* no certificate shown */
	TLSIO_CHAIN_UNTRUSTED = 1 << 1, /* leads to no trusted authority */
	TLSIO_CHAIN_EXPIRED = 1 << 2,
	TLSIO_CHAIN_NOT_YET_VALID = 1 << 3,
	TLSIO_CHAIN_REVOKED = 1 << 4,
	TLSIO_CHAIN_WEAK = 1 << 5, /* insecure algorithm or key size */
	TLSIO_CHAIN_WRONG_PURPOSE = 1 << 6,
	TLSIO_CHAIN_BROKEN = 1 << 7,    /* bad signature, unparsable, constraint violated */
	TLSIO_CHAIN_UNCHECKED = 1 << 8, /* no trust list was given to check against */
};

enum tlsio_ocsp {
	TLSIO_OCSP_NONE,    /* nothing stapled */
	TLSIO_OCSP_GOOD,    /* a fresh answer, signed by the issuer, says good */
	TLSIO_OCSP_REVOKED, /* it says revoked */
	TLSIO_OCSP_INVALID, /* not fresh, not signed rightly, or not about this certificate */
};
/* "none", "good", "revoked", "invalid" */
const char *tlsio_ocsp_name(enum tlsio_ocsp ocsp);

struct tlsio_certificate {
	struct str der;          /* the whole certificate */
	struct str spki;         /* its SubjectPublicKeyInfo, DER */
	uint8_t sha256[32];      /* of der */
	uint8_t spki_sha256[32]; /* of spki: what key pins compare */
};

struct tlsio_peer {
	enum tlsio_version version;
	const char *suite; /* IANA name, "TLS_AES_256_GCM_SHA384"; static */
	uint16_t suite_id; /* IANA code */
	const char *group; /* IANA name of the key exchange group, "x25519"; static; NULL unknown */
	bool is_resumed;
	const char *server_name; /* SNI sent (client) or received (server); NULL none */

	/* the peer's certificate chain, leaf first; count 0 when it showed none */
	const struct tlsio_certificate *chain;
	size_t chain_count;
	unsigned chain_faults; /* enum tlsio_chain_fault bits; 0 = valid to a trusted authority */
	const char *matched_name; /* the reference name that matched the leaf; NULL none matched */
	bool has_dns_names;       /* the leaf has a SAN dNSName (MTA-STS and RFC 9525 want it) */
	const char *subject;      /* leaf, RFC 4514 text; NULL none */
	const char *issuer;
	int64_t not_after_s; /* leaf's expiry, seconds since 1970 */
	enum tlsio_ocsp ocsp; /* what was stapled (client side) */
};

/* Words for the faults, "certificate has expired; issuer is not trusted", into text. Returns text;
 * "valid" for 0. */
const char *tlsio_chain_faults_text(unsigned faults, char *text, size_t capacity);

/* The leaf has this SAN dNSName, by a wildcard too (RFC 9525 6.3); ".example.net": any name below.
 * Says nothing about the chain: look at chain_faults as well. */
bool tlsio_peer_has_name(const struct tlsio_peer *peer, const char *name);
/* The leaf's SAN dNSNames for words, "a.example, b.example, c.example and 4 more"; printable ASCII;
 * "" when it has none. Returns text. */
const char *tlsio_peer_names_text(const struct tlsio_peer *peer, char *text, size_t capacity);
/* The leaf leads to chain[index] as to an authority: every signature between, CA flags and dates
 * are good. A peer may append any certificate to its chain; this tells which ones mean something. */
bool tlsio_peer_leads_to(const struct tlsio_peer *peer, size_t index);

/* --- anchors the peer need not have shown: what DANE-TA asks (RFC 7671 5.2) ---------------------- */

/* TLSIO_CHAIN faults of the chain from the leaf up to `anchor` (a certificate in DER, alone trusted,
 * whoever signed it, chain member or not); 0 = it leads there. EXPIRED and NOT_YET_VALID as usual. */
unsigned tlsio_peer_faults_to(const struct tlsio_peer *peer, struct str anchor_der);
/* The same up to a bare public key (SubjectPublicKeyInfo, DER): some certificate of the chain is
 * signed by it, and the leaf leads to that certificate. */
unsigned tlsio_peer_faults_to_key(const struct tlsio_peer *peer, struct str spki_der);
/* As tlsio_peer_has_name, but a leaf without any SAN dNSName is looked at by its common name
 * (RFC 7672 3.2.3; MTA-STS and plain PKIX never do). */
bool tlsio_peer_has_name_or_cn(const struct tlsio_peer *peer, const char *name);
/* Does the DER parse as a certificate, as a public key? */
bool tlsio_peer_is_certificate(struct str der);
bool tlsio_peer_is_key(struct str spki_der);

#endif
