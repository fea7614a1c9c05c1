#include "libtlsio/tlsio_priority.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

/* Suites and groups in our order. Safe renegotiation is demanded of 1.2 peers (RFC 9325 3.5) once
 * the version is known, in tlsio_session: GnuTLS's %SAFE_RENEGOTIATION would ask it of peers too
 * that offer TLS 1.3 alone and rightly say nothing of it. Extended master secret is always offered
 * by GnuTLS. */
#define SUITES                                                                                     \
	":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305"             \
	":+AES-128-GCM:-MAC-ALL:+AEAD:%SERVER_PRECEDENCE"
#define GROUPS ":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1"
/* Only in a GnuTLS built with it; a classical share stays the one sent first. */
#define HYBRID_GROUP ":+GROUP-X25519-MLKEM768"

enum { MAX_CACHED = 32 };

struct tlsio_priority {
	struct list link;    /* newest first */
	unsigned references; /* the cache's own one included */
	enum tlsio_version minimum;
	char *words;
	gnutls_priority_t gnutls;
};

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list cache = { &cache, &cache };
static size_t cached;

static bool has_hybrid_group(void)
{
	gnutls_priority_t probe;
	if (gnutls_priority_init2(&probe, "SECURE128" HYBRID_GROUP, NULL, 0) < 0)
		return false;
	gnutls_priority_deinit(probe);
	return true;
}

/* The words may add versions; what GnuTLS made of them is looked at, not the words. */
static int check_versions(gnutls_priority_t p, enum tlsio_version minimum, struct err *err)
{
	const unsigned *list;
	int count = gnutls_priority_protocol_list(p, &list);
	if (count <= 0)
		return err_set(err, ERR_INPUT, "the TLS priority leaves no TLS version");
	for (int i = 0; i < count; i++) {
		if (list[i] == GNUTLS_TLS1_3 ||
			(list[i] == GNUTLS_TLS1_2 && minimum != TLSIO_TLS13))
			continue;
		const char *name = gnutls_protocol_get_name(list[i]);
		return err_set(err, ERR_INPUT,
			"the TLS priority words ask for %s, below the minimum %s",
			name ? name : "an unknown version", tlsio_version_name(minimum));
	}
	return 0;
}

static int check_ciphers(gnutls_priority_t p, struct err *err)
{
	const unsigned *list;
	int count = gnutls_priority_cipher_list(p, &list);
	for (int i = 0; i < count; i++)
		if (list[i] == GNUTLS_CIPHER_NULL || list[i] == GNUTLS_CIPHER_ARCFOUR_128)
			return err_set(err, ERR_INPUT,
				"the TLS priority words ask for the cipher %s",
				gnutls_cipher_get_name(list[i]));
	return 0;
}

static int build(
	enum tlsio_version minimum, const char *words, gnutls_priority_t *ret, struct err *err)
{
	char text[1024];
	int length = snprintf(text, sizeof(text), "SECURE128:-VERS-ALL:+VERS-TLS1.3%s%s%s%s%s%s",
		minimum == TLSIO_TLS13 ? "" : ":+VERS-TLS1.2", SUITES, GROUPS,
		has_hybrid_group() ? HYBRID_GROUP : "", words ? ":" : "", words ? words : "");
	if (length >= (int)sizeof(text))
		return err_set(err, ERR_INPUT, "the TLS priority words are too long");
	const char *bad = NULL;
	int rc = gnutls_priority_init2(ret, text, &bad, 0);
	if (rc == GNUTLS_E_INVALID_REQUEST && bad)
		return err_set(
			err, ERR_INPUT, "TLS priority words: not understood at \"%.60s\"", bad);
	if (rc < 0)
		return err_set(err, ERR_INPUT,
			"TLS priority: %s (do the words or the system-wide GnuTLS configuration "
			"disable everything?)",
			gnutls_strerror(rc));
	if (check_versions(*ret, minimum, err) < 0 || check_ciphers(*ret, err) < 0) {
		gnutls_priority_deinit(*ret);
		return -1;
	}
	return 0;
}

static void release(struct tlsio_priority *p)
{
	if (--p->references > 0)
		return;
	gnutls_priority_deinit(p->gnutls);
	free(p->words);
	free(p);
}

static bool is_for(const struct tlsio_priority *p, enum tlsio_version minimum, const char *words)
{
	if (p->minimum != minimum || !p->words != !words)
		return false;
	return !words || strcmp(p->words, words) == 0;
}

/* The cache forgets its eldest; users of that one keep it. */
static void forget_eldest(void)
{
	struct tlsio_priority *eldest = LIST_OWNER(cache.prev, struct tlsio_priority, link);
	list_remove(&eldest->link);
	cached--;
	release(eldest);
}

static struct tlsio_priority *get_locked(
	enum tlsio_version minimum, const char *words, struct err *err)
{
	LIST_EACH(at, &cache)
	{
		struct tlsio_priority *known = LIST_OWNER(at, struct tlsio_priority, link);
		if (is_for(known, minimum, words)) {
			known->references++;
			return known;
		}
	}
	gnutls_priority_t gnutls;
	if (build(minimum, words, &gnutls, err) < 0)
		return NULL;
	struct tlsio_priority *p = mem_zero(sizeof(*p));
	p->references = 2;
	p->minimum = minimum;
	p->words = mem_dup(words);
	p->gnutls = gnutls;
	list_push_front(&cache, &p->link);
	if (++cached > MAX_CACHED)
		forget_eldest();
	return p;
}

struct tlsio_priority *tlsio_priority_get(
	enum tlsio_version minimum, const char *words, struct err *err)
{
	if (minimum == TLSIO_VERSION_NONE)
		minimum = TLSIO_TLS12;
	if (words && !*words)
		words = NULL;
	pthread_mutex_lock(&cache_lock);
	struct tlsio_priority *p = get_locked(minimum, words, err);
	pthread_mutex_unlock(&cache_lock);
	return p;
}

void tlsio_priority_unref(struct tlsio_priority **priority)
{
	if (!*priority)
		return;
	pthread_mutex_lock(&cache_lock);
	release(*priority);
	pthread_mutex_unlock(&cache_lock);
	*priority = NULL;
}

gnutls_priority_t tlsio_priority_gnutls(const struct tlsio_priority *priority)
{
	return priority->gnutls;
}

unsigned tlsio_priority_versions(const struct tlsio_priority *priority)
{
	const unsigned *list;
	int count = gnutls_priority_protocol_list(priority->gnutls, &list);
	unsigned versions = 0;
	for (int i = 0; i < count; i++)
		versions |= TLSIO_PRIORITY_BIT(list[i] == GNUTLS_TLS1_3 ? 0x0304u : 0x0303u);
	return versions;
}
