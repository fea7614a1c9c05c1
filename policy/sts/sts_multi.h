/* sts_multi: libcurl's transfers on our loop. Internal to this room.
 *
 * Promise: libcurl runs only from the loop's events, and never waits or makes a thread; on_done comes
 *          from the loop, once per transfer that was not removed before.
 */
#ifndef POLICY_STS_STS_MULTI_H
#define POLICY_STS_STS_MULTI_H

#include <curl/curl.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_loop.h"

struct sts_multi;

/* on_done removes (and frees) its transfer. */
struct sts_multi *sts_multi_new(struct tlsio_loop *loop,
	void (*on_done)(void *ctx, CURL *easy, CURLcode code), void *ctx, long connections_most,
	struct err *err);
/* All transfers removed before. Accepts NULL, sets NULL. */
void sts_multi_free(struct sts_multi **multi);
int sts_multi_add(struct sts_multi *multi, CURL *easy, struct err *err);
/* Not from inside a callback of libcurl's. */
void sts_multi_remove(struct sts_multi *multi, CURL *easy);

#endif
