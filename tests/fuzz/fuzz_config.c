/* fuzz_config: any bytes as the file postern.conf. No file of this machine is read. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/config/config.h"
#include "tests/policy/make_peer.h"
#include "tests/smtpd/config/memory_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct memory_source files;

static struct str keep(gnutls_datum_t datum)
{
	static char *kept[2]; /* reachable: no leak */
	static size_t count;
	kept[count] = mem_dup_bytes(datum.data, datum.size);
	gnutls_free(datum.data);
	return str_of(kept[count++]);
}

/* One good pair, so that listeners and authorities are reached. */
static void make_files(void)
{
	static const char *const names[] = { "mx.example.org", NULL };
	struct made made = make_certificate("mx", names, false, NULL);
	gnutls_datum_t chain, key;
	if (gnutls_x509_crt_export2(made.crt, GNUTLS_X509_FMT_PEM, &chain) < 0 ||
		gnutls_x509_privkey_export2_pkcs8(made.key, GNUTLS_X509_FMT_PEM, NULL,
			GNUTLS_PKCS_PLAIN, &key) < 0)
		abort();
	memory_source_put(&files, "mx.pem", keep(chain));
	memory_source_put(&files, "mx.key", keep(key));
	memory_source_put(&files, "included.conf", STR("session { hops = 50 }\n"));
	memory_source_put(&files, "/root.key", STR(". 172800 IN DNSKEY 257 3 8 AwEA\n"));
	free_certificate(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	if (files.count == 0)
		make_files();
	memory_source_put(&files, "postern.conf", str_from(data, size));
	struct config_source source = memory_source_as_config_source(&files);
	struct config *config = config_load("postern.conf", &source, NULL, &err);
	/* Either a whole config, or a reason. */
	if (config ? !config->hostname || !config->routes || !config->dns.trust_anchor
		   : err.kind == ERR_NONE || !err.text[0])
		abort();
	config_unref(&config);
	return 0;
}
