#include "smtpd/milter/milter_header.h"

#include "libtlsio/base/str.h"

static void add_quoted(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, ";\n\t%s=\"", key);
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			buf_printf(b, "\\%c", *c);
		else
			buf_printf(b, "%c", *c >= ' ' && *c < 0x7f ? *c : '?');
	}
	buf_printf(b, "\"");
}

/* A word of the MTA, of letters that need no quotes. */
static void add_word(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, "; %s=", key);
	for (const char *c = text; *c; c++) {
		char lower = str_lower(*c);
		bool is_plain = (lower >= 'a' && lower <= 'z') || (*c >= '0' && *c <= '9') ||
			*c == '.' || *c == '-' || *c == '_';
		buf_printf(b, "%c", is_plain ? *c : '?');
	}
}

static const char *certificate_word(enum policy_inbound_certificate certificate)
{
	static const char *const words[] = { [POLICY_INBOUND_CERTIFICATE_NONE] = "none",
		[POLICY_INBOUND_CERTIFICATE_UNVERIFIED] = "not-verified",
		[POLICY_INBOUND_CERTIFICATE_UNSEEN] = "none-verified",
		[POLICY_INBOUND_CERTIFICATE_VERIFIED] = "verified" };
	return words[certificate];
}

void milter_header_value(const char *hostname, const struct milter_facts *facts,
	const struct policy_inbound_refusal *refusal, struct buf *ret)
{
	buf_printf(ret, "%s", hostname);
	if (facts->is_tls) {
		add_word(ret, "version", facts->version_text);
		add_word(ret, "cipher", facts->cipher[0] ? facts->cipher : "unknown");
		buf_printf(ret, "; bits=%u;\n\tcertificate=%s", facts->bits,
			certificate_word(facts->certificate));
		if (facts->common_name[0])
			add_quoted(ret, "name", facts->common_name);
	} else
		buf_printf(ret, "; version=none");
	if (!refusal) {
		buf_printf(ret, "; policy=pass");
		return;
	}
	buf_printf(ret, ";\n\tpolicy=%s", policy_inbound_mode_name(refusal->mode));
	add_quoted(ret, "reason", refusal->text);
}

bool milter_header_is(const char *field, const char *ours)
{
	return str_equal_nocase(str_trim(str_of(field)), str_of(ours));
}
