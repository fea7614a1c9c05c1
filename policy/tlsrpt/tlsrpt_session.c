#include "policy/tlsrpt/tlsrpt_session.h"

#include "libtlsio/base/codec.h"
#include "libtlsio/tlsio_digest.h"

/* ---- words ----------------------------------------------------------------------------------- */

static const char *const type_names[] = {
	[POLICY_REPORT_NO_POLICY] = "no-policy-found",
	[POLICY_REPORT_TLSA] = "tlsa",
	[POLICY_REPORT_STS] = "sts",
};

/* RFC 8460 4.3 and R7. Their names are those of enum policy_reason; the numbers are libtlsrpt's. */
static const struct {
	int code;
	const char *words;
} results[TLSRPT_REASONS] = {
	[POLICY_REASON_NONE] = { 0, "" },
	[POLICY_REASON_STARTTLS_NOT_SUPPORTED] = { 201, "the host offered no STARTTLS" },
	[POLICY_REASON_CERTIFICATE_HOST_MISMATCH] = { 202, "the certificate is for other names" },
	[POLICY_REASON_CERTIFICATE_NOT_TRUSTED] = { 203, "the certificate is not trusted" },
	[POLICY_REASON_CERTIFICATE_EXPIRED] = { 204, "the certificate is out of its dates" },
	[POLICY_REASON_VALIDATION_FAILURE] = { 205, "TLS failed, or the policy does not name the host" },
	[POLICY_REASON_STS_POLICY_FETCH_ERROR] = { 301, "the MTA-STS policy could not be fetched" },
	[POLICY_REASON_STS_POLICY_INVALID] = { 302, "the MTA-STS policy could not be read" },
	[POLICY_REASON_STS_WEBPKI_INVALID] = { 303,
		"the certificate of the MTA-STS policy's web server is not valid" },
	[POLICY_REASON_TLSA_INVALID] = { 304, "none of the host's TLSA records is usable" },
	[POLICY_REASON_DNSSEC_INVALID] = { 305, "DNSSEC validation failed" },
	[POLICY_REASON_DANE_REQUIRED] = { 306,
		"DANE is demanded here, and the host has no usable TLSA record" },
};

const char *tlsrpt_type_name(enum policy_report_type type)
{
	return type_names[type];
}

bool tlsrpt_type_parse(struct str text, enum policy_report_type *ret)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
		if (!str_equal(text, str_of(type_names[i])))
			continue;
		*ret = (enum policy_report_type)i;
		return true;
	}
	return false;
}

bool tlsrpt_result_parse(struct str text, enum policy_reason *ret)
{
	for (int i = POLICY_REASON_NONE + 1; i < TLSRPT_REASONS; i++) {
		if (!str_equal(text, str_of(policy_reason_name((enum policy_reason)i))))
			continue;
		*ret = (enum policy_reason)i;
		return true;
	}
	return false;
}

bool tlsrpt_result_of_code(int code, enum policy_reason *ret)
{
	for (int i = POLICY_REASON_NONE + 1; i < TLSRPT_REASONS; i++) {
		if (results[i].code != code)
			continue;
		*ret = (enum policy_reason)i;
		return true;
	}
	return false;
}

const char *tlsrpt_result_words(enum policy_reason result)
{
	return results[result].words;
}

/* Bytes of the character at the front; 0: none that may stand in a text. */
static size_t character(struct str s)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 } };
	unsigned char first = (unsigned char)s.at[0];
	size_t bytes = 0;
	while (bytes < 4 && (first & forms[bytes].mask) != forms[bytes].lead)
		bytes++;
	if (bytes == 4 || s.length <= bytes)
		return 0;
	uint32_t code = first & (unsigned char)~forms[bytes].mask;
	for (size_t i = 1; i <= bytes; i++) {
		if (((unsigned char)s.at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)s.at[i] & 0x3f);
	}
	bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 ||
		code == 0x2029;
	bool is_none = code < forms[bytes].least || code > 0x10ffff ||
		(code >= 0xd800 && code < 0xe000);
	return is_control || is_none ? 0 : bytes + 1;
}

