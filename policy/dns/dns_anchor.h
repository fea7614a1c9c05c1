/* dns_anchor: a file of trust anchors (DS and DNSKEY records) record by record. Pure.
 *
 * For:     dns, dns_check.
 * Source:  RFC 1035 5.1 (one record a line, parentheses join lines, ";" begins a remark), as far as
 *          such files use it; the owner stands in every record.
 */
#ifndef POLICY_DNS_DNS_ANCHOR_H
#define POLICY_DNS_DNS_ANCHOR_H

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

struct dns_anchor {
	struct str left; /* set it to the file's text, the rest to zero */
	struct buf record; /* the last one read, one line; release it in the end */
	unsigned line;
};

/* 1: a record was read; 0: there is none any more; -1: something else stands there. */
int dns_anchor_next(struct dns_anchor *anchor, struct err *err);
/* Its owner, lower case, without a final dot; "." is the root. False when it does not fit. */
bool dns_anchor_zone(const struct dns_anchor *anchor, char *into, size_t capacity);

#endif
