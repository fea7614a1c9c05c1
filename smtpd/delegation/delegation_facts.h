/* delegation_facts: what a request proves of the session, and at which stage it stands. Pure.
 *
 * For:     delegation_answer judges it, the log shows it.
 * Postfix: ccert_subject and ccert_issuer are common names (+XX is a byte), there only where the certificate
 *          was verified; the fingerprints are of any certificate shown, by smtpd_tls_fingerprint_digest.
 *          client_name is "unknown" unless the name leads back to the address.
 * Promise: what is missing, too long or not understood proves nothing.
 */
#ifndef SMTPD_DELEGATION_DELEGATION_FACTS_H
#define SMTPD_DELEGATION_DELEGATION_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy_inbound_demand.h"
#include "smtpd/delegation/delegation_request.h"
#include "smtpd/inbound/inbound_settings.h"

enum delegation_stage {
	DELEGATION_STAGE_EARLY,	    /* before MAIL: STARTTLS may still come; or no stage of a message */
	DELEGATION_STAGE_MAIL,	    /* the sender is known */
	DELEGATION_STAGE_RECIPIENT, /* RCPT, and all behind it: a recipient where there is only one */
};

struct delegation_facts {
	enum delegation_stage stage;
	bool is_exempt;
	struct policy_inbound_facts shown; /* its texts are in here and in the request */
	char common_name[256];		   /* of a verified certificate; else empty */
	char issuer[256];
	uint8_t key_sha256[32];
};

/* Points into itself: do not copy ret. */
void delegation_facts_read(const struct delegation_request *request,
	const struct inbound_settings *settings, struct delegation_facts *ret);

#endif