bool tlsrpt_text_is_clean(struct str text, size_t most)
{
	if (text.length > most)
		return false;
	while (text.length > 0) {
		size_t bytes = character(text);
		if (bytes == 0)
			return false;
		text = str_skip(text, bytes);
	}
	return true;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool write_lines(struct buf *into, const char *mark, const char *const *lines, size_t count)
{
	if (count > TLSRPT_STRINGS_MOST)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!tlsrpt_text_is_clean(str_of(lines[i]), TLSRPT_POLICY_BYTES_MOST))
			return false;
		buf_append_text(into, mark);
		buf_append_text(into, lines[i]);
		buf_append_byte(into, '\n');
	}
	return true;
}

bool tlsrpt_policy_write(const struct tlsrpt_policy *policy, struct buf *into)
{
	size_t before = into->length;
	bool is_good = tlsrpt_text_is_clean(str_of(policy->domain), TLSRPT_NAME_BYTES_MOST);
	if (is_good) {
		buf_append_text(into, type_names[policy->type]);
		buf_append_byte(into, '\t');
		buf_append_text(into, policy->domain);
		buf_append_byte(into, '\n');
		is_good = write_lines(into, "s\t", policy->strings, policy->string_count) &&
			write_lines(into, "m\t", policy->mx, policy->mx_count) &&
			into->length - before <= TLSRPT_POLICY_BYTES_MOST;
	}
	if (!is_good)
		buf_truncate(into, before);
	return is_good;
}

uint64_t tlsrpt_policy_identity(struct str text)
{
	uint8_t digest[TLSIO_DIGEST_SHA256_BYTES];
	tlsio_digest_sha256(text, digest);
	return codec_get_u64(digest);
}

bool tlsrpt_failure_write(const struct tlsrpt_failure *f, struct buf *into)
{
	const struct {
		const char *text;
		size_t most;
	} fields[] = {
		{ f->sending_ip, TLSRPT_ADDRESS_BYTES_MOST }, { f->mx_host, TLSRPT_NAME_BYTES_MOST },
		{ f->helo, TLSRPT_NAME_BYTES_MOST }, { f->receiving_ip, TLSRPT_ADDRESS_BYTES_MOST },
		{ f->additional, TLSRPT_WORDS_BYTES_MOST },
		{ f->reason_code, TLSRPT_WORDS_BYTES_MOST },
	};
	size_t before = into->length;
	buf_append_text(into, policy_reason_name(f->result));
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!tlsrpt_text_is_clean(str_of(fields[i].text), fields[i].most)) {
			buf_truncate(into, before);
			return false;
		}
		buf_append_byte(into, '\t');
		buf_append_text(into, fields[i].text);
	}
	return true;
}

bool tlsrpt_policy_read(struct str text, enum policy_report_type *ret_type, struct str *ret_domain,
	struct str *ret_lines)
{
	struct str head, type;
	if (text.length == 0 || text.length > TLSRPT_POLICY_BYTES_MOST ||
		text.at[text.length - 1] != '\n')
		return false;
	str_split(&text, '\n', &head);
	str_split(&head, '\t', &type);
	*ret_domain = head;
	*ret_lines = text;
	return head.at && tlsrpt_type_parse(type, ret_type);
}

char tlsrpt_policy_next(struct str *lines, struct str *ret_value)
{
	struct str line;
	if (lines->length < 2 || !str_split(lines, '\n', &line) || line.length < 2)
		return '\0';
	*ret_value = str_skip(line, 2);
	return line.at[0];
}

bool tlsrpt_failure_read(struct str text, struct tlsrpt_failure_read *ret)
{
	struct str result;
	struct str *fields[] = { &ret->sending_ip, &ret->mx_host, &ret->helo, &ret->receiving_ip,
		&ret->additional, &ret->reason_code };
	if (!str_split(&text, '\t', &result) || !tlsrpt_result_parse(result, &ret->result))
		return false;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (!str_split(&text, '\t', fields[i]))
			return false;
	return !text.at;
}
