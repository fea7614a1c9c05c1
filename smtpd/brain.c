#include "smtpd/brain.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "policy/store/store.h"
#include "smtpd/brain_digest.h"

#define SWEEP_MS 1000

/* One generation of what answers. */
struct parts {
	struct list link; /* brain: old ones */
	struct brain *brain;
	struct dns *dns;
	struct sts *sts;
	struct plan_service *plans;
	struct store *store; /* NULL: plans are in memory only */
	uint8_t roots_sha256[32];
};

struct brain {
	struct tlsio_loop *loop;
	struct config *config;
	enum sts_cache_mode mode;
	const struct brain_events *events;
	void *ctx;
	struct tlsrpt_tally *tally;
	struct parts *parts;
	struct list old;
	struct tlsio_timer sweep;
	struct dns_check *check;
	void (*on_checked)(void *ctx, enum dns_check_result result, const char *words);
	void *on_checked_ctx;
};

/* ---- the parts -------------------------------------------------------------------------------------- */

static void on_warning(void *ctx, const char *words)
{
	const struct parts *p = ctx;
	if (p->brain->events && p->brain->events->on_warning)
		p->brain->events->on_warning(p->brain->ctx, words);
}

static void on_change(void *ctx, const char *domain)
{
	const struct parts *p = ctx;
	if (p->plans)
		plan_service_forget(p->plans, domain);
}

static const struct sts_events sts_events = { .on_warning = on_warning, .on_change = on_change };

static void parts_free(struct parts **pointer)
{
	struct parts *p = *pointer;
	*pointer = NULL;
	if (!p)
		return;
	list_remove(&p->link);
	store_free(&p->store);
	if (p->plans)
		plan_service_free(&p->plans);
	if (p->sts)
		sts_free(&p->sts);
	if (p->dns)
		dns_free(&p->dns);
	free(p);
}

/* The configuration's, while plans are read. */
static struct tlsio_trust *find_authority(void *ctx, const char *name, const uint8_t sha256[32])
{
	return config_find_authority(ctx, name, sha256);
}

/* Beside the MTA-STS cache, by whose name it goes. */
static void open_store(struct parts *p, struct config *config)
{
	struct buf path = { 0 };
	uint8_t digest[32];
	if (!config->sts.cache || p->brain->mode != STS_CACHE_READ_WRITE)
		return;
	brain_digest(config, p->roots_sha256, digest);
	buf_printf(&path, "%s.plans", config->sts.cache);
	p->store = store_new(&(struct store_setup){ .loop = p->brain->loop, .service = p->plans,
		.path = buf_text(&path), .digest = digest, .authorities = { find_authority, config },
		.on_warning = on_warning, .ctx = p });
	buf_release(&path);
}

static struct parts *parts_new(struct brain *b, struct config *config, struct err *err)
{
	struct parts *p = mem_zero(sizeof(*p));
	p->brain = b;
	struct tlsio_trust *roots = config_sts_authority(config, p->roots_sha256, err);
	if (roots)
		p->dns = dns_new(b->loop, &config->dns, err);
	if (p->dns)
		p->sts = sts_new(b->loop, p->dns, &config->sts, b->mode, &sts_events, p, err);
	if (p->sts)
		p->plans = plan_service_new(&(struct plan_service_setup){ .loop = b->loop,
			.dns = p->dns, .sts = p->sts, .tally = b->tally, .rules = config->rules, .roots = roots,
			.roots_name = config->sts.authority, .roots_sha256 = p->roots_sha256 });
	tlsio_trust_unref(&roots);
	if (p->plans)
		open_store(p, config);
	else
		parts_free(&p);
	return p;
}

/* ---- settings that need new parts ---------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_texts(char *const *a, char *const *b)
{
	while (a && b && *a && *b && strcmp(*a, *b) == 0)
		a++, b++;
	return (!a || !*a) && (!b || !*b);
}

static bool same_dns(const struct dns_settings *a, const struct dns_settings *b)
{
	bool is_same = a->timeout_ms == b->timeout_ms && a->cache_bytes == b->cache_bytes &&
		       a->stub_count == b->stub_count && same_texts(a->forward, b->forward) &&
		       same_text(a->trust_anchor, b->trust_anchor) &&
		       same_text(a->anchor_text, b->anchor_text) && same_texts(a->check, b->check) &&
		       same_texts(a->insecure, b->insecure);
	for (size_t i = 0; is_same && i < a->stub_count; i++)
		is_same = same_text(a->stubs[i].zone, b->stubs[i].zone) &&
			  same_texts(a->stubs[i].servers, b->stubs[i].servers);
	return is_same;
}

static bool same_sts(const struct config *a, const struct config *b)
{
	const struct sts_settings *x = &a->sts, *y = &b->sts;
	return same_text(x->cache, y->cache) && x->fetch_ms == y->fetch_ms &&
	       x->first_wait_ms == y->first_wait_ms && x->allows_private == y->allows_private &&
	       same_text(x->authority, y->authority) &&
	       same_text(x->authority_pem, y->authority_pem) &&
	       x->entries_most == y->entries_most &&
	       memcmp(a->sts_sha256, b->sts_sha256, sizeof(a->sts_sha256)) == 0;
}

/* ---- the brain -------------------------------------------------------------------------------------------- */

