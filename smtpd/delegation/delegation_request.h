/* delegation_request: what Postfix asks: lines name=value up to an empty one. Pure.
 *
 * For:     delegation_server; delegation_facts reads the values.
 * Form:    SMTPD_POLICY_README of Postfix. Names we do not know are passed by: each version has more.
 * Promise: a name that comes twice, a control byte, a line without "=" and a request of another kind make
 *          no request at all: whoever sends them is not Postfix.
 */
#ifndef SMTPD_DELEGATION_DELEGATION_REQUEST_H
#define SMTPD_DELEGATION_DELEGATION_REQUEST_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

/* A Postfix line has 2,048 bytes, a request some thirty of them, most near empty. */
enum { DELEGATION_REQUEST_BYTES_MOST = 32 * 1024 };

/* As in the table of delegation_request.c, which is in the order in which Postfix sends them. */
enum delegation_attribute {
	DELEGATION_REQUEST,
	DELEGATION_PROTOCOL_STATE,
	DELEGATION_CLIENT_ADDRESS,
	DELEGATION_CLIENT_NAME,
	DELEGATION_CLIENT_PORT,
	DELEGATION_SERVER_PORT,
	DELEGATION_SENDER,
	DELEGATION_RECIPIENT,
	DELEGATION_QUEUE_ID,
	DELEGATION_INSTANCE,
	DELEGATION_SASL_USERNAME,
	DELEGATION_CCERT_SUBJECT,
	DELEGATION_CCERT_ISSUER,
	DELEGATION_CCERT_FINGERPRINT,
	DELEGATION_CCERT_PUBKEY_FINGERPRINT,
	DELEGATION_ENCRYPTION_PROTOCOL,
	DELEGATION_ENCRYPTION_CIPHER,
	DELEGATION_ENCRYPTION_KEYSIZE,
	DELEGATION_TLS_SNI,
	DELEGATION_POLICY_CONTEXT,
	DELEGATION_ATTRIBUTES
};

struct delegation_request {
	struct str values[DELEGATION_ATTRIBUTES]; /* look into the bytes read; at NULL: not sent */
};

/* How many bytes of `in`, from its beginning, are a whole request with its empty line; 0: more must come.
 * scanned (0 at first) remembers how far was looked, for the same bytes with more behind them. */
size_t delegation_request_length(struct str in, size_t *scanned);
/* Those bytes. */
int delegation_request_read(struct str whole, struct delegation_request *ret, struct err *err);

/* Empty where it was not sent. */
struct str delegation_request_value(const struct delegation_request *request,
	enum delegation_attribute attribute);

#endif
