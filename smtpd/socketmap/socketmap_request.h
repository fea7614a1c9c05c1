/* socketmap_request: what is asked: "<map> <next hop>". Pure.
 *
 * For:     socketmap_server.
 * Keys:    as Postfix and Sendmail really send them: a domain in any case, with or without a dot at
 *          its end, in A- or U-labels; "host:port" (its MX hosts, at that port); "[host]" and
 *          "[host]:port" (that host, no MX); addresses, in brackets or not.
 */
#ifndef SMTPD_SOCKETMAP_SOCKETMAP_REQUEST_H
#define SMTPD_SOCKETMAP_SOCKETMAP_REQUEST_H

#include <stdint.h>

#include "libtlsio/base/str.h"
#include "policy/policy_domain.h"
#include "policy/policy_plan.h"

enum { SOCKETMAP_REQUEST_BYTES_MOST = 10000 };

enum socketmap_map {
	SOCKETMAP_POSTFIX,	  /* "postfix": smtp_tls_policy_maps, words that every version takes */
	SOCKETMAP_POSTFIX_TLSRPT, /* "postfix-tlsrpt": and those of Postfix 3.10 */
	SOCKETMAP_SENDMAIL,	  /* "sts": FEATURE(`sts') */
};

enum socketmap_request_kind {
	SOCKETMAP_ASK,	     /* for a plan */
	SOCKETMAP_NOT_FOUND, /* at once: ".example.org" (a parent), or no name of a domain */
	SOCKETMAP_REFUSE,    /* why says why */
};

struct socketmap_request {
	enum socketmap_request_kind kind;
	enum socketmap_map map;
	enum policy_question_kind question;
	char next_hop[POLICY_DOMAIN_BYTES]; /* in its one form, or an address */
	uint16_t port;
	const char *why; /* a literal */
};

void socketmap_request_read(struct str payload, struct socketmap_request *ret);

#endif
