#include "libtlsio/tlsio_describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

static void copy_name(gnutls_x509_crt_t crt,
	int (*get)(gnutls_x509_crt_t, gnutls_datum_t *, unsigned), char *into, size_t capacity)
{
	gnutls_datum_t text = { NULL, 0 };
	if (get(crt, &text, 0) < 0)
		return;
	str_copy(str_from(text.data, strnlen((const char *)text.data, text.size)), into, capacity);
	gnutls_free(text.data);
}

static void describe(gnutls_x509_crt_t crt, struct tlsio_description *ret)
{
	unsigned bits = 0, is_critical = 0;
	int key = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
	int signature = gnutls_x509_crt_get_signature_algorithm(crt);
	const char *name = key >= 0 ? gnutls_pk_algorithm_get_name((gnutls_pk_algorithm_t)key) : NULL;
	copy_name(crt, gnutls_x509_crt_get_dn3, ret->subject, sizeof(ret->subject));
	copy_name(crt, gnutls_x509_crt_get_issuer_dn3, ret->issuer, sizeof(ret->issuer));
	ret->not_before_s = gnutls_x509_crt_get_activation_time(crt);
	ret->not_after_s = gnutls_x509_crt_get_expiration_time(crt);
	snprintf(ret->key, sizeof(ret->key), "%s, %u bits", name ? name : "unknown", bits);
	name = signature >= 0 ? gnutls_sign_get_name((gnutls_sign_algorithm_t)signature) : NULL;
	snprintf(ret->signature, sizeof(ret->signature), "%s", name ? name : "unknown");
	ret->is_authority = gnutls_x509_crt_get_ca_status(crt, &is_critical) > 0;
	ret->is_self_issued = gnutls_x509_crt_check_issuer(crt, crt) != 0;
}

bool tlsio_describe(struct str der, struct tlsio_description *ret)
{
	gnutls_datum_t bytes = { (unsigned char *)der.at, (unsigned)der.length };
	gnutls_x509_crt_t crt;
	memset(ret, 0, sizeof(*ret));
	if (gnutls_x509_crt_init(&crt) < 0)
		abort();
	bool is_good = gnutls_x509_crt_import(crt, &bytes, GNUTLS_X509_FMT_DER) == 0;
	if (is_good)
		describe(crt, ret);
	gnutls_x509_crt_deinit(crt);
	return is_good;
}
