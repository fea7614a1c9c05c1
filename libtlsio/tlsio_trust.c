#include "libtlsio/tlsio_trust.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_parts.h"

struct tlsio_trust {
	unsigned references;
	gnutls_x509_trust_list_t list;
};

static struct tlsio_trust *trust_new(void)
{
	struct tlsio_trust *trust = mem_zero(sizeof(*trust));
	trust->references = 1;
	if (gnutls_x509_trust_list_init(&trust->list, 0) < 0)
		abort();
	return trust;
}

struct tlsio_trust *tlsio_trust_system(struct err *err)
{
	struct tlsio_trust *trust = trust_new();
	int count = gnutls_x509_trust_list_add_system_trust(trust->list, 0, 0);
	if (count > 0)
		return trust;
	tlsio_trust_unref(&trust);
	if (count < 0)
		err_set(err, ERR_SYSTEM, "the system's authorities cannot be loaded: %s",
			gnutls_strerror(count));
	else
		err_set(err, ERR_INPUT, "the system has no authorities: install ca-certificates");
	return NULL;
}

struct tlsio_trust *tlsio_trust_pem(const char *name, struct str pem, struct err *err)
{
	struct tlsio_trust *trust = trust_new();
	gnutls_datum_t text = { (unsigned char *)(uintptr_t)pem.at, (unsigned)pem.length };
	int count = gnutls_x509_trust_list_add_trust_mem(
		trust->list, &text, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
	if (count > 0)
		return trust;
	tlsio_trust_unref(&trust);
	err_set(err, ERR_INPUT, "%s: no usable authority in it: %s", name,
		count < 0 ? gnutls_strerror(count) : "no PEM certificate");
	return NULL;
}

struct tlsio_trust *tlsio_trust_ref(struct tlsio_trust *trust)
{
	trust->references++;
	return trust;
}

void tlsio_trust_unref(struct tlsio_trust **trust)
{
	struct tlsio_trust *t = *trust;
	*trust = NULL;
	if (!t || --t->references > 0)
		return;
	gnutls_x509_trust_list_deinit(t->list, 1);
	free(t);
}

/* The authorities' digests one behind the other, in an order of their own. */
static void list_digests(gnutls_x509_trust_list_t list, struct buf *ret)
{
	gnutls_x509_trust_list_iter_t at = NULL;
	gnutls_x509_crt_t ca;
	while (gnutls_x509_trust_list_iter_get_ca(list, &at, &ca) == 0) {
		gnutls_datum_t der = { NULL, 0 };
		uint8_t digest[TLSIO_DIGEST_SHA256_BYTES];
		if (gnutls_x509_crt_export2(ca, GNUTLS_X509_FMT_DER, &der) < 0)
			abort();
		tlsio_digest_sha256(str_from((char *)der.data, der.size), digest);
		buf_append(ret, digest, sizeof(digest));
		gnutls_free(der.data);
		gnutls_x509_crt_deinit(ca);
	}
	gnutls_x509_trust_list_iter_deinit(at);
}

static int compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, TLSIO_DIGEST_SHA256_BYTES);
}

void tlsio_trust_sha256(const struct tlsio_trust *trust, uint8_t ret[TLSIO_DIGEST_SHA256_BYTES])
{
	struct buf digests = { 0 };
	list_digests(trust->list, &digests);
	if (digests.length > 0)
		qsort(digests.data + digests.head, digests.length / TLSIO_DIGEST_SHA256_BYTES,
			TLSIO_DIGEST_SHA256_BYTES, compare_digests);
	tlsio_digest_sha256(buf_str(&digests), ret);
	buf_release(&digests);
}

gnutls_x509_trust_list_t tlsio_trust_list(const struct tlsio_trust *trust)
{
	return trust->list;
}
