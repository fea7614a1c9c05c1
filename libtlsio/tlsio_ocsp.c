#include "libtlsio/tlsio_ocsp.h"

#include <time.h>

#include <gnutls/gnutls.h>
#include <gnutls/ocsp.h>

#include "libtlsio/tlsio_parts.h"

enum {
	CLOCK_SKEW_S = 300,
	/* Without nextUpdate newer news exists at any time (RFC 6960 4.2.2.1); the CAs' own rules
	 * let a response live ten days at most. */
	MOST_AGE_S = 10 * 86400,
};

/* Really signed by it, whatever the dates: somebody with a revoked certificate and its key could
 * append an "issuer" of his own making that says "good". */
static bool is_issuer(gnutls_x509_crt_t leaf, gnutls_x509_crt_t issuer)
{
	unsigned status = 0;
	return gnutls_x509_crt_check_issuer(leaf, issuer) == 1 &&
	       gnutls_x509_crt_verify(leaf, &issuer, 1,
		       GNUTLS_VERIFY_DISABLE_TIME_CHECKS |
			       GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS,
		       &status) == 0 &&
	       status == 0;
}

static gnutls_x509_crt_t find_issuer(
	gnutls_x509_crt_t *chain, unsigned count, const struct tlsio_trust *trust)
{
	gnutls_x509_crt_t issuer;
	for (unsigned i = 1; i < count; i++)
		if (is_issuer(chain[0], chain[i]))
			return chain[i];
	if (trust &&
		gnutls_x509_trust_list_get_issuer(tlsio_trust_list(trust), chain[0], &issuer, 0) ==
			0 &&
		is_issuer(chain[0], issuer))
		return issuer;
	return NULL;
}

static bool is_fresh(time_t this_update, time_t next_update)
{
	time_t now = time(NULL);
	if (this_update == (time_t)-1 || this_update > now + CLOCK_SKEW_S)
		return false;
	if (next_update == (time_t)-1)
		return now - this_update <= MOST_AGE_S;
	return next_update >= now - CLOCK_SKEW_S;
}

/* The one answer of several that is about the leaf. */
static enum tlsio_ocsp answer_about(gnutls_ocsp_resp_t response, gnutls_x509_crt_t leaf)
{
	enum { MOST_ANSWERS = 16 };
	for (unsigned i = 0; i < MOST_ANSWERS; i++) {
		unsigned status;
		time_t this_update, next_update;
		int rc = gnutls_ocsp_resp_check_crt(response, i, leaf);
		if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (rc < 0)
			continue;
		if (gnutls_ocsp_resp_get_single(response, i, NULL, NULL, NULL, NULL, &status,
			    &this_update, &next_update, NULL, NULL) < 0 ||
			!is_fresh(this_update, next_update))
			return TLSIO_OCSP_INVALID;
		if (status == GNUTLS_OCSP_CERT_GOOD)
			return TLSIO_OCSP_GOOD;
		return status == GNUTLS_OCSP_CERT_REVOKED ? TLSIO_OCSP_REVOKED : TLSIO_OCSP_INVALID;
	}
	return TLSIO_OCSP_INVALID;
}

static enum tlsio_ocsp check(
	gnutls_ocsp_resp_t response, gnutls_x509_crt_t leaf, gnutls_x509_crt_t issuer)
{
	unsigned faults = 0;
	if (gnutls_ocsp_resp_get_status(response) != GNUTLS_OCSP_RESP_SUCCESSFUL || !issuer ||
		gnutls_ocsp_resp_verify_direct(response, issuer, &faults, 0) < 0 || faults)
		return TLSIO_OCSP_INVALID;
	return answer_about(response, leaf);
}

enum tlsio_ocsp tlsio_ocsp_of_session(gnutls_session_t tls, gnutls_x509_crt_t *chain,
	unsigned count, const struct tlsio_trust *trust)
{
	gnutls_datum_t staple = { NULL, 0 };
	gnutls_ocsp_resp_t response;
	if (gnutls_ocsp_status_request_get(tls, &staple) < 0 || staple.size == 0)
		return TLSIO_OCSP_NONE;
	if (gnutls_ocsp_resp_init(&response) < 0)
		return TLSIO_OCSP_INVALID;
	enum tlsio_ocsp said = TLSIO_OCSP_INVALID;
	if (gnutls_ocsp_resp_import(response, &staple) >= 0)
		said = check(response, chain[0], find_issuer(chain, count, trust));
	gnutls_ocsp_resp_deinit(response);
	return said;
}
