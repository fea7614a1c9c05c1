#include "smtpd/explain/probe_print.h"

#include <stdio.h>

#include "libtlsio/base/codec.h"
#include "smtpd/explain/explain_words.h"

static enum probe_verdict verdict_of(const struct probe_host *host, size_t index)
{
	return probe_record_verdict(&host->records[index], host->host->requirement != NULL);
}

enum probe_verdict probe_print_host_verdict(const struct probe_host *host)
{
	static const int badness[] = { [PROBE_PASSES] = 0, [PROBE_NOT_JUDGED] = 1,
		[PROBE_GOES_IN_CLEAR] = 2, [PROBE_UNUSABLE] = 3, [PROBE_REFUSED] = 4 };
	enum probe_verdict worst = PROBE_PASSES;
	bool is_connected = false;
	for (size_t i = 0; i < host->probed_count; i++) {
		if (!host->records[i].is_connected)
			continue;
		is_connected = true;
		if (badness[verdict_of(host, i)] > badness[worst])
			worst = verdict_of(host, i);
	}
	return is_connected ? worst : PROBE_UNUSABLE;
}

static bool is_good(enum probe_verdict verdict)
{
	return verdict == PROBE_PASSES || verdict == PROBE_GOES_IN_CLEAR;
}

struct tally {
	size_t used, unused, good, in_clear;
	const struct probe_host *first_bad;
};

static struct tally count(const struct probe_print *p)
{
	struct tally t = { 0 };
	for (size_t i = 0; i < p->host_count; i++) {
		const struct probe_host *h = &p->hosts[i];
		enum probe_verdict verdict = probe_print_host_verdict(h);
		if (!h->host->requirement) {
			t.unused++;
			continue;
		}
		t.used++;
		t.good += is_good(verdict);
		t.in_clear += verdict == PROBE_GOES_IN_CLEAR;
		if (!is_good(verdict) && !t.first_bad)
			t.first_bad = h;
	}
	return t;
}

enum explain_status probe_print_status(const struct probe_print *p)
{
	struct tally t = count(p);
	enum explain_status planned = explain_status(p->explained);
	if (planned != EXPLAIN_DELIVERABLE)
		return planned;
	return t.used > 0 && t.good == t.used ? EXPLAIN_DELIVERABLE : EXPLAIN_STAYS;
}

/* ---- words ----------------------------------------------------------------------------------- */

static const char *why_of(const struct probe_record *r)
{
	if (r->is_judged && r->judgement.verdict != POLICY_PASS)
		return r->judgement.text;
	return r->why[0] ? r->why : r->judgement.text;
}

static const char *why_of_host(const struct probe_host *host)
{
	enum probe_verdict verdict = probe_print_host_verdict(host);
	const char *why = host->record_count ? "it was not tried" : "it has no address";
	for (size_t i = 0; i < host->probed_count; i++) {
		if (verdict_of(host, i) == verdict && why_of(&host->records[i])[0])
			return why_of(&host->records[i]);
	}
	return why;
}

static void put_sentence(const struct probe_print *p, struct buf *to)
{
	struct tally t = count(p);
	const char *domain = p->explained->domain;
	if (t.used == 0) {
		buf_printf(to, "Nothing to judge. ");
		explain_sentence(p->explained, to);
		return;
	}
	if (t.good == t.used) {
		if (t.used == 1)
			buf_printf(to, "The host for %s passes", domain);
		else
			buf_printf(to, "All %zu hosts for %s pass", t.used, domain);
		if (t.in_clear)
			buf_printf(to, ", %zu of them in clear", t.in_clear);
		if (t.unused)
			buf_printf(to, "; %zu other%s not used", t.unused, t.unused == 1 ? " is" : "s are");
		buf_append_byte(to, '.');
		return;
	}
	const char *name = t.first_bad->host->name, *why = why_of_host(t.first_bad);
	if (t.used == 1)
		buf_printf(to, "The host for %s does not pass: %s.", domain, why);
	else if (t.good == 0)
		buf_printf(to, "None of %zu hosts for %s passes. Of %s: %s.", t.used, domain, name, why);
	else
		buf_printf(to, "%zu of %zu hosts for %s pass%s. %s does not: %s.", t.good, t.used, domain,
			t.good == 1 ? "es" : "", name, why);
}

