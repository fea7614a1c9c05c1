/* store: plans kept on disk, so that a restart or a crash forgets few of them.
 *
 * For:     smtpd/brain, in postern-policyd.
 * Holds:   nothing but times; while it writes, references to the plans and the open file.
 * Promise: reads once, when it is made; a file that is damaged, of others, or made under other
 *          settings is left out, with one warning unless that is in the order of things; writing
 *          never holds up the loop for more than STORE_SLICE_PLANS plans, but for store_save.
 */
#ifndef POLICY_STORE_STORE_H
#define POLICY_STORE_STORE_H

#include "libtlsio/tlsio_loop.h"
#include "policy/door/door_wire.h"
#include "policy/plan/plan_service.h"

enum {
	STORE_SLICE_PLANS = 64,
	STORE_LOOK_MS = 3 * 60 * 1000, /* is there enough to write? a tenth new, or any in an hour */
	STORE_LATEST_MS = 60 * 60 * 1000,
};

struct store;

struct store_setup {
	struct tlsio_loop *loop;
	struct plan_service *service; /* borrowed; lives longer */
	const char *path;	      /* copied */
	const uint8_t *digest;	      /* 32 bytes, copied: of all that plans are made by */
	struct door_authorities authorities; /* for store_new only */
	void (*on_warning)(void *ctx, const char *words); /* one line */
	void *ctx;
};

struct store_counts {
	size_t read; /* taken from the file at the start */
	size_t over; /* ended meanwhile, or made by what has changed */
	size_t bad;  /* damaged or odd */
	uint64_t written; /* whole files */
};

/* Reads the file, if there is one. */
struct store *store_new(const struct store_setup *setup);
/* What plans are made by has changed: what is being written is void. */
void store_set_digest(struct store *store, const uint8_t digest[32]);
/* Writes all at once, if there is anything new; for the end. */
void store_save(struct store *store);
void store_count(const struct store *store, struct store_counts *ret);
/* Writes nothing. Accepts NULL, sets NULL. */
void store_free(struct store **store);

#endif
