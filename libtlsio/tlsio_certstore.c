#include "libtlsio/tlsio_certstore.h"

#include <stdio.h>
#include <stdlib.h>

#include <gnutls/abstract.h>
#include <uthash.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_parts.h"

enum { MAX_CHAIN = 16, MAX_NAME_BYTES = 255 };

/* In our order of preference: ECDSA costs the server a tenth of RSA (RFC 9325 4.2 likes both). */
enum key_class { CLASS_ECDSA, CLASS_EDDSA, CLASS_RSA, CLASSES };

struct pair { /* a chain and its key, as added */
	gnutls_x509_crt_t *chain;
	unsigned chain_length;
	gnutls_x509_privkey_t key;
	enum key_class class;
};

/* One chain per class of key; GnuTLS picks by what the client can verify. -1 = none. */
struct choice {
	int of_class[CLASSES];
};

struct name {
	UT_hash_handle hh;
	struct choice choice;
	gnutls_certificate_credentials_t credentials; /* borrowed from a set */
	char text[];
};

struct set { /* the credentials made for one choice */
	UT_hash_handle hh;
	struct choice choice;
	gnutls_certificate_credentials_t credentials;
};

struct tlsio_certstore_builder {
	struct pair *pairs;
	size_t pair_count;
	struct name *names;
};

struct tlsio_certstore {
	unsigned references;
	struct name *names;
	struct set *sets;
	gnutls_certificate_credentials_t fallback;
	gnutls_certificate_credentials_t to_present;
	int64_t not_after_s;
};

static const struct choice choice_empty = { { -1, -1, -1 } };

struct tlsio_certstore_builder *tlsio_certstore_builder_new(void)
{
	return mem_zero(sizeof(struct tlsio_certstore_builder));
}

static void pair_clear(struct pair *pair)
{
	for (unsigned i = 0; i < pair->chain_length; i++)
		gnutls_x509_crt_deinit(pair->chain[i]);
	gnutls_free(pair->chain);
	if (pair->key)
		gnutls_x509_privkey_deinit(pair->key);
}

static void names_free(struct name **names)
{
	struct name *at, *next;
	HASH_ITER(hh, *names, at, next)
	{
		HASH_DEL(*names, at);
		free(at);
	}
}

void tlsio_certstore_builder_free(struct tlsio_certstore_builder **builder)
{
	struct tlsio_certstore_builder *b = *builder;
	*builder = NULL;
	if (!b)
		return;
	for (size_t i = 0; i < b->pair_count; i++)
		pair_clear(&b->pairs[i]);
	free(b->pairs);
	names_free(&b->names);
	free(b);
}

static gnutls_datum_t datum(struct str s)
{
	return (gnutls_datum_t){ (unsigned char *)(uintptr_t)s.at, (unsigned)s.length };
}

