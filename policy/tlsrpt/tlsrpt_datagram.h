/* tlsrpt_datagram: what Postfix 3.10 and later says of a delivery, in libtlsrpt's words. Pure.
 *
 * Form:    JSON, as libtlsrpt 0.5 sends it (C12):
 *              {"dpv": "1", "d": DOMAIN, "pr": TXT-RECORD, "policies": [{"policy-type": 1 tlsa | 2 sts |
 *              9 none, "policy-domain", "policy-string": [], "mx-host": [], "failure-details": [{"c":
 *              RESULT-NUMBER, "s" sending IP, "n" MX host, "h" its HELO, "r" its IP, "a" additional
 *              information, "f" reason code}], "t": failures, "f": 0 success | 1 failure}]}
 *          dpv and all but c of a failure may be absent; other members are ignored.
 * Promise: all or nothing; every size, count and depth is bounded, texts are UTF-8 without control
 *          characters, names are in their one form. Fuzz target: fuzz_tlsrpt_datagram.
 */
#ifndef POLICY_TLSRPT_TLSRPT_DATAGRAM_H
#define POLICY_TLSRPT_TLSRPT_DATAGRAM_H

#include "libtlsio/base/err.h"
#include "policy/tlsrpt/tlsrpt_session.h"

enum { TLSRPT_DATAGRAM_BYTES_MOST = 65536 };

/* on_session: once, with all borrowed for the call. -1: refused whole; err names what is wrong with it
 * and repeats nothing of it. */
int tlsrpt_datagram_read(struct str bytes,
	void (*on_session)(void *ctx, const struct tlsrpt_session *session), void *ctx,
	struct err *err);

#endif
