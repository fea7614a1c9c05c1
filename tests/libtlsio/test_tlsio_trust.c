#include "libtlsio/tlsio_trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "tests/fakes/fake_ca.h"
#include "tests/libtlsio/session_pair.h"

/* Faults of a server of ca under this trust. */
static unsigned faults(const struct fake_ca *ca, struct tlsio_trust *trust)
{
	struct tlsio_certstore *store = fake_ca_certstore(ca, "mx.example.net");
	struct tlsio_server_wishes server_wishes = { .certificates = store };
	struct tlsio_client_wishes client_wishes = { .trust = trust };
	struct tlsio_server *server = tlsio_server_new(&server_wishes, NULL);
	struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
	struct session_pair p;
	session_pair_connect(&p, server, client);
	unsigned result = session_pair_peer(&p, PAIR_CLIENT)->chain_faults;
	session_pair_close(&p);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
	tlsio_certstore_unref(&store);
	return result;
}

static void trusts_each_authority_of_a_bundle_and_no_other(void **state)
{
	(void)state;
	struct fake_ca *a = fake_ca_new("a"), *b = fake_ca_new_rsa("b"), *c = fake_ca_new("c");
	struct buf bundle = { 0 };
	buf_append_text(&bundle, "A comment, as such files have.\n");
	buf_append_text(&bundle, fake_ca_pem(a));
	buf_append_text(&bundle, "\n# another\n");
	buf_append_text(&bundle, fake_ca_pem(b));
	struct tlsio_trust *trust = tlsio_trust_pem("bundle.pem", buf_str(&bundle), NULL);
	assert_non_null(trust);
	assert_int_equal(faults(a, trust), 0);
	assert_int_equal(faults(b, trust), 0);
	assert_int_equal(faults(c, trust), TLSIO_CHAIN_UNTRUSTED);
	tlsio_trust_unref(&trust);
	buf_release(&bundle);
	fake_ca_free(&a);
	fake_ca_free(&b);
	fake_ca_free(&c);
}

/* A name is no key. */
static void does_not_confuse_authorities_of_one_name(void **state)
{
	(void)state;
	struct fake_ca *real = fake_ca_new("same name"), *fake = fake_ca_new("same name");
	struct tlsio_trust *trust = fake_ca_trust(real);
	assert_int_equal(faults(real, trust), 0);
	assert_true(faults(fake, trust) & (TLSIO_CHAIN_UNTRUSTED | TLSIO_CHAIN_BROKEN));
	tlsio_trust_unref(&trust);
	fake_ca_free(&real);
	fake_ca_free(&fake);
}

static void its_digest_is_of_what_it_holds_not_of_how_it_is_written(void **state)
{
	(void)state;
	struct fake_ca *a = fake_ca_new("a"), *b = fake_ca_new("b"), *c = fake_ca_new("c");
	const struct fake_ca *const sets[][3] = { { a, b, NULL }, { b, a, NULL }, { a, c, NULL },
		{ a, NULL }, { a, b, c } };
	uint8_t digests[5][TLSIO_DIGEST_SHA256_BYTES];
	for (size_t i = 0; i < 5; i++) {
		struct buf bundle = { 0 };
		for (size_t j = 0; j < 3 && sets[i][j]; j++)
			buf_append_text(&bundle, fake_ca_pem(sets[i][j]));
		struct tlsio_trust *trust = tlsio_trust_pem("ca.pem", buf_str(&bundle), NULL);
		tlsio_trust_sha256(trust, digests[i]);
		tlsio_trust_unref(&trust);
		buf_release(&bundle);
	}
	assert_memory_equal(digests[0], digests[1], sizeof(digests[0]));
	for (size_t i = 1; i < 5; i++)
		for (size_t j = i + 1; j < 5; j++)
			assert_memory_not_equal(digests[i], digests[j], sizeof(digests[0]));
	fake_ca_free(&a);
	fake_ca_free(&b);
	fake_ca_free(&c);
}

static void refuses_files_without_an_authority(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "garbage\n",
		"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err err = { 0 };
		assert_null(tlsio_trust_pem("ca.pem", str_of(texts[i]), &err));
		assert_int_equal(err.kind, ERR_INPUT);
		assert_non_null(strstr(err.text, "ca.pem: no usable authority in it"));
	}
}

static void has_the_authorities_of_the_system_or_says_what_to_install(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct tlsio_trust *trust = tlsio_trust_system(&err);
	if (!trust) {
		print_message("%s\n", err.text);
		assert_true(err.kind == ERR_INPUT || err.kind == ERR_SYSTEM);
		return;
	}
	struct fake_ca *ca = fake_ca_new("nobody knows it");
	assert_int_equal(faults(ca, trust), TLSIO_CHAIN_UNTRUSTED);
	fake_ca_free(&ca);
	struct tlsio_trust *shared = tlsio_trust_ref(trust);
	tlsio_trust_unref(&trust);
	assert_null(trust);
	tlsio_trust_unref(&shared);
	tlsio_trust_unref(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trusts_each_authority_of_a_bundle_and_no_other),
		cmocka_unit_test(does_not_confuse_authorities_of_one_name),
		cmocka_unit_test(its_digest_is_of_what_it_holds_not_of_how_it_is_written),
		cmocka_unit_test(refuses_files_without_an_authority),
		cmocka_unit_test(has_the_authorities_of_the_system_or_says_what_to_install),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