static const char *verdict_words(enum probe_verdict verdict)
{
	static const char *const words[] = {
		[PROBE_PASSES] = "passes",
		[PROBE_GOES_IN_CLEAR] = "TLS failed; mail goes in clear",
		[PROBE_REFUSED] = "REFUSED",
		[PROBE_UNUSABLE] = "UNUSABLE",
		[PROBE_NOT_JUDGED] = "not judged: the plan does not use this host",
	};
	return words[verdict];
}

static enum explain_mood mood_of(enum probe_verdict verdict)
{
	return verdict == PROBE_PASSES ? EXPLAIN_GOOD :
		verdict == PROBE_GOES_IN_CLEAR || verdict == PROBE_NOT_JUDGED ? EXPLAIN_DOUBTFUL :
										EXPLAIN_BAD;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void put_event(struct explain_page *page, const struct probe_event *e)
{
	char label[32];
	snprintf(label, sizeof(label), "%6.3f s  %c", (double)e->at_ms / 1000, e->is_incoming ? '<' : '>');
	if (e->kind != PROBE_MESSAGE)
		explain_page_item(page, label, "%s%s", e->text,
			e->size_bytes > PROBE_LINE_BYTES ? " (cut)" : "");
	else if (e->record_version)
		explain_page_item(page, label, "%s, type %u, %zu bytes, record 0x%04x", e->text, e->type,
			e->size_bytes, e->record_version);
	else /* the first: its record is not made yet */
		explain_page_item(page, label, "%s, type %u, %zu bytes", e->text, e->type, e->size_bytes);
}

static void put_validity(struct explain_page *page, const struct tlsio_description *d, int64_t now_s)
{
	char from[32], until[32], left[32];
	explain_time(d->not_before_s, from);
	explain_time(d->not_after_s, until);
	if (now_s > d->not_after_s)
		explain_page_mood_item(page, EXPLAIN_BAD, "", "from %s to %s: EXPIRED", from, until);
	else if (now_s < d->not_before_s)
		explain_page_mood_item(page, EXPLAIN_BAD, "", "from %s to %s: NOT YET VALID", from, until);
	else
		explain_page_item(page, "", "from %s to %s, for another %s", from, until,
			explain_duration(d->not_after_s - now_s, left));
}

static void put_certificate(struct explain_page *page, const struct probe_certificate *c,
	size_t index, int64_t now_s)
{
	char label[40], digest[65];
	snprintf(label, sizeof(label), "certificate %zu", index);
	explain_page_item(page, label, "%s", c->words.subject[0] ? c->words.subject : "(no subject)");
	explain_page_item(page, "", "issued by %s%s", c->words.issuer,
		c->words.is_self_issued ? " (itself)" : "");
	put_validity(page, &c->words, now_s);
	explain_page_item(page, "", "%s; signed with %s%s%s", c->words.key, c->words.signature,
		c->words.is_authority ? "; an authority" : "",
		c->is_led_to ? "" : "; the first certificate does not lead to it");
	codec_hex(c->sha256, sizeof(c->sha256), digest);
	explain_page_item(page, "", "SHA-256 %s", digest);
	codec_hex(c->spki_sha256, sizeof(c->spki_sha256), digest);
	if (c->has_key)
		explain_page_item(page, "", "key-pin sha256:%s", digest);
}

static const char *tlsa_words(enum policy_dane_match match)
{
	switch (match) {
	case POLICY_DANE_MATCH:
		return "matches";
	case POLICY_DANE_NO_MATCH:
		return "no record fits the chain";
	case POLICY_DANE_NAME:
		return "a trust anchor fits, but the certificate has none of the names";
	case POLICY_DANE_EXPIRED:
		return "a trust anchor fits, but the chain below it is out of its time";
	case POLICY_DANE_BROKEN:
		return "a trust anchor fits, but the chain does not lead to it";
	case POLICY_DANE_NO_CERTIFICATE:
		return "no certificate was shown";
	}
	return "";
}

static const char *tlsa_word(enum policy_dane_match match)
{
	static const char *const names[] = { "match", "no-match", "name", "expired", "broken",
		"no-certificate" };
	return names[match];
}

static void put_tlsa(struct explain_page *page, const struct probe_tls *tls,
	const struct policy_requirement *r)
{
	char text[300];
	if (!tls->has_tlsa)
		return;
	if (tls->tlsa_match == POLICY_DANE_MATCH)
		explain_page_item(page, "TLSA", "record %zu of %zu matches: %s", tls->tlsa_index + 1,
			r->tlsa_count, policy_dane_format(&r->tlsa[tls->tlsa_index], text, sizeof(text)));
	else
		explain_page_mood_item(page, EXPLAIN_BAD, "TLSA", "%s", tlsa_words(tls->tlsa_match));
	for (size_t i = 0; tls->tlsa_match != POLICY_DANE_MATCH && i < r->tlsa_count; i++)
		explain_page_item(page, "", "%s", policy_dane_format(&r->tlsa[i], text, sizeof(text)));
}

static void put_tls(struct explain_page *page, const struct probe_tls *tls,
	const struct policy_requirement *r, int64_t now_s)
{
	char faults[200];
	explain_page_item(page, "TLS", "%s, %s (0x%04x)", tlsio_version_name(tls->version),
		tls->suite ? tls->suite : "suite unknown", tls->suite_id);
	explain_page_item(page, "key exchange", "%s, %s, %s", tls->key_exchange,
		tls->group ? tls->group : "group unknown", tls->is_resumed ? "resumed" : "not resumed");
	explain_page_item(page, "SNI", "%s", tls->server_name ? tls->server_name : "none sent");
	for (size_t i = 0; i < tls->chain_count; i++)
		put_certificate(page, &tls->chain[i], i, now_s);
	if (tls->chain_total > tls->chain_count)
		explain_page_item(page, "", "and %zu more", tls->chain_total - tls->chain_count);
	explain_page_item(page, "names", "%s", tls->names[0] ? tls->names : "none");
	explain_page_item(page, "matched name", "%s", tls->matched_name ? tls->matched_name : "none");
	explain_page_item(page, "chain", "%s",
		tlsio_chain_faults_text(tls->chain_faults, faults, sizeof(faults)));
	explain_page_item(page, "OCSP", "%s", tlsio_ocsp_name(tls->ocsp));
	if (r)
		put_tlsa(page, tls, r);
}

static void put_judgement(struct explain_page *page, const char *label,
	const struct policy_judgement *j)
{
	bool is_pass = j->verdict == POLICY_PASS;
	explain_page_mood_item(page, is_pass ? EXPLAIN_GOOD : j->verdict == POLICY_REFUSE ?
		EXPLAIN_BAD : EXPLAIN_DOUBTFUL, label, "%s%s%s%s%s",
		is_pass ? "passes" : j->verdict == POLICY_REFUSE ? "refused" : "in clear",
		is_pass ? (j->is_verified ? ", identity proven" : "") : ", ",
		is_pass ? "" : policy_reason_name(j->reason), j->text[0] ? ": " : "", j->text);
}

static void put_record(struct explain_page *page, const struct probe_host *host, size_t index,
	int64_t now_s)
{
	const struct probe_record *r = &host->records[index];
	enum probe_verdict verdict = verdict_of(host, index);
	char address[NETADDR_TEXT_BYTES];
	explain_page_line(page, mood_of(verdict), "%s - %s (%.3f s)",
		netaddr_format(&r->address, address), verdict_words(verdict),
		(double)r->took_ms / 1000);
	for (size_t i = 0; i < r->event_count; i++)
		put_event(page, &r->events[i]);
	if (r->event_left_out)
		explain_page_item(page, "", "and %zu more", r->event_left_out);
	if (r->tls)
		put_tls(page, r->tls, host->host->requirement, now_s);
	if (r->why[0])
		explain_page_mood_item(page, EXPLAIN_BAD, "trouble", "%s", r->why);
	if (r->is_judged)
		put_judgement(page, "judged", &r->judgement);
	if (r->has_testing)
		put_judgement(page, "in testing", &r->testing);
}

static void put_host(struct explain_page *page, const struct probe_host *host, int64_t now_s)
{
	const struct policy_plan_host *about = host->host;
	struct buf words = { 0 };
	explain_page_heading(page, "%s (%u): %s", about->name, about->preference,
		verdict_words(probe_print_host_verdict(host)));
	if (about->requirement) {
		explain_words_demand(&words, about->requirement, about->name);
		explain_page_item(page, "must show", "%s", buf_text(&words));
		explain_page_item(page, "says", "%s",
			about->requirement->source ? about->requirement->source : "built-in default");
	} else {
		explain_page_item(page, "not used", "%s", explain_words_why_not_used(about));
	}
	buf_release(&words);
	if (!host->record_count && about->requirement)
		explain_page_item(page, "trouble", "it has no address");
	for (size_t i = 0; i < host->probed_count; i++)
		put_record(page, host, i, now_s);
	if (host->probed_count < host->record_count)
		explain_page_line(page, EXPLAIN_PLAIN, "%zu more address%s not tried",
			host->record_count - host->probed_count,
			host->record_count - host->probed_count == 1 ? "" : "es");
}

void probe_print_text(const struct probe_print *p, struct explain_page *page)
{
	struct buf sentence = { 0 };
	put_sentence(p, &sentence);
	explain_page_verdict(page,
		probe_print_status(p) == EXPLAIN_DELIVERABLE ? EXPLAIN_GOOD : EXPLAIN_BAD, "%s",
		buf_text(&sentence));
	buf_release(&sentence);
	if (p->explained->warning)
		explain_page_verdict(page, EXPLAIN_DOUBTFUL, "%s", p->explained->warning);
	for (size_t i = 0; i < p->host_count; i++)
		put_host(page, &p->hosts[i], p->now_s);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_event_json(struct explain_json *j, const struct probe_event *e)
{
	explain_json_open(j, NULL, '{');
	explain_json_number(j, "at_ms", e->at_ms);
	explain_json_text(j, "direction", e->is_incoming ? "in" : "out");
	explain_json_text(j, "kind", e->kind == PROBE_MESSAGE ? "handshake" : "line");
	explain_json_text(j, "text", e->text);
	if (e->kind == PROBE_MESSAGE) {
		explain_json_number(j, "type", e->type);
		explain_json_number(j, "record_version", e->record_version);
	}
	explain_json_number(j, "bytes", (int64_t)e->size_bytes);
	explain_json_close(j, '}');
}

static void put_certificate_json(struct explain_json *j, const struct probe_certificate *c)
{
	explain_json_open(j, NULL, '{');
	explain_json_text(j, "subject", c->words.subject);
	explain_json_text(j, "issuer", c->words.issuer);
	explain_json_number(j, "not_before", c->words.not_before_s);
	explain_json_number(j, "not_after", c->words.not_after_s);
	explain_json_text(j, "key", c->words.key);
	explain_json_text(j, "signature", c->words.signature);
	explain_json_bool(j, "authority", c->words.is_authority);
	explain_json_bool(j, "led_to", c->is_led_to);
	explain_json_hex(j, "sha256", c->sha256, sizeof(c->sha256));
	if (c->has_key)
		explain_json_hex(j, "spki_sha256", c->spki_sha256, sizeof(c->spki_sha256));
	else
		explain_json_null(j, "spki_sha256");
	explain_json_close(j, '}');
}

static void put_tls_json(struct explain_json *j, const struct probe_tls *tls)
{
	char faults[200];
	if (!tls) {
		explain_json_null(j, "tls");
		return;
	}
	explain_json_open(j, "tls", '{');
	explain_json_text(j, "version", tlsio_version_name(tls->version));
	explain_json_text(j, "suite", tls->suite);
	explain_json_number(j, "suite_id", tls->suite_id);
	explain_json_text(j, "group", tls->group);
	explain_json_text(j, "key_exchange", tls->key_exchange);
	explain_json_bool(j, "resumed", tls->is_resumed);
	explain_json_text(j, "server_name", tls->server_name);
	explain_json_open(j, "chain", '[');
	for (size_t i = 0; i < tls->chain_count; i++)
		put_certificate_json(j, &tls->chain[i]);
	explain_json_close(j, ']');
	explain_json_text(j, "faults",
		tls->chain_faults ? tlsio_chain_faults_text(tls->chain_faults, faults, sizeof(faults)) :
				    "");
	explain_json_text(j, "names", tls->names);
	explain_json_text(j, "matched_name", tls->matched_name);
	explain_json_text(j, "ocsp", tlsio_ocsp_name(tls->ocsp));
	explain_json_text(j, "tlsa", tls->has_tlsa ? tlsa_word(tls->tlsa_match) : NULL);
	if (tls->has_tlsa && tls->tlsa_match == POLICY_DANE_MATCH)
		explain_json_number(j, "tlsa_record", (int64_t)tls->tlsa_index);
	else
		explain_json_null(j, "tlsa_record");
	explain_json_close(j, '}');
}

static void put_judgement_json(struct explain_json *j, const char *key, bool is_there,
	const struct policy_judgement *judgement)
{
	static const char *const verdicts[] = { "pass", "in-clear", "refuse" };
	if (!is_there) {
		explain_json_null(j, key);
		return;
	}
	explain_json_open(j, key, '{');
	explain_json_text(j, "verdict", verdicts[judgement->verdict]);
	explain_json_text(j, "reason", policy_reason_name(judgement->reason));
	explain_json_bool(j, "verified", judgement->is_verified);
	explain_json_text(j, "text", judgement->text);
	explain_json_close(j, '}');
}

static void put_record_json(struct explain_json *j, const struct probe_host *host, size_t index)
{
	const struct probe_record *r = &host->records[index];
	char address[NETADDR_TEXT_BYTES];
	explain_json_open(j, NULL, '{');
	explain_json_text(j, "address", netaddr_format(&r->address, address));
	explain_json_text(j, "verdict", probe_verdict_name(verdict_of(host, index)));
	explain_json_bool(j, "connected", r->is_connected);
	explain_json_number(j, "took_ms", r->took_ms);
	explain_json_text(j, "trouble", r->why);
	put_judgement_json(j, "judgement", r->is_judged, &r->judgement);
	put_judgement_json(j, "testing", r->has_testing, &r->testing);
	put_tls_json(j, r->tls);
	explain_json_open(j, "steps", '[');
	for (size_t i = 0; i < r->event_count; i++)
		put_event_json(j, &r->events[i]);
	explain_json_close(j, ']');
	explain_json_close(j, '}');
}

void probe_print_json(const struct probe_print *p, struct buf *to)
{
	struct explain_json j = { .to = to };
	struct buf sentence = { 0 };
	put_sentence(p, &sentence);
	explain_json_open(&j, NULL, '{');
	explain_json_text(&j, "domain", p->explained->domain);
	explain_json_bool(&j, "passes", probe_print_status(p) == EXPLAIN_DELIVERABLE);
	explain_json_text(&j, "sentence", buf_text(&sentence));
	explain_json_open(&j, "explain", '{');
	explain_put_members(p->explained, &j);
	explain_json_close(&j, '}');
	explain_json_open(&j, "hosts", '[');
	for (size_t i = 0; i < p->host_count; i++) {
		const struct probe_host *h = &p->hosts[i];
		explain_json_open(&j, NULL, '{');
		explain_json_text(&j, "name", h->host->name);
		explain_json_number(&j, "preference", h->host->preference);
		explain_json_text(&j, "verdict", probe_verdict_name(probe_print_host_verdict(h)));
		explain_json_open(&j, "addresses", '[');
		for (size_t k = 0; k < h->probed_count; k++)
			put_record_json(&j, h, k);
		explain_json_close(&j, ']');
		explain_json_number(&j, "not_tried", (int64_t)(h->record_count - h->probed_count));
		explain_json_close(&j, '}');
	}
	explain_json_close(&j, ']');
	explain_json_close(&j, '}');
	buf_append_byte(to, '\n');
	buf_release(&sentence);
}
