/* explain_target: what an operator names on the command line. Pure. */
#ifndef SMTPD_EXPLAIN_EXPLAIN_TARGET_H
#define SMTPD_EXPLAIN_EXPLAIN_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "policy/policy_domain.h"

struct explain_target {
	char domain[POLICY_DOMAIN_BYTES]; /* A-labels; an address literal with its brackets; of a host
					   * the name or the address without */
	bool is_host;			  /* "host:port", "[address]:port": this very host */
	uint16_t port;			  /* is_host; else 0 */
};

/* "example.org", "user@example.org", "user@[192.0.2.1]", "mx.example.org:25", "[2001:db8::1]:25". */
int explain_target_parse(struct str text, struct explain_target *ret, struct err *err);

#endif
