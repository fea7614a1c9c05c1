#include "libtlsio/tlsio_ocsp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/tlsio_parts.h"
#include "tests/fakes/fake_ca.h"
#include "tests/fakes/fake_ocsp.h"
#include "tests/libtlsio/session_pair.h"

enum { HOUR = 3600, DAY = 86400 };

static struct fake_ca *root, *below, *namesake;
static struct fake_leaf leaf, other, responder, no_responder;
static struct tlsio_trust *trust;

static int set_up(void **state)
{
	(void)state;
	root = fake_ca_new("root");
	below = fake_ca_intermediate(root, "below");
	namesake = fake_ca_new("below");
	leaf = fake_ca_issue(below, "mx.example.net", NULL);
	other = fake_ca_issue(below, "other.example.net", NULL);
	responder = fake_ca_issue_as(below, &(struct fake_leaf_wishes){
		.names = { "ocsp.example.net" }, .purpose = GNUTLS_KP_OCSP_SIGNING });
	no_responder = fake_ca_issue(below, "ocsp.example.net", NULL);
	trust = fake_ca_trust(root);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tlsio_trust_unref(&trust);
	fake_leaf_clear(&leaf);
	fake_leaf_clear(&other);
	fake_leaf_clear(&responder);
	fake_leaf_clear(&no_responder);
	fake_ca_free(&namesake);
	fake_ca_free(&below);
	fake_ca_free(&root);
	return 0;
}

static int staple(gnutls_session_t tls, void *ctx, gnutls_datum_t *ret)
{
	const struct buf *response = ctx;
	(void)tls;
	ret->data = gnutls_malloc(response->length);
	ret->size = (unsigned)response->length;
	memcpy(ret->data, buf_str(response).at, response->length);
	return 0;
}

/* What a client sees of a server that staples this (NULL: nothing) to this leaf. */
static void meet(const struct fake_leaf *shown, struct buf *response, enum tlsio_ocsp *ret_ocsp,
	unsigned *ret_faults)
{
	struct session_pair p;
	struct tlsio_certstore *store = fake_leaf_certstore(shown);
	if (response)
		gnutls_certificate_set_ocsp_status_request_function(
			tlsio_certstore_for_name(store, STR("")), staple, response);
	struct tlsio_server_wishes server_wishes = { .certificates = store };
	struct tlsio_client_wishes client_wishes = { .server_name = "mx.example.net",
		.trust = trust };
	struct tlsio_server *server = tlsio_server_new(&server_wishes, NULL);
	struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
	session_pair_connect(&p, server, client);
	*ret_ocsp = session_pair_peer(&p, PAIR_CLIENT)->ocsp;
	*ret_faults = session_pair_peer(&p, PAIR_CLIENT)->chain_faults;
	assert_int_equal(session_pair_peer(&p, PAIR_SERVER)->ocsp, TLSIO_OCSP_NONE);
	session_pair_close(&p);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
	tlsio_certstore_unref(&store);
}

static void expect(const char *what, const struct fake_leaf *shown, struct buf *response,
	enum tlsio_ocsp ocsp)
{
	enum tlsio_ocsp seen;
	unsigned faults;
	meet(shown, response, &seen, &faults);
	if (seen != ocsp)
		fail_msg("%s: %s, not %s", what, tlsio_ocsp_name(seen), tlsio_ocsp_name(ocsp));
	assert_int_equal(faults, ocsp == TLSIO_OCSP_REVOKED ? TLSIO_CHAIN_REVOKED : 0);
}

#define FRESH .this_update_s = -HOUR, .next_update_s = DAY

