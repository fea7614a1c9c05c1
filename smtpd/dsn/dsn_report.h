/* dsn_report: the text of a delivery status notification (RFC 3461, 3464, 6522, 6533). Pure.
 *
 * For:     dsn.
 * Promise: lines end in CR LF and stay below 998 bytes where the original's header section does;
 *          nothing a peer or a sender said can end a line or a part; ASCII only outside of the
 *          human part and the returned header, unless is_global.
 */
#ifndef SMTPD_DSN_DSN_REPORT_H
#define SMTPD_DSN_DSN_REPORT_H

#include "libtlsio/base/buf.h"
#include "smtpd/dsn/dsn.h"

struct dsn_report {
	enum dsn_kind kind;
	const struct spool_envelope *original;
	struct str headers; /* of the original, CR LF lines, without the empty line; whole lines */
	bool is_cut;	    /* headers is not all of them */
	const struct dsn_recipient *recipients;
	size_t count;
	const char *hostname;
	const char *boundary;
	uint64_t id; /* of the report, for its Message-ID */
	int64_t now_s;
	bool is_global; /* RFC 6533: UTF-8 addresses or header fields are told as they are */
};

void dsn_report_format(const struct dsn_report *r, struct buf *ret);

/* True when UTF-8 must be told as it is: only then the report needs SMTPUTF8 itself. */
bool dsn_report_needs_utf8(const struct dsn_report *r);

#endif
