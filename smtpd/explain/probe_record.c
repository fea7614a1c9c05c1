#include "smtpd/explain/probe_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

const char *probe_verdict_name(enum probe_verdict verdict)
{
	static const char *const names[] = { "passes", "in-clear", "refused", "unusable",
		"not-judged" };
	return names[verdict];
}

static void clear_tls(struct probe_tls *tls)
{
	if (!tls)
		return;
	free(tls->server_name);
	free(tls->matched_name);
	free(tls);
}

void probe_record_clear(struct probe_record *r)
{
	for (size_t i = 0; i < r->event_count; i++)
		free(r->events[i].text);
	free(r->events);
	clear_tls(r->tls);
	*r = (struct probe_record){ .address = r->address };
}

/* NULL when there are too many. */
static struct probe_event *add(struct probe_record *r)
{
	if (r->event_count == PROBE_EVENTS_MOST) {
		r->event_left_out++;
		return NULL;
	}
	if (!r->events)
		r->events = mem_array(PROBE_EVENTS_MOST, sizeof(*r->events));
	struct probe_event *e = &r->events[r->event_count++];
	*e = (struct probe_event){ 0 };
	return e;
}

void probe_record_add_line(struct probe_record *r, enum probe_event_kind kind, int64_t at_ms,
	struct str text)
{
	struct probe_event *e = add(r);
	if (!e)
		return;
	e->kind = kind;
	e->at_ms = at_ms;
	e->is_incoming = kind == PROBE_HEARD;
	e->size_bytes = text.length;
	e->text = mem_dup_bytes(text.at,
		text.length < PROBE_LINE_BYTES ? text.length : PROBE_LINE_BYTES);
}

void probe_record_add_message(struct probe_record *r, int64_t at_ms,
	const struct tlsio_trace_event *event)
{
	struct probe_event *e = add(r);
	if (!e)
		return;
	e->kind = PROBE_MESSAGE;
	e->at_ms = at_ms;
	e->is_incoming = event->is_incoming;
	e->type = event->type;
	e->record_version = event->record_version;
	e->size_bytes = event->size_bytes;
	e->text = mem_dup(event->name);
}

const char *probe_key_exchange(const struct tlsio_peer *peer, char *into, size_t capacity)
{
	const char *suite = peer->suite ? peer->suite : "", *with = strstr(suite, "_WITH_");
	if (with && strncmp(suite, "TLS_", 4) == 0) { /* TLS 1.2: TLS_ECDHE_RSA_WITH_... */
		size_t length = strcspn(suite + 4, "_");
		snprintf(into, capacity, "%.*s", (int)length, suite + 4);
	} else if (!peer->group) {
		snprintf(into, capacity, "%s", peer->is_resumed ? "PSK" : "unknown");
	} else {
		bool is_finite = strncmp(peer->group, "ffdhe", 5) == 0;
		snprintf(into, capacity, "%s%s", peer->is_resumed ? "PSK with " : "",
			is_finite ? "DHE" : strstr(peer->group, "KEM") ? "hybrid ECDHE" : "ECDHE");
	}
	return into;
}

static void set_chain(struct probe_tls *tls, const struct tlsio_peer *peer)
{
	static const uint8_t none[32] = { 0 };
	tls->chain_total = peer->chain_count;
	for (size_t i = 0; i < peer->chain_count && i < PROBE_CHAIN_MOST; i++) {
		struct probe_certificate *c = &tls->chain[tls->chain_count++];
		memcpy(c->sha256, peer->chain[i].sha256, sizeof(c->sha256));
		memcpy(c->spki_sha256, peer->chain[i].spki_sha256, sizeof(c->spki_sha256));
		c->has_key = memcmp(c->spki_sha256, none, sizeof(none)) != 0;
		c->is_led_to = i == 0 || tlsio_peer_leads_to(peer, i);
		tlsio_describe(peer->chain[i].der, &c->words);
	}
}

void probe_record_set_tls(struct probe_record *r, const struct tlsio_peer *peer,
	const struct policy_requirement *requirement)
{
	clear_tls(r->tls);
	struct probe_tls *tls = mem_zero(sizeof(*tls));
	r->tls = tls;
	tls->version = peer->version;
	tls->suite = peer->suite;
	tls->suite_id = peer->suite_id;
	tls->group = peer->group;
	probe_key_exchange(peer, tls->key_exchange, sizeof(tls->key_exchange));
	tls->is_resumed = peer->is_resumed;
	tls->server_name = mem_dup(peer->server_name);
	set_chain(tls, peer);
	tls->chain_faults = peer->chain_faults;
	tls->matched_name = mem_dup(peer->matched_name);
	tlsio_peer_names_text(peer, tls->names, sizeof(tls->names));
	tls->ocsp = peer->ocsp;
	tls->has_tlsa = requirement && requirement->tlsa_count > 0;
	if (tls->has_tlsa)
		tls->tlsa_match = policy_dane_match(peer, requirement->tlsa, requirement->tlsa_count,
			requirement->dane_names, requirement->dane_name_count, &tls->tlsa_index);
}

enum probe_verdict probe_record_verdict(const struct probe_record *r, bool is_planned)
{
	if (r->is_judged && r->judgement.verdict == POLICY_REFUSE)
		return PROBE_REFUSED;
	if (r->why[0])
		return PROBE_UNUSABLE;
	if (!is_planned)
		return PROBE_NOT_JUDGED;
	if (!r->is_judged)
		return PROBE_UNUSABLE;
	return r->judgement.verdict == POLICY_PASS ? PROBE_PASSES : PROBE_GOES_IN_CLEAR;
}
