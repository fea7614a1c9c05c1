#include "tests/dialogue/dialogue_tls.h"

#include <assert.h>
#include <gnutls/x509.h>
#include <time.h>

static gnutls_x509_privkey_t make_key(void)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_privkey_init(&key);
	int rc = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
		GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	assert(rc == 0);
	(void)rc;
	return key;
}

/* Self-signed for mx.example: a client that checks nothing takes it. */
static gnutls_x509_crt_t make_certificate(gnutls_x509_privkey_t key)
{
	gnutls_x509_crt_t crt;
	time_t now = time(NULL);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\1", 1);
	gnutls_x509_crt_set_dn(crt, "CN=mx.example", NULL);
	gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "mx.example", 10,
		GNUTLS_FSAN_SET);
	gnutls_x509_crt_set_activation_time(crt, now - 3600);
	gnutls_x509_crt_set_expiration_time(crt, now + 86400);
	gnutls_x509_crt_set_key(crt, key);
	int rc = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
	assert(rc == 0);
	(void)rc;
	return crt;
}

static struct tlsio_certstore *make_store(void)
{
	gnutls_x509_privkey_t key = make_key();
	gnutls_x509_crt_t crt = make_certificate(key);
	gnutls_datum_t key_pem, crt_pem;
	gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &key_pem);
	gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &crt_pem);
	struct tlsio_certstore_builder *b = tlsio_certstore_builder_new();
	struct err err = { 0 };
	int rc = tlsio_certstore_builder_add(b, "made", str_from(crt_pem.data, crt_pem.size), "made",
		str_from(key_pem.data, key_pem.size), &err);
	assert(rc == 0);
	(void)rc;
	struct tlsio_certstore *store = tlsio_certstore_builder_finish(&b, &err);
	assert(store);
	gnutls_free(key_pem.data);
	gnutls_free(crt_pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	return store;
}

struct tlsio_server *dialogue_tls_server(void)
{
	struct tlsio_certstore *store = make_store();
	struct tlsio_server_wishes wishes = { .certificates = store };
	struct err err = { 0 };
	struct tlsio_server *server = tlsio_server_new(&wishes, &err);
	assert(server);
	tlsio_certstore_unref(&store);
	return server;
}

void dialogue_tls_free(struct tlsio_server **server)
{
	if (*server)
		tlsio_server_unref(server);
}

struct tlsio_client *dialogue_tls_client(void)
{
	struct tlsio_client_wishes wishes = { .server_name = "mx.example" };
	struct err err = { 0 };
	struct tlsio_client *client = tlsio_client_new(&wishes, &err);
	assert(client);
	return client;
}
