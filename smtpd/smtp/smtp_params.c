#include "smtpd/smtp/smtp_params.h"

#include <stddef.h>

#include "smtpd/smtp/smtp_address.h"

#define ENVID_BYTES 100
#define ORCPT_BYTES 500

/* ---- xtext ------------------------------------------------------------------------------------ */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_plain(unsigned char c)
{
	return c > 32 && c < 127 && c != '+' && c != '=';
}

/* The next byte that xtext stands for; -1 = not xtext. */
static int take_xtext(struct str text, size_t *at)
{
	unsigned char c = (unsigned char)text.at[*at];
	if (c != '+') {
		++*at;
		return is_plain(c) ? c : -1;
	}
	if (text.length - *at < 3)
		return -1;
	int high = hex_value(text.at[*at + 1]), low = hex_value(text.at[*at + 2]);
	*at += 3;
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool smtp_params_xtext_is_valid(struct str text)
{
	for (size_t i = 0; i < text.length;) {
		if (take_xtext(text, &i) < 0)
			return false;
	}
	return true;
}

void smtp_params_xtext_encode(struct str plain, struct buf *ret)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < plain.length; i++) {
		unsigned char c = (unsigned char)plain.at[i];
		if (is_plain(c)) {
			buf_append_byte(ret, (char)c);
		} else {
			char coded[3] = { '+', digits[c >> 4], digits[c & 15] };
			buf_append(ret, coded, sizeof(coded));
		}
	}
}

bool smtp_params_xtext_decode(struct str text, struct buf *ret)
{
	if (!smtp_params_xtext_is_valid(text))
		return false;
	for (size_t i = 0; i < text.length;)
		buf_append_byte(ret, (char)take_xtext(text, &i));
	return true;
}

/* ---- one parameter ---------------------------------------------------------------------------- */

/* ret is a struct smtp_params_mail or _rcpt. */
struct parameter {
	const char *keyword;
	bool wants_value;
	bool (*set)(void *ret, struct str value);
};

static bool set_size(void *ret, struct str value)
{
	struct smtp_params_mail *mail = ret;
	uint64_t bytes;
	if (value.length > 20)
		return false;
	/* twenty digits may say more than we can count: that is too much mail in any case */
	if (!str_to_u64(value, INT64_MAX, &bytes)) {
		for (size_t i = 0; i < value.length; i++) {
			if (value.at[i] < '0' || value.at[i] > '9')
				return false;
		}
		bytes = INT64_MAX;
	}
	mail->size_bytes = bytes;
	return value.length != 0;
}

static bool set_body(void *ret, struct str value)
{
	struct smtp_params_mail *mail = ret;
	if (str_equal_nocase(value, STR("7BIT")))
		mail->body = SMTP_PARAMS_BODY_7BIT;
	else if (str_equal_nocase(value, STR("8BITMIME")))
		mail->body = SMTP_PARAMS_BODY_8BITMIME;
	else
		return false;
	return true;
}

static bool set_smtputf8(void *ret, struct str value)
{
	struct smtp_params_mail *mail = ret;
	(void)value;
	mail->is_smtputf8 = true;
	return true;
}

static bool set_ret(void *ret, struct str value)
{
	struct smtp_params_mail *mail = ret;
	if (str_equal_nocase(value, STR("FULL")))
		mail->ret = SMTP_PARAMS_RET_FULL;
	else if (str_equal_nocase(value, STR("HDRS")))
		mail->ret = SMTP_PARAMS_RET_HDRS;
	else
		return false;
	return true;
}

static bool set_envid(void *ret, struct str value)
{
	struct smtp_params_mail *mail = ret;
	mail->envid = value;
	return value.length <= ENVID_BYTES && smtp_params_xtext_is_valid(value);
}