static void believes_the_issuer_and_only_fresh_news(void **state)
{
	(void)state;
	const struct {
		const char *what;
		struct fake_ocsp_wishes wishes;
		enum tlsio_ocsp ocsp;
	} rows[] = {
		{ "good", { FRESH }, TLSIO_OCSP_GOOD },
		{ "revoked", { FRESH, .status = FAKE_OCSP_REVOKED }, TLSIO_OCSP_REVOKED },
		{ "unknown", { FRESH, .status = FAKE_OCSP_UNKNOWN }, TLSIO_OCSP_INVALID },
		{ "no next update", { .this_update_s = -9 * DAY }, TLSIO_OCSP_GOOD },
		{ "no next update, old", { .this_update_s = -11 * DAY }, TLSIO_OCSP_INVALID },
		{ "a clock that differs", { .this_update_s = 240, .next_update_s = DAY },
			TLSIO_OCSP_GOOD },
		{ "from the future", { .this_update_s = HOUR, .next_update_s = DAY },
			TLSIO_OCSP_INVALID },
		{ "stale", { .this_update_s = -2 * DAY, .next_update_s = -DAY },
			TLSIO_OCSP_INVALID },
		{ "stale and revoked", { .this_update_s = -2 * DAY, .next_update_s = -DAY,
			.status = FAKE_OCSP_REVOKED }, TLSIO_OCSP_INVALID },
		{ "the issuer's issuer", { FRESH, .signer = root }, TLSIO_OCSP_INVALID },
		{ "the issuer's namesake", { FRESH, .signer = namesake }, TLSIO_OCSP_INVALID },
		{ "the namesake revokes", { FRESH, .signer = namesake,
			.status = FAKE_OCSP_REVOKED }, TLSIO_OCSP_INVALID },
		{ "a responder", { FRESH, .responder = &responder }, TLSIO_OCSP_GOOD },
		{ "a responder revokes", { FRESH, .responder = &responder,
			.status = FAKE_OCSP_REVOKED }, TLSIO_OCSP_REVOKED },
		{ "no responder", { FRESH, .responder = &no_responder }, TLSIO_OCSP_INVALID },
		{ "the leaf for itself", { FRESH, .responder = &leaf }, TLSIO_OCSP_INVALID },
		{ "try later", { .is_try_later = true }, TLSIO_OCSP_INVALID },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf response = fake_ocsp_respond(below, &leaf, &rows[i].wishes);
		expect(rows[i].what, &leaf, &response, rows[i].ocsp);
		buf_release(&response);
	}
}

static void an_answer_about_another_certificate_is_none(void **state)
{
	(void)state;
	struct fake_ocsp_wishes wishes = { FRESH };
	struct buf response = fake_ocsp_respond(below, &other, &wishes);
	expect("another leaf", &leaf, &response, TLSIO_OCSP_INVALID);
	buf_release(&response);
	wishes.status = FAKE_OCSP_REVOKED;
	response = fake_ocsp_respond(below, &other, &wishes);
	expect("another leaf is revoked", &leaf, &response, TLSIO_OCSP_INVALID);
	buf_release(&response);
}

static void bytes_that_are_no_answer_are_invalid(void **state)
{
	(void)state;
	struct buf response = { 0 };
	buf_append_text(&response, "no answer");
	expect("text", &leaf, &response, TLSIO_OCSP_INVALID);
	buf_release(&response);
	response = fake_ocsp_respond(below, &leaf, &(struct fake_ocsp_wishes){ FRESH });
	response.data[response.head + response.length - 3] ^= 1;
	expect("one bit", &leaf, &response, TLSIO_OCSP_INVALID);
	buf_release(&response);
}

static void finds_an_issuer_that_is_not_shown_among_the_trusted(void **state)
{
	(void)state;
	struct fake_leaf direct = fake_ca_issue(root, "mx.example.net", NULL);
	struct buf response =
		fake_ocsp_respond(root, &direct, &(struct fake_ocsp_wishes){ FRESH });
	expect("issuer not shown", &direct, &response, TLSIO_OCSP_GOOD);
	buf_release(&response);
	fake_leaf_clear(&direct);
}

/* Who has a revoked certificate's key could append an issuer of his own making. */
static void an_appended_namesake_is_no_issuer(void **state)
{
	(void)state;
	char both[8192];
	size_t first = strcspn(strstr(leaf.chain_pem, "-----END"), "\n") + 1 +
		(size_t)(strstr(leaf.chain_pem, "-----END") - leaf.chain_pem);
	snprintf(both, sizeof(both), "%.*s%s", (int)first, leaf.chain_pem, fake_ca_pem(namesake));
	struct fake_leaf forged = { both, leaf.key_pem };
	struct fake_ocsp_wishes wishes = { FRESH, .signer = namesake };
	struct buf response = fake_ocsp_respond(below, &leaf, &wishes);
	enum tlsio_ocsp ocsp;
	unsigned faults;
	meet(&forged, &response, &ocsp, &faults);
	assert_int_equal(ocsp, TLSIO_OCSP_INVALID);
	buf_release(&response);
}

static void nothing_stapled_is_no_fault(void **state)
{
	(void)state;
	expect("nothing", &leaf, NULL, TLSIO_OCSP_NONE);
	static const char *const names[] = { "none", "good", "revoked", "invalid" };
	for (int i = 0; i < 4; i++)
		assert_string_equal(tlsio_ocsp_name((enum tlsio_ocsp)i), names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(believes_the_issuer_and_only_fresh_news),
		cmocka_unit_test(an_answer_about_another_certificate_is_none),
		cmocka_unit_test(bytes_that_are_no_answer_are_invalid),
		cmocka_unit_test(finds_an_issuer_that_is_not_shown_among_the_trusted),
		cmocka_unit_test(an_appended_namesake_is_no_issuer),
		cmocka_unit_test(nothing_stapled_is_no_fault),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
