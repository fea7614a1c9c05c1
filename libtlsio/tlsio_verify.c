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
unsigned tlsio_verify_alone(gnutls_x509_crt_t leaf, const char *purpose)
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
	if (!trust)
		return tlsio_verify_alone(chain[0], purpose) | TLSIO_CHAIN_UNCHECKED;
	return tlsio_verify_chain_to(tlsio_trust_list(trust), purpose, chain, count);
}

unsigned tlsio_verify_chain_to(gnutls_x509_trust_list_t trusted, const char *purpose,
	gnutls_x509_crt_t *chain, unsigned count)
{
	unsigned faults = tlsio_verify_alone(chain[0], purpose);
	gnutls_typed_vdata_st data = { GNUTLS_DT_KEY_PURPOSE_OID,
		(unsigned char *)(uintptr_t)purpose, 0 };
	unsigned status = 0;
	/* The medium profile: RSA 2048 and no SHA-1 signature (RFC 9325 4.5). */
	int rc = gnutls_x509_trust_list_verify_crt2(trusted, chain, count, &data, 1,
		GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM), &status, NULL);
	if (rc < 0)
		return faults | TLSIO_CHAIN_BROKEN;
	return faults | faults_of_status(status);
}

gnutls_x509_crt_t tlsio_verify_import(struct str der)
{
	gnutls_datum_t bytes = { (unsigned char *)(uintptr_t)der.at, (unsigned)der.length };
	gnutls_x509_crt_t crt;
	if (der.length == 0 || gnutls_x509_crt_init(&crt) < 0)
		return NULL;
	if (gnutls_x509_crt_import(crt, &bytes, GNUTLS_X509_FMT_DER) < 0) {
		gnutls_x509_crt_deinit(crt);
		return NULL;
	}
	return crt;
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

static bool is_name(struct str presented, struct str wanted)
{
	if (wanted.length > 1 && wanted.at[wanted.length - 1] == '.')
		wanted.length--;
	bool is_suffix = str_starts(wanted, STR("."));
	if (wanted.length < (is_suffix ? 2 : 1))
		return false;
	return is_suffix ? is_below(presented, wanted) : is_same_host(presented, wanted);
}

bool tlsio_verify_name(gnutls_x509_crt_t leaf, const char *name)
{
	char text[MAX_DNS_NAME_BYTES + 1];
	size_t length;
	bool end = false;
	for (unsigned i = 0; !end; i++) {
		if (dns_name(leaf, i, text, &length, &end) &&
			is_name(str_from(text, length), str_of(name)))
			return true;
	}
	return false;
}

/* One that cannot be read, too: its holder meant it to count. */
static bool has_any_dns_name(gnutls_x509_crt_t leaf)
{
	for (unsigned i = 0;; i++) {
		char text[MAX_DNS_NAME_BYTES + 1];
		size_t length = sizeof(text);
		int kind = gnutls_x509_crt_get_subject_alt_name(leaf, i, text, &length, NULL);
		if (kind == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return false;
		if (kind < 0 || kind == GNUTLS_SAN_DNSNAME)
			return true;
	}
}

bool tlsio_verify_common_name(gnutls_x509_crt_t leaf, const char *name)
{
	char text[MAX_DNS_NAME_BYTES + 1], second[8];
	size_t length = sizeof(text), second_length = sizeof(second);
	if (has_any_dns_name(leaf) ||
		gnutls_x509_crt_get_dn_by_oid(
			leaf, GNUTLS_OID_X520_COMMON_NAME, 0, 0, text, &length) < 0)
		return false;
	/* Of two, nobody says which is the host. */
	if (gnutls_x509_crt_get_dn_by_oid(leaf, GNUTLS_OID_X520_COMMON_NAME, 1, 0, second,
		    &second_length) != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		return false;
	return length > 0 && !memchr(text, '\0', length) &&
	       is_name(str_from(text, length), str_of(name));
}
