/* milter_header: the field that tells later filters and readers how the message came in. Pure.
 *
 * For:     milter_callbacks, which takes out incoming fields of the name first.
 * Form:    mx.example.org; version=TLSv1.3; cipher=TLS_AES_256_GCM_SHA384; bits=256;
 *          certificate=verified; name="out.partner.example"; policy=pass
 *          and without TLS:  mx.example.org; version=none; policy=report; reason="..."
 * Promise: printable ASCII only; what came from outside stands in quotes it cannot end.
 */
#ifndef SMTPD_MILTER_MILTER_HEADER_H
#define SMTPD_MILTER_MILTER_HEADER_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "policy/policy_inbound_demand.h"
#include "smtpd/milter/milter_facts.h"

/* refusal NULL: all rules were met. Folded with "\n\t" (libmilter's newline); appended to ret. */
void milter_header_value(const char *hostname, const struct milter_facts *facts,
	const struct policy_inbound_refusal *refusal, struct buf *ret);
/* The incoming field is one of ours, spaces around its name or not. */
bool milter_header_is(const char *field, const char *ours);

#endif
