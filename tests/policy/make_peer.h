/* make_peer: certificates made on the spot, and the peer that showed them. */
#ifndef TESTS_POLICY_MAKE_PEER_H
#define TESTS_POLICY_MAKE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "libtlsio/tlsio_peer.h"

struct made {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

/* issuer NULL: self-signed. names: NULL-terminated SAN dNSNames, may be NULL. */
struct made make_certificate(const char *common_name, const char *const *names, bool is_authority,
	const struct made *issuer);
/* The same, with an end: seconds since 1970. */
struct made make_certificate_until(const char *common_name, const char *const *names,
	bool is_authority, const struct made *issuer, time_t until);
struct make_wishes {
	const char *common_name;
	const char *const *names; /* NULL-terminated, may be NULL */
	bool is_authority;
	const struct made *issuer; /* NULL: self-signed */
	time_t until;		   /* 0: in a year */
	bool is_sha1_signed;
};
struct made make_certificate_as(const struct make_wishes *wishes);
void free_certificate(struct made *made);

enum { MADE_PEER_MOST = 4 };

struct made_peer {
	struct tlsio_peer peer;
	struct tlsio_certificate chain[MADE_PEER_MOST];
};

/* A TLS 1.3 peer with this chain, leaf first, and no faults. */
void make_peer(struct made_peer *ret, const struct made *const *chain, size_t count);
void free_peer(struct made_peer *made);

#endif