static int load_chain(struct pair *pair, const char *name, struct str pem, struct err *err)
{
	gnutls_datum_t text = datum(pem);
	int rc = gnutls_x509_crt_list_import2(&pair->chain, &pair->chain_length, &text,
		GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
	if (rc == GNUTLS_E_CERTIFICATE_LIST_UNSORTED)
		return err_set(err, ERR_INPUT,
			"%s: the chain is not in order: the leaf comes first, each next "
			"certificate "
			"is the issuer of the one before",
			name);
	if (rc < 0)
		return err_set(err, ERR_INPUT, "%s: not a PEM certificate chain: %s", name,
			gnutls_strerror(rc));
	if (pair->chain_length > MAX_CHAIN)
		return err_set(err, ERR_INPUT, "%s: %u certificates in one chain; at most %d", name,
			pair->chain_length, MAX_CHAIN);
	return 0;
}

static int load_key(struct pair *pair, const char *name, struct str pem, struct err *err)
{
	gnutls_datum_t text = datum(pem);
	if (gnutls_x509_privkey_init(&pair->key) < 0)
		abort();
	int rc = gnutls_x509_privkey_import2(pair->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (rc == GNUTLS_E_DECRYPTION_FAILED)
		return err_set(err, ERR_INPUT,
			"%s: the key is encrypted; a server needs it without a passphrase", name);
	if (rc < 0)
		return err_set(
			err, ERR_INPUT, "%s: not a PEM private key: %s", name, gnutls_strerror(rc));
	switch (gnutls_x509_privkey_get_pk_algorithm(pair->key)) {
	case GNUTLS_PK_ECDSA:
		pair->class = CLASS_ECDSA;
		return 0;
	case GNUTLS_PK_EDDSA_ED25519:
	case GNUTLS_PK_EDDSA_ED448:
		pair->class = CLASS_EDDSA;
		return 0;
	case GNUTLS_PK_RSA:
	case GNUTLS_PK_RSA_PSS:
		pair->class = CLASS_RSA;
		return 0;
	default:
		return err_set(err, ERR_INPUT, "%s: a key must be ECDSA, EdDSA or RSA", name);
	}
}

static bool belong_together(const struct pair *pair)
{
	unsigned char of_leaf[64], of_key[64];
	size_t leaf_length = sizeof(of_leaf), key_length = sizeof(of_key);
	return gnutls_x509_crt_get_key_id(
		       pair->chain[0], GNUTLS_KEYID_USE_SHA256, of_leaf, &leaf_length) == 0 &&
	       gnutls_x509_privkey_get_key_id(
		       pair->key, GNUTLS_KEYID_USE_SHA256, of_key, &key_length) == 0 &&
	       leaf_length == key_length && memcmp(of_leaf, of_key, key_length) == 0;
}

/* Without the extension everything is allowed. */
static bool may_sign(gnutls_x509_crt_t leaf)
{
	unsigned usage = 0;
	return gnutls_x509_crt_get_key_usage(leaf, &usage, NULL) < 0 ||
	       (usage & GNUTLS_KEY_DIGITAL_SIGNATURE) != 0;
}

/* Lower case without the trailing dot, as names are kept and asked for. 0 = no such name. */
static size_t normalise(struct str text, char into[MAX_NAME_BYTES + 1])
{
	if (text.length > 0 && text.at[text.length - 1] == '.')
		text.length--;
	if (text.length == 0 || text.length > MAX_NAME_BYTES || memchr(text.at, '\0', text.length))
		return 0;
	memcpy(into, text.at, text.length);
	into[text.length] = '\0';
	str_lower_in_place(into, text.length);
	return text.length;
}

/* The first chain of a class wins a name, as the first of all is the fallback. */
static void add_name(struct tlsio_certstore_builder *b, struct str text, int index)
{
	char wanted[MAX_NAME_BYTES + 1];
	size_t length = normalise(text, wanted);
	if (length == 0)
		return;
	struct name *name;
	HASH_FIND(hh, b->names, wanted, length, name);
	if (!name) {
		name = mem_zero(sizeof(*name) + length + 1);
		memcpy(name->text, wanted, length + 1);
		name->choice = choice_empty;
		HASH_ADD_KEYPTR(hh, b->names, name->text, length, name);
	}
	int *place = &name->choice.of_class[b->pairs[index].class];
	if (*place < 0)
		*place = index;
}

/* Calls for each SAN dNSName. */
static void add_names(struct tlsio_certstore_builder *b, int index)
{
	char text[MAX_NAME_BYTES + 1];
	for (unsigned i = 0;; i++) {
		size_t length = sizeof(text);
		int kind = gnutls_x509_crt_get_subject_alt_name(
			b->pairs[index].chain[0], i, text, &length, NULL);
		if (kind == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return;
		if (kind == GNUTLS_SAN_DNSNAME)
			add_name(b, str_from(text, length), index);
	}
}

int tlsio_certstore_builder_add(struct tlsio_certstore_builder *b, const char *chain_name,
	struct str chain_pem, const char *key_name, struct str key_pem, struct err *err)
{
	struct pair pair = { 0 };
	if (load_chain(&pair, chain_name, chain_pem, err) < 0 ||
		load_key(&pair, key_name, key_pem, err) < 0) {
		pair_clear(&pair);
		return -1;
	}
	if (!belong_together(&pair)) {
		pair_clear(&pair);
		return err_set(err, ERR_INPUT, "%s: the key does not belong to the certificate %s",
			key_name, chain_name);
	}
	if (!may_sign(pair.chain[0])) {
		pair_clear(&pair);
		return err_set(err, ERR_INPUT,
			"%s: its key usage lacks digitalSignature: no peer would take it for TLS",
			chain_name);
	}
	b->pairs = mem_resize_array(b->pairs, b->pair_count + 1, sizeof(*b->pairs));
	b->pairs[b->pair_count] = pair;
	add_names(b, (int)b->pair_count++);
	return 0;
}

static int credentials_add(
	gnutls_certificate_credentials_t credentials, struct pair *pair, struct err *err)
{
	int rc = gnutls_certificate_set_x509_key(
		credentials, pair->chain, (int)pair->chain_length, pair->key);
	return rc < 0 ? err_set(err, ERR_TLS, "certificate refused by GnuTLS: %s",
				gnutls_strerror(rc))
		      : 0;
}

static gnutls_certificate_credentials_t credentials_new(void)
{
	gnutls_certificate_credentials_t credentials;
	if (gnutls_certificate_allocate_credentials(&credentials) < 0)
		abort();
	return credentials;
}

/* The credentials for a choice, made once. */
static struct set *set_for(struct tlsio_certstore *store, struct tlsio_certstore_builder *b,
	const struct choice *choice, struct err *err)
{
	struct set *set;
	HASH_FIND(hh, store->sets, choice, sizeof(*choice), set);
	if (set)
		return set;
	set = mem_zero(sizeof(*set));
	set->choice = *choice;
	set->credentials = credentials_new();
	HASH_ADD(hh, store->sets, choice, sizeof(*choice), set);
	for (int class = 0; class < CLASSES; class ++)
		if (choice->of_class[class] >= 0 &&
			credentials_add(set->credentials, &b->pairs[choice->of_class[class]], err) <
				0)
			return NULL;
	return set;
}

/* The first chain, and beside it those of other classes that share a name with it. */
static struct choice fallback_choice(const struct tlsio_certstore_builder *b)
{
	struct choice choice = choice_empty;
	choice.of_class[b->pairs[0].class] = 0;
	for (const struct name *n = b->names; n; n = n->hh.next) {
		if (n->choice.of_class[b->pairs[0].class] != 0)
			continue;
		for (int class = 0; class < CLASSES; class ++)
			if (choice.of_class[class] < 0)
				choice.of_class[class] = n->choice.of_class[class];
	}
	return choice;
}

static int make_sets(
	struct tlsio_certstore *store, struct tlsio_certstore_builder *b, struct err *err)
{
	struct choice fallback = fallback_choice(b);
	struct set *set = set_for(store, b, &fallback, err);
	if (!set)
		return -1;
	store->fallback = set->credentials;
	for (struct name *n = b->names; n; n = n->hh.next) {
		set = set_for(store, b, &n->choice, err);
		if (!set)
			return -1;
		n->credentials = set->credentials;
	}
	store->to_present = credentials_new();
	return credentials_add(store->to_present, &b->pairs[0], err);
}

struct tlsio_certstore *tlsio_certstore_builder_finish(
	struct tlsio_certstore_builder **builder, struct err *err)
{
	struct tlsio_certstore_builder *b = *builder;
	struct tlsio_certstore *store = NULL;
	if (b->pair_count == 0) {
		err_set(err, ERR_INPUT, "no certificate was given");
		tlsio_certstore_builder_free(builder);
		return NULL;
	}
	store = mem_zero(sizeof(*store));
	store->references = 1;
	for (size_t i = 0; i < b->pair_count; i++) {
		int64_t end_s = gnutls_x509_crt_get_expiration_time(b->pairs[i].chain[0]);
		if (i == 0 || end_s < store->not_after_s)
			store->not_after_s = end_s;
	}
	if (make_sets(store, b, err) < 0) {
		tlsio_certstore_unref(&store);
	} else {
		store->names = b->names;
		b->names = NULL;
	}
	tlsio_certstore_builder_free(builder);
	return store;
}

struct tlsio_certstore *tlsio_certstore_ref(struct tlsio_certstore *store)
{
	store->references++;
	return store;
}

void tlsio_certstore_unref(struct tlsio_certstore **certstore)
{
	struct tlsio_certstore *store = *certstore;
	*certstore = NULL;
	if (!store || --store->references > 0)
		return;
	struct set *at, *next;
	HASH_ITER(hh, store->sets, at, next)
	{
		HASH_DEL(store->sets, at);
		gnutls_certificate_free_credentials(at->credentials);
		free(at);
	}
	if (store->to_present)
		gnutls_certificate_free_credentials(store->to_present);
	names_free(&store->names);
	free(store);
}

int64_t tlsio_certstore_not_after_s(const struct tlsio_certstore *store)
{
	return store->not_after_s;
}

gnutls_certificate_credentials_t tlsio_certstore_for_name(
	const struct tlsio_certstore *store, struct str server_name)
{
	char wanted[MAX_NAME_BYTES + 2];
	size_t length = normalise(server_name, wanted + 1);
	struct name *name = NULL;
	if (length == 0)
		return store->fallback;
	HASH_FIND(hh, store->names, wanted + 1, length, name);
	size_t dot = str_find(str_from(wanted + 1, length), '.');
	if (!name && dot > 0 && dot < length) {
		/* "*" in the place of the left-most label: one byte in front of the dot. */
		wanted[dot] = '*';
		HASH_FIND(hh, store->names, wanted + dot, length - dot + 1, name);
	}
	return name ? name->credentials : store->fallback;
}

gnutls_certificate_credentials_t tlsio_certstore_to_present(const struct tlsio_certstore *store)
{
	return store->to_present;
}
