/* make_request: a request as Postfix 3.7 sends it at RCPT in clear, with some values changed.
 *
 * For:     tests of smtpd/delegation.
 */
#ifndef TESTS_SMTPD_DELEGATION_MAKE_REQUEST_H
#define TESTS_SMTPD_DELEGATION_MAKE_REQUEST_H

#include "libtlsio/base/buf.h"

/* changes: "name=value", NULL at the end (or all NULL); of a name that Postfix 3.7 does not send: one more line.
 * Appended, with the empty line. */
void make_request(struct buf *into, const char *const *changes);

/* What Postfix adds over TLS 1.3: with MAKE_REQUEST_VERIFIED of a certificate that it trusts. */
#define MAKE_REQUEST_TLS                                                                           \
	"encryption_protocol=TLSv1.3", "encryption_cipher=TLS_AES_256_GCM_SHA384",                 \
		"encryption_keysize=256"
#define MAKE_REQUEST_KEY "6E:F9:D0:31:8E:2C:EC:0C:9F:E1:C9:13:B1:1F:45:9C:EA:8D:B5:17:DD:F1:CC:C6:7E:54:58:78:FB:45:D1:B9"
#define MAKE_REQUEST_UNVERIFIED                                                                    \
	"ccert_fingerprint=72:06", "ccert_pubkey_fingerprint=" MAKE_REQUEST_KEY
#define MAKE_REQUEST_VERIFIED                                                                      \
	MAKE_REQUEST_UNVERIFIED, "ccert_subject=out.partner.example", "ccert_issuer=Some+20CA"

#endif