static bool set_notify(void *ret, struct str value)
{
	static const char *const words[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };
	struct smtp_params_rcpt *rcpt = ret;
	struct str word;
	while (str_split(&value, ',', &word)) {
		unsigned bit = 0;
		for (unsigned i = 0; i < 4; i++) {
			if (str_equal_nocase(word, str_of(words[i])))
				bit = 1u << i;
		}
		if (!bit || (rcpt->notify & bit))
			return false;
		rcpt->notify |= (uint8_t)bit;
	}
	/* NEVER stands alone (RFC 3461 section 4.1) */
	return !(rcpt->notify & SMTP_PARAMS_NOTIFY_NEVER) ||
		rcpt->notify == SMTP_PARAMS_NOTIFY_NEVER;
}

/* "type;xtext"; for utf-8 addresses (RFC 6533) raw UTF-8 and "\x{...}" pass as well. */
static bool set_orcpt(void *ret, struct str value)
{
	struct smtp_params_rcpt *rcpt = ret;
	size_t type = str_find(value, ';');
	if (!type || type == value.length || value.length > ORCPT_BYTES)
		return false;
	for (size_t i = 0; i < type; i++) {
		char c = str_lower(value.at[i]);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	struct str address = str_skip(value, type + 1);
	rcpt->orcpt = value;
	if (str_equal_nocase(str_head(value, type), STR("utf-8")))
		return address.length && smtp_address_is_utf8(address);
	return address.length && smtp_params_xtext_is_valid(address);
}

static const struct parameter mail_parameters[] = {
	{ "SIZE", true, set_size },
	{ "BODY", true, set_body },
	{ "SMTPUTF8", false, set_smtputf8 },
	{ "RET", true, set_ret },
	{ "ENVID", true, set_envid },
};
static const struct parameter rcpt_parameters[] = {
	{ "NOTIFY", true, set_notify },
	{ "ORCPT", true, set_orcpt },
};

/* ---- all of them ------------------------------------------------------------------------------ */

static enum smtp_params_result refuse(enum smtp_params_result result, struct err *err,
	const char *words, struct str parameter)
{
	err_set(err, ERR_INPUT, "%s %.*s", words,
		(int)(parameter.length < 60 ? parameter.length : 60), parameter.at);
	return result;
}

static enum smtp_params_result parse(struct str text, const struct parameter *known, size_t count,
	void *ret, struct err *err)
{
	unsigned seen = 0;
	if (text.length && text.at[0] != ' ' && text.at[0] != '\t')
		return refuse(SMTP_PARAMS_SYNTAX, err, "no blank before", text);
	for (struct str word = str_next_word(&text); word.length; word = str_next_word(&text)) {
		size_t equals = str_find(word, '=');
		bool has_value = equals < word.length;
		size_t i = 0;
		while (i < count && !str_equal_nocase(str_head(word, equals), str_of(known[i].keyword)))
			i++;
		if (i == count)
			return refuse(SMTP_PARAMS_UNKNOWN, err, "unknown parameter", word);
		if (seen & 1u << i)
			return refuse(SMTP_PARAMS_SYNTAX, err, "given twice:", word);
		seen |= 1u << i;
		struct str value = str_skip(word, has_value ? equals + 1 : equals);
		if (has_value != known[i].wants_value || !known[i].set(ret, value))
			return refuse(SMTP_PARAMS_SYNTAX, err, "bad parameter", word);
	}
	return SMTP_PARAMS_OK;
}

enum smtp_params_result smtp_params_parse_mail(struct str text, struct smtp_params_mail *ret,
	struct err *err)
{
	*ret = (struct smtp_params_mail){ 0 };
	return parse(text, mail_parameters, sizeof(mail_parameters) / sizeof(mail_parameters[0]),
		ret, err);
}

enum smtp_params_result smtp_params_parse_rcpt(struct str text, struct smtp_params_rcpt *ret,
	struct err *err)
{
	*ret = (struct smtp_params_rcpt){ 0 };
	return parse(text, rcpt_parameters, sizeof(rcpt_parameters) / sizeof(rcpt_parameters[0]),
		ret, err);
}