static void on_sweep(void *ctx)
{
	struct brain *b = ctx;
	LIST_EACH_SAFE (node, &b->old) {
		struct parts *p = LIST_OWNER(node, struct parts, link);
		struct plan_service_counts counts;
		plan_service_count(p->plans, &counts);
		/* Who is not told yet holds a question of these parts. */
		if (counts.in_flight == 0 && !counts.has_untold)
			parts_free(&p);
	}
	if (!list_is_empty(&b->old))
		tlsio_timer_start(&b->sweep, SWEEP_MS);
}

static void on_tally_warning(void *ctx, const char *words)
{
	const struct brain *b = ctx;
	if (b->events && b->events->on_warning)
		b->events->on_warning(b->ctx, words);
}

struct brain *brain_new(struct tlsio_loop *loop, struct config *config, enum sts_cache_mode mode,
	const struct brain_events *events, void *ctx, struct err *err)
{
	struct brain *b = mem_zero(sizeof(*b));
	b->loop = loop;
	b->config = config_ref(config);
	b->mode = mode;
	b->events = events;
	b->ctx = ctx;
	list_init(&b->old);
	tlsio_timer_init(&b->sweep, loop, on_sweep, b);
	b->tally = tlsrpt_tally_new(loop, &config->tlsrpt,
		mode == STS_CACHE_READ_ONLY ? TLSRPT_TALLY_READ_ONLY : TLSRPT_TALLY_READ_WRITE,
		on_tally_warning, b);
	b->parts = parts_new(b, config, err);
	if (!b->parts)
		brain_free(&b);
	return b;
}

void brain_free(struct brain **brain)
{
	struct brain *b = *brain;
	if (!b)
		return;
	*brain = NULL;
	dns_check_cancel(&b->check);
	tlsio_timer_stop(&b->sweep);
	while (!list_is_empty(&b->old)) {
		struct parts *p = LIST_OWNER(list_first(&b->old), struct parts, link);
		parts_free(&p);
	}
	if (b->parts && b->parts->store)
		store_save(b->parts->store);
	parts_free(&b->parts);
	tlsrpt_tally_free(&b->tally);
	config_unref(&b->config);
	free(b);
}

struct plan_service *brain_plans(struct brain *b)
{
	return b->parts->plans;
}

struct tlsrpt_tally *brain_tally(struct brain *b)
{
	return b->tally;
}

static void on_checked(void *ctx, enum dns_check_result result, const char *words)
{
	struct brain *b = ctx;
	b->check = NULL;
	b->on_checked(b->on_checked_ctx, result, words);
}

static void start_check(struct brain *b)
{
	dns_check_cancel(&b->check);
	b->check = dns_check_start(b->loop, b->parts->dns, &b->config->dns, on_checked, b);
}

void brain_check(struct brain *b,
	void (*on_over)(void *ctx, enum dns_check_result result, const char *words), void *ctx)
{
	b->on_checked = on_over;
	b->on_checked_ctx = ctx;
	start_check(b);
}

/* The plans were forgotten, and those of the file are of the rules before. */
static void swap_rules(struct parts *p, const struct config *config)
{
	uint8_t digest[32];
	plan_service_set_rules(p->plans, config->rules);
	if (!p->store)
		return;
	brain_digest(config, p->roots_sha256, digest);
	store_set_digest(p->store, digest);
}

int brain_reload(struct brain *b, struct config *config, struct err *err)
{
	struct parts *parts = NULL;
	bool is_same = same_dns(&b->config->dns, &config->dns) && same_sts(b->config, config);
	if (!is_same) {
		parts = parts_new(b, config, err);
		if (!parts)
			return -1;
	}
	config_unref(&b->config);
	b->config = config_ref(config);
	tlsrpt_tally_change(b->tally, &config->tlsrpt);
	if (is_same) {
		swap_rules(b->parts, config);
		return 0;
	}
	store_free(&b->parts->store);
	list_push_back(&b->old, &b->parts->link);
	b->parts = parts;
	if (b->check)
		start_check(b);
	if (!tlsio_timer_is_active(&b->sweep)) /* reload after reload must not put it off */
		tlsio_timer_start(&b->sweep, SWEEP_MS);
	return 0;
}
