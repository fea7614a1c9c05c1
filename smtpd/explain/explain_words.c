#include "smtpd/explain/explain_words.h"

#include <string.h>

#include "policy/policy_names.h"

static const char *minimum_words(enum tlsio_version minimum)
{
	return minimum == TLSIO_TLS13 ? "TLS 1.3 or later" : "TLS 1.2 or later";
}

const char *explain_words_no_demand(const struct policy_requirement *r)
{
	if (r->level == POLICY_LEVEL_NONE)
		return "in clear: TLS is never used";
	if (r->level == POLICY_LEVEL_MAY)
		return "TLS is used where it is offered, without proof of who answers; in clear otherwise";
	return "";
}

static void put_names(struct buf *to, char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_printf(to, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", names[i]);
}

static void put_authority(struct buf *to, const struct policy_requirement *r)
{
	const char *name = r->trust_name;
	if (!name || strcmp(name, "system") == 0)
		buf_append_text(to, "; a certificate valid to the authorities of this machine");
	else
		buf_printf(to, "; a certificate valid to %s", name);
}

/* The rule's own proof of identity: authority, names, pins. */
static void put_identity(struct buf *to, const struct policy_requirement *r, const char *host)
{
	const char *keys = r->pin_count == 1 ? "the pinned key" : "one of its pinned keys";
	if (r->trust || r->pin_count == 0) {
		put_authority(to, r);
		buf_append_text(to, " for ");
		if (r->name_count)
			put_names(to, r->names, r->name_count);
		else
			buf_append_text(to, host ? host : "the host's name");
		if (r->pin_count)
			buf_printf(to, "; in the chain %s of %zu", keys, r->pin_count);
		return;
	}
	buf_printf(to, "; %s (%zu), as its own or as its issuer's", keys, r->pin_count);
}

static void put_dane(struct buf *to, const struct policy_requirement *r, bool is_rule)
{
	if (is_rule && r->level == POLICY_LEVEL_DANE) {
		buf_append_text(to, "; what its TLSA records name where it has any (DANE); without "
				    "them TLS where offered");
		return;
	}
	if (is_rule) {
		buf_append_text(to, "; what its TLSA records name (DANE); without them it is not used");
		return;
	}
	if (r->tlsa_count == 0) {
		buf_append_text(to, "; what its TLSA records name, but it has none: nothing passes");
		return;
	}
	if (r->tlsa_count == 1)
		buf_append_text(to, "; the certificate or key that its TLSA record names");
	else
		buf_printf(to, "; a certificate or key that one of its %zu TLSA records names",
			r->tlsa_count);
	bool has_anchor = false;
	for (size_t i = 0; i < r->tlsa_count; i++)
		has_anchor |= r->tlsa[i].usage == POLICY_TLSA_TA;
	if (has_anchor && r->dane_name_count) {
		buf_append_text(to, ", under an authority for ");
		put_names(to, r->dane_names, r->dane_name_count);
	}
}

void explain_words_demand(struct buf *to, const struct policy_requirement *r, const char *host)
{
	if (r->level == POLICY_LEVEL_NONE || r->level == POLICY_LEVEL_MAY) {
		buf_printf(to, "nothing: %s", explain_words_no_demand(r));
		if (r->level == POLICY_LEVEL_MAY && r->minimum == TLSIO_TLS13)
			buf_append_text(to, ", and below TLS 1.3");
		return;
	}
	buf_append_text(to, minimum_words(r->minimum));
	if (r->level == POLICY_LEVEL_ENCRYPT) {
		buf_append_text(to, "; any certificate");
	} else if (r->level == POLICY_LEVEL_VERIFY) {
		put_identity(to, r, host);
	} else {
		put_dane(to, r, host == NULL);
		if (r->trust || r->name_count || r->pin_count)
			put_identity(to, r, host);
	}
	if (r->server_name && host && strcmp(r->server_name, host) != 0)
		buf_printf(to, "; asked for as %s", r->server_name);
}

/* One name, and it is the host's own. */
static bool wants_own_name(const struct policy_requirement *r, const char *host)
{
	return r->name_count == 0 || (r->name_count == 1 && host &&
		str_equal_nocase(str_of(r->names[0]), str_of(host)));
}

void explain_words_heart(struct buf *to, const struct policy_requirement *r, const char *host,
	bool is_several)
{
	switch (r->level) {
	case POLICY_LEVEL_NONE:
	case POLICY_LEVEL_MAY:
		return;
	case POLICY_LEVEL_ENCRYPT:
		buf_printf(to, "%s with any certificate",
			r->minimum == TLSIO_TLS13 ? "TLS 1.3" : "TLS");
		break;
	case POLICY_LEVEL_VERIFY:
		if (r->pin_count)
			buf_append_text(to, "a pinned key");
		else if (!wants_own_name(r, host))
			buf_printf(to, "a certificate for %s%s", r->names[0],
				policy_names_are_domain(r) ? " or a host below it"
				: r->name_count > 1    ? " or another name of the rule" : "");
		else
			buf_printf(to, "a valid certificate for %s name", is_several ? "their" : "its");
		break;
	case POLICY_LEVEL_DANE:
	case POLICY_LEVEL_DANE_ONLY:
		buf_printf(to, "a certificate or key that %s TLSA records name (DANE)",
			is_several ? "their" : "its");
		break;
	}
	if (r->minimum == TLSIO_TLS13 && r->level != POLICY_LEVEL_ENCRYPT)
		buf_append_text(to, " over TLS 1.3");
	if (r->level != POLICY_LEVEL_DANE && r->level != POLICY_LEVEL_DANE_ONLY && r->source)
		buf_printf(to, ", says %s", r->source);
	else if (r->trust || r->name_count || r->pin_count)
		buf_append_text(to, ", and what the rule asks besides");
}

const char *explain_words_why_not_used(const struct policy_plan_host *host)
{
	static const char not_used[] = " is not used: ";
	const char *text = host->text && host->text[0] ? host->text : "no reason known";
	size_t length = strlen(host->name);
	if (strncmp(text, host->name, length) == 0 &&
		strncmp(text + length, not_used, sizeof(not_used) - 1) == 0)
		return text + length + sizeof(not_used) - 1;
	return text;
}

bool explain_words_are_alike(const struct policy_plan_host *a, const struct policy_plan_host *b)
{
	struct buf words[2] = { 0 };
	explain_words_heart(&words[0], a->requirement, a->name, true);
	explain_words_heart(&words[1], b->requirement, b->name, true);
	bool is_alike = str_equal(buf_str(&words[0]), buf_str(&words[1])) &&
		strcmp(explain_words_no_demand(a->requirement),
			explain_words_no_demand(b->requirement)) == 0;
	buf_release(&words[0]);
	buf_release(&words[1]);
	return is_alike;
}

static void put_tlsa(struct explain_json *j, const struct policy_requirement *r)
{
	char text[2 * POLICY_TLSA_DATA_BYTES + 16];
	explain_json_open(j, "tlsa", '[');
	for (size_t i = 0; i < r->tlsa_count; i++)
		explain_json_text(j, NULL, policy_dane_format(&r->tlsa[i], text, sizeof(text)));
	explain_json_close(j, ']');
}

void explain_words_json(struct explain_json *j, const char *key, const struct policy_requirement *r)
{
	if (!r) {
		explain_json_null(j, key);
		return;
	}
	explain_json_open(j, key, '{');
	explain_json_text(j, "level", policy_level_name(r->level));
	explain_json_text(j, "minimum", tlsio_version_name(r->minimum ? r->minimum : TLSIO_TLS12));
	explain_json_text(j, "origin", policy_origin_name(r->origin));
	explain_json_text(j, "source", r->source);
	explain_json_texts(j, "names", r->names, r->name_count);
	explain_json_text(j, "authority", r->trust_name);
	explain_json_open(j, "pins", '[');
	for (size_t i = 0; i < r->pin_count; i++)
		explain_json_hex(j, NULL, r->pins[i].spki_sha256, sizeof(r->pins[i].spki_sha256));
	explain_json_close(j, ']');
	put_tlsa(j, r);
	explain_json_texts(j, "tlsa_names", r->dane_names, r->dane_name_count);
	explain_json_text(j, "server_name", r->server_name);
	explain_json_text(j, "fingerprint", r->fingerprint);
	explain_json_close(j, '}');
}
