#include "libtlsio/tlsio_verify.h"

#include <string.h>
#include <time.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_parts.h"
#include "libtlsio/tlsio_peer.h"

enum { MAX_DNS_NAME_BYTES = 255 };

static const struct {
	unsigned status;
	unsigned fault;
} status_faults[] = {
	{ GNUTLS_CERT_SIGNER_NOT_FOUND, TLSIO_CHAIN_UNTRUSTED },
	{ GNUTLS_CERT_EXPIRED, TLSIO_CHAIN_EXPIRED },
	{ GNUTLS_CERT_NOT_ACTIVATED, TLSIO_CHAIN_NOT_YET_VALID },
	{ GNUTLS_CERT_REVOKED, TLSIO_CHAIN_REVOKED },
	{ GNUTLS_CERT_INSECURE_ALGORITHM, TLSIO_CHAIN_WEAK },
	{ GNUTLS_CERT_PURPOSE_MISMATCH, TLSIO_CHAIN_WRONG_PURPOSE },
	{ GNUTLS_CERT_SIGNER_NOT_CA, TLSIO_CHAIN_BROKEN },
	{ GNUTLS_CERT_SIGNATURE_FAILURE, TLSIO_CHAIN_BROKEN },
	{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, TLSIO_CHAIN_BROKEN },
	{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, TLSIO_CHAIN_BROKEN },
	{ GNUTLS_CERT_INVALID_OCSP_STATUS, TLSIO_CHAIN_BROKEN },
	/* lists of revoked certificates: none are loaded, so these are only for completeness */
	{ GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, TLSIO_CHAIN_REVOKED },
	{ GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE, TLSIO_CHAIN_REVOKED },
};

/* GnuTLS stops at the first fault it meets on its way up; the leaf's own are told regardless. */
static unsigned leaf_faults(gnutls_x509_crt_t leaf, const char *purpose)
{
	unsigned faults = 0;
	time_t now = time(NULL);
	if (gnutls_x509_crt_get_expiration_time(leaf) < now)
		faults |= TLSIO_CHAIN_EXPIRED;
	if (gnutls_x509_crt_get_activation_time(leaf) > now)
		faults |= TLSIO_CHAIN_NOT_YET_VALID;
	if (!gnutls_x509_crt_check_key_purpose(leaf, purpose, 0))
		faults |= TLSIO_CHAIN_WRONG_PURPOSE;
	return faults;
}

static unsigned faults_of_status(unsigned status)
{
	unsigned faults = 0;
	for (size_t i = 0; i < sizeof(status_faults) / sizeof(status_faults[0]); i++)
		if (status & status_faults[i].status)
			faults |= status_faults[i].fault;
	/* Invalid for a reason not in the table is still invalid. */
	if (status && !faults)
		faults = TLSIO_CHAIN_BROKEN;
	return faults;
}

unsigned tlsio_verify_chain(const struct tlsio_trust *trust, const char *purpose,
	gnutls_x509_crt_t *chain, unsigned count)
{
	unsigned faults = leaf_faults(chain[0], purpose);
	if (!trust)
		return faults | TLSIO_CHAIN_UNCHECKED;
	gnutls_typed_vdata_st data = { GNUTLS_DT_KEY_PURPOSE_OID,
		(unsigned char *)(uintptr_t)purpose, 0 };
	unsigned status = 0;
	/* The medium profile: RSA 2048 and no SHA-1 signature (RFC 9325 4.5). */
	int rc = gnutls_x509_trust_list_verify_crt2(tlsio_trust_list(trust), chain, count, &data, 1,
		GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM), &status, NULL);
	if (rc < 0)
		return faults | TLSIO_CHAIN_BROKEN;
	return faults | faults_of_status(status);
}

/* The index-th SAN when it is a usable dNSName; *ret_end when there are no more. A name with a NUL
 * inside ("mx.example\0.evil.example") is no name. */
static bool dns_name(gnutls_x509_crt_t crt, unsigned index, char text[MAX_DNS_NAME_BYTES + 1],
	size_t *ret_length, bool *ret_end)
{
	*ret_length = MAX_DNS_NAME_BYTES;
	int kind = gnutls_x509_crt_get_subject_alt_name(crt, index, text, ret_length, NULL);
	*ret_end = kind == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
	return kind == GNUTLS_SAN_DNSNAME && *ret_length > 0 && !memchr(text, '\0', *ret_length);
}

bool tlsio_verify_has_dns_names(gnutls_x509_crt_t leaf)
{
	char text[MAX_DNS_NAME_BYTES + 1];
	size_t length;
	bool end = false;
	for (unsigned i = 0; !end; i++)
		if (dns_name(leaf, i, text, &length, &end))
			return true;
	return false;
}

/* Some host under suffix (".example.net") is meant; a wildcard counts when all it can stand for
 * lies below. */
static bool is_below(struct str presented, struct str suffix)
{
	if (str_starts(presented, STR("*.")))
		presented = str_skip(presented, 1);
	else if (presented.length == suffix.length)
		return false; /* ".example.net" itself is no host */
	return presented.length >= suffix.length && str_ends_nocase(presented, suffix);
}

/* RFC 9525 6.3: "*" is the whole left-most label, stands for exactly one, and not over a whole
 * top-level domain. GnuTLS's own comparison takes "*x.example.net" too. */
static bool is_same_host(struct str presented, struct str wanted)
{
	if (str_equal_nocase(presented, wanted))
		return !str_starts(presented, STR("*"));
	size_t dot = str_find(wanted, '.');
	if (!str_starts(presented, STR("*.")) || dot == 0 || dot == wanted.length)
		return false;
	struct str domain = str_skip(presented, 2);
	return str_find(domain, '.') < domain.length && str_find(domain, '*') == domain.length &&
	       str_equal_nocase(domain, str_skip(wanted, dot + 1));
}

bool tlsio_verify_name(gnutls_x509_crt_t leaf, const char *name)
{
	char text[MAX_DNS_NAME_BYTES + 1];
	size_t length;
	bool end = false;
	struct str wanted = str_of(name);
	if (wanted.length > 1 && wanted.at[wanted.length - 1] == '.')
		wanted.length--;
	bool is_suffix = str_starts(wanted, STR("."));
	if (wanted.length < (is_suffix ? 2 : 1))
		return false;
	for (unsigned i = 0; !end; i++) {
		if (!dns_name(leaf, i, text, &length, &end))
			continue;
		struct str presented = str_from(text, length);
		if (is_suffix ? is_below(presented, wanted) : is_same_host(presented, wanted))
			return true;
	}
	return false;
}
