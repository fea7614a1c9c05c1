/* relay_causes: why the hosts of a job would not do, and the one sentence that says so. Pure.
 *
 * Promise: one cause per host, a refusal by policy before any other: it tells what must be mended.
 */
#ifndef SMTPD_RELAY_RELAY_CAUSES_H
#define SMTPD_RELAY_RELAY_CAUSES_H

#include <stdbool.h>
#include <stddef.h>

#include "smtpd/relay/relay.h"

struct relay_cause {
	char *host;
	bool is_policy;
	struct relay_outcome outcome;
};

struct relay_causes {
	struct relay_cause *items;
	size_t count;
};

/* What host's last address said; kept unless policy refused another address of it before. */
void relay_causes_note(struct relay_causes *causes, const char *host,
	const struct relay_outcome *outcome, bool is_policy);
/* At least one is noted. One cause: as it was noted. More: each host with its cause, as many as fit,
 * those by policy first; the code is the first one's. domain: whose hosts they are; "" = no matter. */
void relay_causes_outcome(const struct relay_causes *causes, const char *domain,
	struct relay_outcome *ret);
void relay_causes_clear(struct relay_causes *causes);

#endif
