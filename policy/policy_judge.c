#include "policy/policy_judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libtlsio/base/codec.h"

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
	say(ret, "%s offers no STARTTLS, but %s demands %s", host, r->source,
		policy_level_name(r->level));
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
		policy_level_name(r->level), r->minimum == TLSIO_TLS13 ? " with TLS1.3" : "");
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

static bool check_chain(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *j)
{
	if (peer->chain_count == 0 || (peer->chain_faults & TLSIO_CHAIN_ABSENT)) {
		j->reason = POLICY_REASON_VALIDATION_FAILURE;
		say(j, "%s shows no certificate, but %s demands verify", host, r->source);
		return false;
	}
	if (peer->chain_faults == 0)
		return true;
	j->reason = chain_reason(peer->chain_faults);
	if (peer->chain_faults == TLSIO_CHAIN_EXPIRED) {
		char day[16] = "?";
		struct tm tm;
		time_t at = (time_t)peer->not_after_s;
		/* An issuer's expiry is the chain's too: then the leaf's date would mislead. */
		if (at > 0 && at < time(NULL) && gmtime_r(&at, &tm))
			strftime(day, sizeof(day), "%Y-%m-%d", &tm);
		else
			snprintf(day, sizeof(day), "an issuer's");
		say(j, "the certificate of %s has expired (%s), but %s demands verify", host, day,
			r->source);
		return false;
	}
	char faults[120];
	tlsio_chain_faults_text(peer->chain_faults, faults, sizeof(faults));
	const char *trust = r->trust_name ? r->trust_name : "a trusted authority";
	say(j, "the certificate of %s is not valid to %s: %s; %s demands verify", host,
		strcmp(trust, "system") == 0 ? "the authorities of this machine" : trust, faults,
		r->source);
	return false;
}

/* tlsio matched against the names relay gave it; where the rule has names of its own, the match
 * must be one of them, or somebody asked the wrong question. */
static bool has_name(const struct policy_requirement *r, const struct tlsio_peer *peer)
{
	if (!peer->matched_name)
		return false;
	for (size_t i = 0; i < r->name_count; i++) {
		if (str_equal_nocase(str_of(peer->matched_name), str_of(r->names[i])))
			return true;
	}
	return r->name_count == 0;
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
		say(j, "the certificate of %s is for names [%s], none of which is %s%s; %s demands "
		       "verify", host, names, wanted, r->name_count > 1 ? " or another of the rule" : "",
			r->source);
	else
		say(j, "the certificate of %s has no DNS name, so not %s; %s demands verify", host,
			wanted, r->source);
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

void policy_judge_peer(const struct policy_requirement *r, const char *host,
	const struct tlsio_peer *peer, struct policy_judgement *ret)
{
	pass(ret);
	if (r->level == POLICY_LEVEL_NONE || !check_version(r, host, peer, ret))
		return;
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
