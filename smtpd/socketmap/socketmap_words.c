#include "smtpd/socketmap/socketmap_words.h"

#include <stdio.h>
#include <string.h>

#include "policy/policy_requirement.h"

#define SNI " servername=hostname" /* the name of the MX host: RFC 8461 7.1 */

bool socketmap_words_is_own_identity(const struct policy_requirement *r)
{
	return r->name_count || r->pin_count ||
		(r->trust_name && strcmp(r->trust_name, "system") != 0);
}

void socketmap_words_minimum(struct buf *into, const struct policy_requirement *rule)
{
	if (rule->minimum > TLSIO_TLS12)
		buf_append_text(into, " protocols=>=TLSv1.3");
}

void socketmap_words_level(struct buf *into, const char *level, const struct policy_requirement *rule)
{
	buf_append_text(into, level);
	socketmap_words_minimum(into, rule);
}

/* ---- the rule's own words ---------------------------------------------------------------------- */

static void write_names(struct buf *into, char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_append_text(into, i ? ":" : " match=");
		buf_append_text(into, names[i]);
	}
}

static void write_domain_names(struct buf *into, const char *domain)
{
	buf_printf(into, " match=%s:.%s", domain, domain);
}

/* Postfix compares with the certificate's and with the key's digest. */
static void write_pins(struct buf *into, const struct policy_requirement *r)
{
	static const char digits[] = "0123456789ABCDEF";
	buf_append_text(into, "fingerprint");
	for (size_t i = 0; i < r->pin_count; i++) {
		const uint8_t *key = r->pins[i].spki_sha256;
		buf_append_text(into, i ? "|" : " match=");
		for (size_t j = 0; j < sizeof(r->pins[i].spki_sha256); j++) {
			char text[3] = { ':', digits[key[j] >> 4], digits[key[j] & 15] };
			buf_append(into, text + (j == 0), j ? 3 : 2);
		}
	}
}

static bool is_fit_for_braces(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (s.at[i] < ' ' || s.at[i] > '~' || s.at[i] == '{' || s.at[i] == '}')
			return false;
	return s.length > 0;
}

static bool write_authority(struct buf *into, const struct policy_requirement *r, const char **why)
{
	if (!r->trust_name || strcmp(r->trust_name, "system") == 0)
		return true;
	struct str path = str_of(r->trust_name);
	/* Braces around a value are for Postfix 3.10 and later. */
	if (path.at[0] != '/' || !is_fit_for_braces(path) || strpbrk(path.at, " ,")) {
		*why = "the rule's authority has a path that cannot be told: write one that begins "
		       "with a slash, without spaces, commas and braces";
		return false;
	}
	buf_printf(into, " tafile=%s", path.at);
	return true;
}

static bool write_verify(struct buf *into, const struct policy_plan *plan, const char **why)
{
	const struct policy_requirement *r = plan->whole->rule;
	if (r->pin_count) {
		write_pins(into, r);
	} else if (r->name_count) {
		buf_append_text(into, "verify");
		write_names(into, r->names, r->name_count);
	} else if (plan->whole->is_mx_proven) {
		buf_append_text(into, "verify match=hostname");
	} else {
		buf_append_text(into, "secure");
		write_domain_names(into, plan->next_hop);
	}
	buf_append_text(into, SNI);
	socketmap_words_minimum(into, r);
	return r->pin_count || write_authority(into, r, why);
}

bool socketmap_words_rule(struct buf *into, const struct policy_plan *plan, const char **why)
{
	const struct policy_requirement *r = plan->whole->rule;
	switch (r->level) {
	case POLICY_LEVEL_NONE:
		buf_append_text(into, "none");
		return true;
	case POLICY_LEVEL_ENCRYPT:
		socketmap_words_level(into, "encrypt", r);
		return true;
	case POLICY_LEVEL_VERIFY:
		return write_verify(into, plan, why);
	case POLICY_LEVEL_MAY:
	case POLICY_LEVEL_DANE:
	case POLICY_LEVEL_DANE_ONLY:
		break;
	}
	socketmap_words_level(into, "may", r);
	return true;
}

bool socketmap_words_sendmail_verify(struct buf *into, const struct policy_plan *plan)
{
	const struct policy_requirement *r = plan->whole->rule;
	size_t length = into->length;
	bool is_own_authority = r->trust_name && strcmp(r->trust_name, "system") != 0;
	if (r->level != POLICY_LEVEL_VERIFY || r->pin_count || is_own_authority)
		return false;
	buf_append_text(into, "secure");
	if (r->name_count) {
		write_names(into, r->names, r->name_count);
	} else if (!plan->whole->is_mx_proven) {
		write_domain_names(into, plan->next_hop);
	} else {
		for (size_t i = 0; i < plan->host_count; i++)
			buf_printf(into, "%s%s", i ? ":" : " match=", plan->hosts[i].name);
		if (plan->host_count == 0) {
			buf_truncate(into, length);
			return false;
		}
	}
	buf_append_text(into, SNI);
	return true;
}

/* ---- MTA-STS ----------------------------------------------------------------------------------- */

/* "*.example.org" stands for one label, Postfix's ".example.org" for any number: what it cannot say
 * more narrowly by `match`, it does by mx_host_pattern (3.10.5). */
static bool is_pattern(const char *pattern)
{
	const char *name = strncmp(pattern, "*.", 2) == 0 ? pattern + 2 : pattern;
	for (const char *c = name; *c; c++) {
		bool is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
		bool is_digit = *c >= '0' && *c <= '9';
		if (!is_letter && !is_digit && *c != '-' && *c != '_' && *c != '.')
			return false;
	}
	return *name && *name != '.';
}

bool socketmap_words_sts(struct buf *into, const struct policy_plan *plan, const char **why)
{
	const struct policy_plan_whole *w = plan->whole;
	const char *between = "secure match=";
	for (size_t i = 0; i < w->sts_mx_count; i++) {
		const char *pattern = w->sts_mx[i];
		if (!is_pattern(pattern))
			continue;
		buf_append_text(into, between);
		buf_append_text(into, pattern[0] == '*' ? pattern + 1 : pattern);
		between = ":";
	}
	buf_append_text(into, SNI);
	*why = "the MTA-STS policy in force names no host that can be told";
	return between[0] == ':';
}

static void write_strings(struct buf *into, const char *text, size_t bytes_most)
{
	struct str rest = str_of(text), line;
	while (str_split(&rest, '\n', &line)) {
		if (line.length && line.at[line.length - 1] == '\r')
			line.length--;
		line = str_trim(line);
		if (!is_fit_for_braces(line) || into->length + line.length + 32 > bytes_most)
			continue;
		buf_append_text(into, " { policy_string = ");
		buf_append_str(into, line);
		buf_append_text(into, " }");
	}
}

void socketmap_words_report(struct buf *into, const struct policy_plan *plan, size_t bytes_most)
{
	const struct policy_plan_whole *w = plan->whole;
	size_t start = into->length;
	buf_printf(into, " policy_type=sts policy_domain=%s", plan->next_hop);
	size_t before = into->length;
	for (size_t i = 0; i < w->sts_mx_count; i++)
		if (is_pattern(w->sts_mx[i]))
			buf_printf(into, " mx_host_pattern=%s", w->sts_mx[i]);
	size_t patterns = into->length;
	if (w->sts_text)
		write_strings(into, w->sts_text, bytes_most);
	/* Postfix wants at least one of both. */
	if (patterns == before || into->length == patterns || into->length > bytes_most)
		buf_truncate(into, start);
}
