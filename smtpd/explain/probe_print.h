/* probe_print: what a probe found, for people and as JSON. Pure.
 *
 * For:     posternctl probe.
 */
#ifndef SMTPD_EXPLAIN_PROBE_PRINT_H
#define SMTPD_EXPLAIN_PROBE_PRINT_H

#include "smtpd/explain/explain.h"
#include "smtpd/explain/probe.h"

struct probe_print {
	const struct explain *explained; /* what the plan says; for host:port what its rule says */
	const struct probe_host *hosts;
	size_t host_count;
	int64_t now_s;
};

/* Of the connected addresses the worst; UNUSABLE when none connected: one address that is not reached
 * is no fault of a host that is reached by another. */
enum probe_verdict probe_print_host_verdict(const struct probe_host *host);
/* DELIVERABLE: every host that the plan uses passes (in clear where its rule allows that); the
 * plan's own status when there is none to probe. */
enum explain_status probe_print_status(const struct probe_print *p);
void probe_print_text(const struct probe_print *p, struct explain_page *page);
/* One object and a newline; the keys are in posternctl(8). */
void probe_print_json(const struct probe_print *p, struct buf *to);

#endif
