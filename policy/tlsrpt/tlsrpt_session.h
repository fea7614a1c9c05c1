/* tlsrpt_session: one TLS session and the policies it was held against, as RFC 8460 counts them. Pure.
 *
 * For:     tlsrpt_datagram and tlsrpt_tally.
 * Form:    a policy and a failure's tuple also exist as one text each, of which all else is made:
 *          equal texts are counted together (R11), and texts are what lies in the database.
 *              policy:  "sts\tPOLICY-DOMAIN\n", then "s\tPOLICY-STRING\n"..., "m\tMX-HOST\n"...
 *              failure: "RESULT\tSENDING-IP\tMX-HOST\tHELO\tRECEIVING-IP\tADDITIONAL\tREASON-CODE"
 * Promise: no text holds a control byte but these, or what is no UTF-8; all are bounded.
 * Source:  RFC 8460 4.3 to 4.5; R4 to R11.
 */
#ifndef POLICY_TLSRPT_TLSRPT_SESSION_H
#define POLICY_TLSRPT_TLSRPT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/str.h"
#include "policy/policy_judge.h"
#include "policy/policy_report.h"

enum {
	TLSRPT_NAME_BYTES_MOST = 255,
	TLSRPT_ADDRESS_BYTES_MOST = 64,
	TLSRPT_RECORD_BYTES_MOST = 4096,  /* the TXT record */
	TLSRPT_WORDS_BYTES_MOST = 512,	  /* additional information; reason code */
	TLSRPT_STRINGS_MOST = 1024,	  /* policy strings; mx-host patterns: RFC 8461 bounds neither */
	TLSRPT_POLICY_BYTES_MOST = 32768, /* a policy's text */
	TLSRPT_POLICIES_MOST = 8,	  /* of one session */
	TLSRPT_FAILURES_MOST = 64,	  /* of one session under one policy */
	TLSRPT_REASONS = POLICY_REASON_STS_WEBPKI_INVALID + 1,
};

struct tlsrpt_failure {
	enum policy_reason result; /* not NONE */
	const char *sending_ip, *mx_host, *helo, *receiving_ip, *additional, *reason_code; /* "" none */
};

struct tlsrpt_policy {
	enum policy_report_type type;
	const char *domain;
	const char *const *strings;
	size_t string_count;
	const char *const *mx;
	size_t mx_count;
};

/* Under one policy. */
struct tlsrpt_outcome {
	struct tlsrpt_policy policy;
	bool is_success;
	const struct tlsrpt_failure *failures;
	size_t failure_count;
};

struct tlsrpt_session {
	const char *domain; /* reported: lower case, A-labels */
	const char *record; /* its TXT record; "" not looked up */
	struct tlsrpt_outcome *outcomes;
	size_t outcome_count;
};

/* ---- words --------------------------------------------------------------------------------- */
/* "tlsa", "sts", "no-policy-found" */
const char *tlsrpt_type_name(enum policy_report_type type);
bool tlsrpt_type_parse(struct str text, enum policy_report_type *ret);
/* One of the eleven (R6); NONE is none of them. */
bool tlsrpt_result_parse(struct str text, enum policy_reason *ret);
/* libtlsrpt's number: 201..205, 301..306. False: none of them. */
bool tlsrpt_result_of_code(int code, enum policy_reason *ret);
/* What it means, for people. */
const char *tlsrpt_result_words(enum policy_reason result);
/* UTF-8 without a control character, at most so many bytes. */
bool tlsrpt_text_is_clean(struct str text, size_t most);

/* ---- texts --------------------------------------------------------------------------------- */
/* Appends. False, and nothing appended: beyond a limit, or not clean. */
bool tlsrpt_policy_write(const struct tlsrpt_policy *policy, struct buf *into);
bool tlsrpt_failure_write(const struct tlsrpt_failure *failure, struct buf *into);
/* The first eight bytes of the SHA-256 of a policy's text. */
uint64_t tlsrpt_policy_identity(struct str text);

/* Borrowed from the text. False: not such a text. */
bool tlsrpt_policy_read(struct str text, enum policy_report_type *ret_type, struct str *ret_domain,
	struct str *ret_lines);
/* Next of the lines: 's' or 'm' and its value; '\0': no more. */
char tlsrpt_policy_next(struct str *lines, struct str *ret_value);
struct tlsrpt_failure_read {
	enum policy_reason result;
	struct str sending_ip, mx_host, helo, receiving_ip, additional, reason_code;
};
bool tlsrpt_failure_read(struct str text, struct tlsrpt_failure_read *ret);

#endif
