/* fake_ca: certification authorities and certificates made in memory, good and bad ones.
 *
 * For:     every test that speaks TLS. Link tests/fakes/libfakeca.a before $(TLSIO_LIBS).
 * Promise: never fails (a broken library aborts the test); keys are fresh each time; times are
 *          relative to now, so nothing ages. ECDSA P-256 unless told otherwise.
 */
#ifndef TESTS_FAKES_FAKE_CA_H
#define TESTS_FAKES_FAKE_CA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_certstore.h"
#include "libtlsio/tlsio_trust.h"

struct fake_ca; /* an authority: its certificate and key */

enum fake_key { FAKE_ECDSA, FAKE_RSA, FAKE_RSA_1024, FAKE_ED25519 };

struct fake_ca *fake_ca_new(const char *name);
struct fake_ca *fake_ca_new_rsa(const char *name);
/* Below parent; leaves issued by it carry the intermediate in their chain. Parent must outlive. */
struct fake_ca *fake_ca_intermediate(const struct fake_ca *parent, const char *name);
/* The same, but its certificate says that it is no authority: whatever it signs is broken. */
struct fake_ca *fake_ca_impostor(const struct fake_ca *parent, const char *name);
/* The same, of X.509 version 1: it cannot say whether it is an authority (small private authorities
 * issue such certificates to their customers). */
struct fake_ca *fake_ca_old_customer(const struct fake_ca *parent, const char *name);
/* The same, expired yesterday. */
struct fake_ca *fake_ca_expired_intermediate(const struct fake_ca *parent, const char *name);
void fake_ca_free(struct fake_ca **ca);

/* The authority's own certificate. */
const char *fake_ca_pem(const struct fake_ca *ca);
/* And its key. */
const char *fake_ca_key_pem(const struct fake_ca *ca);
/* Gives. The authority as trust. */
struct tlsio_trust *fake_ca_trust(const struct fake_ca *ca);

enum { FAKE_LEAF_NAMES = 8 };

struct fake_leaf_wishes {
	const char *names[FAKE_LEAF_NAMES]; /* SAN dNSNames; none = no SAN */
	struct str odd_name;                /* instead of names: one SAN dNSName of any bytes */
	const char *common_name;            /* NULL = the first name, or "leaf" */
	enum fake_key key;
	int64_t not_before_s; /* from now; both 0 = a day ago till in 90 days */
	int64_t not_after_s;
	const char *purpose; /* extended key usage OID; NULL = server and client */
	unsigned key_usage;  /* GNUTLS_KEY_*; 0 = digital signature */
	bool is_self_signed;
	bool is_sha1_signed;
};

struct fake_leaf {
	char *chain_pem; /* leaf first, intermediates, no root */
	char *key_pem;
};

/* For these SAN dNSNames (name2 may be NULL). */
struct fake_leaf fake_ca_issue(const struct fake_ca *ca, const char *name, const char *name2);
struct fake_leaf fake_ca_issue_as(const struct fake_ca *ca, const struct fake_leaf_wishes *wishes);
void fake_leaf_clear(struct fake_leaf *leaf);

/* Gives. A store with this one chain (leaf is borrowed). */
struct tlsio_certstore *fake_leaf_certstore(const struct fake_leaf *leaf);
/* Gives. A store with one fresh certificate for name. */
struct tlsio_certstore *fake_ca_certstore(const struct fake_ca *ca, const char *name);

#endif
