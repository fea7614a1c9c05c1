/* policy_judge: facts against a requirement -> pass, or a reason in RFC 8460's words. Pure.
 *
 * For:     relay, after EHLO without STARTTLS, after a failed handshake, after a good one.
 * Promise: the text is a plain sentence that says which side lacked what and which rule asked.
 */
#ifndef POLICY_POLICY_JUDGE_H
#define POLICY_POLICY_JUDGE_H

#include <stdbool.h>

#include "libtlsio/tlsio_peer.h"
#include "policy/policy_requirement.h"

enum policy_reason { /* RFC 8460 section 4.3 */
	POLICY_REASON_NONE,
	POLICY_REASON_STARTTLS_NOT_SUPPORTED,
	POLICY_REASON_CERTIFICATE_HOST_MISMATCH,
	POLICY_REASON_CERTIFICATE_NOT_TRUSTED,
	POLICY_REASON_CERTIFICATE_EXPIRED,
	POLICY_REASON_VALIDATION_FAILURE, /* handshake, version, pin: everything else */
	POLICY_REASON_TLSA_INVALID,	  /* no record of the set is valid */
	POLICY_REASON_DNSSEC_INVALID,	  /* the resolver found nothing it could prove */
	POLICY_REASON_DANE_REQUIRED,	  /* demanded, and the host has no usable records */
	POLICY_REASON_STS_POLICY_FETCH_ERROR,
	POLICY_REASON_STS_POLICY_INVALID,
	POLICY_REASON_STS_WEBPKI_INVALID,
};
/* "starttls-not-supported", ... */
const char *policy_reason_name(enum policy_reason reason);

enum policy_verdict {
	POLICY_PASS,	 /* go on with this connection as it is */
	POLICY_IN_CLEAR, /* MAY only: TLS failed; connect again and stay in clear, log the text */
	POLICY_REFUSE,	 /* do not send over this connection; try the next host, then defer */
};

struct policy_judgement {
	enum policy_verdict verdict;
	enum policy_reason reason;
	bool is_verified; /* identity proven as the requirement demands (also under MAY) */
	char text[300];
};

/* host: the next hop as dialled, for the words. */
void policy_judge_no_starttls(const struct policy_requirement *r, const char *host,
	struct policy_judgement *ret);
/* STARTTLS answered 4xx/5xx, or the handshake failed; `why` in words. */
void policy_judge_failed_tls(const struct policy_requirement *r, const char *host, const char *why,
	struct policy_judgement *ret);
/* DANE, DANE_ONLY (RFC 8460 4.3.1, 4.3.2.1): no records -> dane-required; a certificate that matches
 * none of them, or does not really come from the authority they name -> certificate-not-trusted (the
 * records are valid: tlsa-invalid is the word for a set of which no record is); out of its dates below
 * that authority -> certificate-expired; none of the names -> certificate-host-mismatch. The rule's
 * own authority, names and pins come after that and have the reasons they have under verify. */
void policy_judge_peer(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *ret);

#endif
