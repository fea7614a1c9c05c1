/* probe: connects to the hosts of a plan and records what they show. Never sends mail.
 *
 * For:     posternctl probe.
 * Holds:   a record per address; per host one connection at a time, hosts side by side.
 * Promise: of each host all addresses of the first family that connects, or all; an address that is
 *          not tried says why; one on_over, later, within limit_ms and a moment, whatever peers do.
 */
#ifndef SMTPD_EXPLAIN_PROBE_H
#define SMTPD_EXPLAIN_PROBE_H

#include "libtlsio/tlsio_loop.h"
#include "policy/policy_plan.h"
#include "smtpd/explain/probe_record.h"

struct probe;

struct probe_setup {
	struct tlsio_loop *loop;
	struct policy_plan *plan;  /* shares */
	const char *hostname;	   /* ours; copied */
	struct tlsio_trust *roots; /* shares; may be NULL: see probe_connection.h */
	const char *only_host;	   /* of the plan; NULL all. Borrowed for the call */
	bool wants_all_addresses;
	bool is_tls_first;
	int64_t limit_ms; /* for everything, from now */
};

struct probe_host {
	const struct policy_plan_host *host; /* of the plan */
	struct probe_record *records;	     /* one per address */
	size_t record_count;
	size_t probed_count; /* records from the front that were tried; the others are not needed */
};

struct probe *probe_start(const struct probe_setup *setup, void (*on_over)(void *ctx), void *ctx);
/* Accepts NULL, sets NULL. */
void probe_free(struct probe **probe);
/* Valid as long as the probe; complete after on_over. */
const struct probe_host *probe_hosts(const struct probe *probe, size_t *ret_count);

#endif
