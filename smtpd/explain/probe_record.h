/* probe_record: what one connection showed, step by step, as plain data of its own.
 *
 * For:     probe_connection fills it, probe_print tells it.
 * Promise: bounded whatever the peer sends: at most PROBE_EVENTS_MOST steps, the rest counted. Text
 *          is as the peer sent it: clean it before showing.
 */
#ifndef SMTPD_EXPLAIN_PROBE_RECORD_H
#define SMTPD_EXPLAIN_PROBE_RECORD_H

#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_describe.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_trace.h"
#include "policy/policy_dane.h"
#include "policy/policy_judge.h"

enum { PROBE_EVENTS_MOST = 500, PROBE_CHAIN_MOST = 10, PROBE_LINE_BYTES = 512 };

enum probe_event_kind {
	PROBE_SAID,    /* a line of ours */
	PROBE_HEARD,   /* a line of theirs, with its code */
	PROBE_MESSAGE, /* of the handshake */
};
struct probe_event {
	enum probe_event_kind kind;
	int64_t at_ms; /* since the connection was begun */
	char *text;    /* the line; the message's name */
	bool is_incoming;
	uint8_t type;  /* MESSAGE: IANA HandshakeType */
	uint16_t record_version;
	size_t size_bytes;
};

struct probe_certificate {
	uint8_t sha256[32], spki_sha256[32];
	bool has_key; /* spki_sha256 is one */
	bool is_led_to; /* the leaf leads there; the leaf itself: true */
	struct tlsio_description words;
};

struct probe_tls {
	enum tlsio_version version;
	const char *suite, *group; /* static; NULL unknown */
	uint16_t suite_id;
	char key_exchange[32];
	bool is_resumed;
	char *server_name; /* NULL none sent */
	struct probe_certificate chain[PROBE_CHAIN_MOST];
	size_t chain_count, chain_total;
	unsigned chain_faults;
	char *matched_name; /* NULL none */
	char names[600];
	enum tlsio_ocsp ocsp;
	bool has_tlsa; /* the requirement has records: */
	enum policy_dane_match tlsa_match;
	size_t tlsa_index;
};

enum probe_verdict {
	PROBE_PASSES,
	PROBE_GOES_IN_CLEAR, /* TLS failed, and the rule allows clear text */
	PROBE_REFUSED,	     /* connected, but the requirement is not met */
	PROBE_UNUSABLE,	     /* no connection, or no sensible dialogue */
	PROBE_NOT_JUDGED,    /* the plan has no requirement for this host: not used */
};
const char *probe_verdict_name(enum probe_verdict verdict); /* "passes", "in-clear", ... */

struct probe_record {
	struct netaddr address;
	bool is_connected;
	char why[300]; /* what broke; "" nothing */
	int64_t took_ms;
	struct probe_event *events;
	size_t event_count, event_left_out;
	struct probe_tls *tls; /* NULL: no TLS came about */
	bool is_judged, has_testing;
	struct policy_judgement judgement, testing;
};

void probe_record_clear(struct probe_record *r);
/* Copies text, cut to PROBE_LINE_BYTES. */
void probe_record_add_line(struct probe_record *r, enum probe_event_kind kind, int64_t at_ms,
	struct str text);
void probe_record_add_message(struct probe_record *r, int64_t at_ms,
	const struct tlsio_trace_event *event);
/* requirement NULL: TLSA is not looked at. */
void probe_record_set_tls(struct probe_record *r, const struct tlsio_peer *peer,
	const struct policy_requirement *requirement);
/* is_planned: the plan has a requirement for this host. */
enum probe_verdict probe_record_verdict(const struct probe_record *r, bool is_planned);
/* "ECDHE", "DHE", "RSA": how the session's key came about. Returns into. */
const char *probe_key_exchange(const struct tlsio_peer *peer, char *into, size_t capacity);

#endif
