#include "policy/policy_judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libtlsio/base/codec.h"
#include "policy/policy_names.h"

const char *policy_reason_name(enum policy_reason reason)
{
	static const char *const names[] = {
		[POLICY_REASON_NONE] = "none",
		[POLICY_REASON_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
		[POLICY_REASON_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
		[POLICY_REASON_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
		[POLICY_REASON_CERTIFICATE_EXPIRED] = "certificate-expired",
		[POLICY_REASON_VALIDATION_FAILURE] = "validation-failure",
		[POLICY_REASON_TLSA_INVALID] = "tlsa-invalid",
		[POLICY_REASON_DNSSEC_INVALID] = "dnssec-invalid",
		[POLICY_REASON_DANE_REQUIRED] = "dane-required",
		[POLICY_REASON_STS_POLICY_FETCH_ERROR] = "sts-policy-fetch-error",
		[POLICY_REASON_STS_POLICY_INVALID] = "sts-policy-invalid",
		[POLICY_REASON_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
	};
	return names[reason];
}

/* The text goes into logs and delivery reports: one line of printable ASCII, whatever a peer put
 * into its certificate or reply. */
__attribute__((format(printf, 2, 3))) static void say(struct policy_judgement *j,
	const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(j->text, sizeof(j->text), format, args);
	va_end(args);
	for (char *c = j->text; *c; c++)
		*c = (*c >= ' ' && *c < 0x7f) ? *c : '?';
}

/* Behind "demands": a rule's own word stands in the operator's file; other demands have none there. */
static const char *demand(const struct policy_requirement *r)
{
	if (r->origin == POLICY_ORIGIN_DANE)
		return r->level == POLICY_LEVEL_DANE ? "a certificate that matches it" : "TLS";
	if (r->origin == POLICY_ORIGIN_STS)
		return "a valid certificate for the host's name";
	return policy_level_name(r->level);
}

static void pass(struct policy_judgement *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->verdict = POLICY_PASS;
}

void policy_judge_no_starttls(const struct policy_requirement *r, const char *host,
	struct policy_judgement *ret)
{
	pass(ret);
	if (r->level == POLICY_LEVEL_NONE)
		return;
	if (r->level == POLICY_LEVEL_MAY) {
		say(ret, "%s offers no STARTTLS and %s allows clear text", host, r->source);
		return;
	}
	ret->verdict = POLICY_REFUSE;
	ret->reason = POLICY_REASON_STARTTLS_NOT_SUPPORTED;
	say(ret, "%s offers no STARTTLS, but %s demands %s", host, r->source, demand(r));
}

void policy_judge_failed_tls(const struct policy_requirement *r, const char *host, const char *why,
	struct policy_judgement *ret)
{
	pass(ret);
	ret->reason = POLICY_REASON_VALIDATION_FAILURE;
	if (r->level == POLICY_LEVEL_NONE || r->level == POLICY_LEVEL_MAY) {
		ret->verdict = POLICY_IN_CLEAR;
		say(ret, "TLS with %s failed (%s) and %s allows clear text", host, why, r->source);
		return;
	}
	ret->verdict = POLICY_REFUSE;
	say(ret, "TLS with %s failed (%s), but %s demands %s%s", host, why, r->source,
		demand(r), r->minimum == TLSIO_TLS13 ? " with TLS1.3" : "");
}

/* RFC 8460 section 4.3.2 has one word for each; the first that fits, the gravest first. */
static enum policy_reason chain_reason(unsigned faults)
{
	if (faults & (TLSIO_CHAIN_ABSENT | TLSIO_CHAIN_BROKEN | TLSIO_CHAIN_UNCHECKED))
		return POLICY_REASON_VALIDATION_FAILURE;
	if (faults & (TLSIO_CHAIN_UNTRUSTED | TLSIO_CHAIN_REVOKED))
		return POLICY_REASON_CERTIFICATE_NOT_TRUSTED;
	if (faults & TLSIO_CHAIN_EXPIRED)
		return POLICY_REASON_CERTIFICATE_EXPIRED;
	return POLICY_REASON_VALIDATION_FAILURE;
}

/* Beside DANE a rule's own authority, names and pins must be met as well. */
static const char *identity_demand(const struct policy_requirement *r)
{
	return r->level == POLICY_LEVEL_DANE || r->level == POLICY_LEVEL_DANE_ONLY
		? "verify besides DANE"
		: demand(r);
}

/* "has expired (2026-01-31)", with the leaf's end date, or an issuer's fault: then the leaf's date would
 * mislead. */
static const char *out_of_dates(const struct tlsio_peer *peer, char text[64])
{
	struct tm tm;
	time_t at = (time_t)peer->not_after_s;
	if (at > 0 && at < time(NULL) && gmtime_r(&at, &tm))
		strftime(text, 64, "has expired (%Y-%m-%d)", &tm);
	else if (peer->chain_faults & TLSIO_CHAIN_NOT_YET_VALID)
		snprintf(text, 64, "is not valid yet (or an issuer's is not)");
	else
		snprintf(text, 64, "has expired (an issuer's)");
	return text;
}

static bool check_chain(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *j)
{
	if (peer->chain_count == 0 || (peer->chain_faults & TLSIO_CHAIN_ABSENT)) {
		j->reason = POLICY_REASON_VALIDATION_FAILURE;
		say(j, "%s shows no certificate, but %s demands %s", host, r->source,
			identity_demand(r));
		return false;
	}
	if (peer->chain_faults == 0)
		return true;
	j->reason = chain_reason(peer->chain_faults);
	if (peer->chain_faults == TLSIO_CHAIN_EXPIRED) {
		char words[64];
		say(j, "the certificate of %s %s, but %s demands %s", host, out_of_dates(peer, words),
			r->source, identity_demand(r));
		return false;
	}
	char faults[120];
	tlsio_chain_faults_text(peer->chain_faults, faults, sizeof(faults));
	const char *trust = r->trust_name ? r->trust_name : "a trusted authority";
	say(j, "the certificate of %s is not valid to %s: %s; %s demands %s", host,
		strcmp(trust, "system") == 0 ? "the authorities of this machine" : trust, faults,
		r->source, identity_demand(r));
	return false;
}

/* tlsio matched against the names relay gave it and tells the first that fits. One handshake may be
 * held against two requirements (MTA-STS in testing mode), so names of our own are looked for again. */
static bool has_name(const struct policy_requirement *r, const struct tlsio_peer *peer)
{
	if (!peer->matched_name)
		return false;
	for (size_t i = 0; i < r->name_count; i++) {
		if (str_equal_nocase(str_of(peer->matched_name), str_of(r->names[i])) ||
			tlsio_peer_has_name(peer, r->names[i]))
			return true;
	}
	return r->name_count == 0;
}

static const char *other_names(const struct policy_requirement *r)
{
	if (r->name_count < 2)
		return "";
	return policy_names_are_domain(r) ? " or a host below it" : " or another of the rule";
}

static bool check_name(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *j)
{
	if (has_name(r, peer))
		return true;
	char names[120];
	tlsio_peer_names_text(peer, names, sizeof(names));
	const char *wanted = r->name_count ? r->names[0] : host;
	j->reason = POLICY_REASON_CERTIFICATE_HOST_MISMATCH;
	if (names[0])
		say(j, "the certificate of %s is for names [%s], none of which is %s%s; %s demands %s",
			host, names, wanted, other_names(r),
			r->source, identity_demand(r));
	else
		say(j, "the certificate of %s has no DNS name, so not %s; %s demands %s", host, wanted,
			r->source, identity_demand(r));
	return false;
}

static bool is_pinned(const struct policy_requirement *r, const struct tlsio_certificate *c)
{
	for (size_t i = 0; i < r->pin_count; i++) {
		if (memcmp(c->spki_sha256, r->pins[i].spki_sha256, sizeof(c->spki_sha256)) == 0)
			return true;
	}
	return false;
}

static bool is_issuer_pinned(const struct policy_requirement *r, const struct tlsio_peer *peer)
{
	for (size_t i = 1; i < peer->chain_count; i++) {
		if (is_pinned(r, &peer->chain[i]) && tlsio_peer_leads_to(peer, i))
			return true;
	}
	return false;
}

static bool refuse_pin(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *j)
{
	char key[65];
	codec_hex(peer->chain[0].spki_sha256, 32, key);
	j->reason = POLICY_REASON_VALIDATION_FAILURE;
	say(j, "the key of %s (sha256:%s) is none of the key-pins of %s, nor is an issuer's", host,
		key, r->source);
	return false;
}

/* The identity as the requirement's words define it; false with reason and text. */
static bool check_identity(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *j)
{
	if (r->pin_count == 0)
		return check_chain(r, host, peer, j) && check_name(r, host, peer, j);
	if (peer->chain_count == 0)
		return check_chain(r, host, peer, j);
	bool is_leaf = is_pinned(r, &peer->chain[0]);
	if (r->trust) {
		if (!check_chain(r, host, peer, j) || !check_name(r, host, peer, j))
			return false;
		return is_leaf || is_issuer_pinned(r, peer) || refuse_pin(r, host, peer, j);
	}
	if (is_leaf)
		return true;
	if (!is_issuer_pinned(r, peer))
		return refuse_pin(r, host, peer, j);
	return check_name(r, host, peer, j);
}

static bool check_version(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *j)
{
	enum tlsio_version minimum = r->minimum ? r->minimum : TLSIO_TLS12;
	if (peer->version >= minimum)
		return true;
	j->reason = POLICY_REASON_VALIDATION_FAILURE;
	j->verdict = r->level == POLICY_LEVEL_MAY ? POLICY_IN_CLEAR : POLICY_REFUSE;
	say(j, "%s speaks at most %s but %s demands %s", host, tlsio_version_name(peer->version),
		r->source, tlsio_version_name(minimum));
	return false;
}

/* "the TLSA record of mx.example.org (3 1 1 0123456789ab...)", "any of the 3 TLSA records of ..." */
static void records_text(const struct policy_requirement *r, const char *host, char *text,
	size_t capacity)
{
	enum { SHOWN = 2, RECORD_CAPACITY = 22 };
	char shown[SHOWN][RECORD_CAPACITY] = { "" };
	for (size_t i = 0; i < SHOWN && i < r->tlsa_count; i++)
		policy_dane_format(&r->tlsa[i], shown[i], sizeof(shown[i]));
	const char *base = r->server_name ? r->server_name : host;
	if (r->tlsa_count == 1)
		snprintf(text, capacity, "the TLSA record of %s (%s)", base, shown[0]);
	else
		snprintf(text, capacity, "any of the %zu TLSA records of %s (%s, %s%s)", r->tlsa_count,
			base, shown[0], shown[1], r->tlsa_count > SHOWN ? ", ..." : "");
}

static void say_dane_name(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, const char *records, struct policy_judgement *j)
{
	char names[100];
	tlsio_peer_names_text(peer, names, sizeof(names));
	j->reason = POLICY_REASON_CERTIFICATE_HOST_MISMATCH;
	say(j, "the certificate of %s comes from the authority of %s but is for names [%s], not %s%s; "
	       "%s demands %s", host, records, names[0] ? names : "none",
		r->dane_name_count ? r->dane_names[0] : host,
		r->dane_name_count > 1 ? " or the domain" : "", r->source, demand(r));
}

static bool check_dane(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *j)
{
	char records[200], words[64];
	const char *demanded = demand(r);
	records_text(r, host, records, sizeof(records));
	switch (policy_dane_match(
		peer, r->tlsa, r->tlsa_count, r->dane_names, r->dane_name_count, NULL)) {
	case POLICY_DANE_MATCH:
		return true;
	case POLICY_DANE_NO_CERTIFICATE:
		j->reason = POLICY_REASON_VALIDATION_FAILURE;
		say(j, "%s shows no certificate, but %s demands %s", host, r->source, demanded);
		break;
	case POLICY_DANE_NAME:
		say_dane_name(r, host, peer, records, j);
		break;
	case POLICY_DANE_EXPIRED:
		j->reason = POLICY_REASON_CERTIFICATE_EXPIRED;
		say(j, "the certificate of %s comes from the authority of %s but %s; %s demands %s",
			host, records, out_of_dates(peer, words), r->source, demanded);
		break;
	case POLICY_DANE_BROKEN:
		j->reason = POLICY_REASON_CERTIFICATE_NOT_TRUSTED;
		say(j, "%s shows the authority of %s but its own certificate does not validly come from "
		       "it; %s demands %s", host, records, r->source, demanded);
		break;
	case POLICY_DANE_NO_MATCH:
		j->reason = POLICY_REASON_CERTIFICATE_NOT_TRUSTED;
		char key[13];
		codec_hex(peer->chain[0].spki_sha256, 6, key);
		say(j, "the certificate of %s does not match %s, its key is 3 1 1 %s...; %s demands %s",
			host, records, key, r->source, demanded);
		break;
	}
	return false;
}

/* What a rule says of its own, beside records that match. */
static bool check_own_identity(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *j)
{
	if (r->trust || r->pin_count)
		return check_identity(r, host, peer, j);
	return r->name_count == 0 || check_name(r, host, peer, j);
}

static void judge_dane(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *ret)
{
	if (r->tlsa_count == 0) {
		ret->reason = POLICY_REASON_DANE_REQUIRED;
		say(ret, "%s has no usable TLSA record, but %s demands %s", host, r->source,
			demand(r));
	} else {
		ret->is_verified = check_dane(r, host, peer, ret) &&
			check_own_identity(r, host, peer, ret);
	}
	if (!ret->is_verified)
		ret->verdict = POLICY_REFUSE;
}

void policy_judge_peer(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *ret)
{
	pass(ret);
	if (r->level == POLICY_LEVEL_NONE || !check_version(r, host, peer, ret))
		return;
	if (r->level == POLICY_LEVEL_DANE || r->level == POLICY_LEVEL_DANE_ONLY) {
		judge_dane(r, host, peer, ret);
		return;
	}
	ret->is_verified = check_identity(r, host, peer, ret);
	if (ret->is_verified)
		return;
	if (r->level == POLICY_LEVEL_VERIFY) {
		ret->verdict = POLICY_REFUSE;
		return;
	}
	/* Unverified TLS is what the rule asks for; the words of a refusal would mislead. */
	ret->reason = POLICY_REASON_NONE;
	say(ret, "the certificate of %s is not verified, and %s does not ask for it", host,
		r->source);
}
