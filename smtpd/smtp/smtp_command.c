#include "smtpd/smtp/smtp_command.h"

#include <stddef.h>

#include "smtpd/smtp/smtp_address.h"

static const struct {
	const char *word;
	enum smtp_verb verb;
} verbs[] = {
	{ "MAIL", SMTP_VERB_MAIL },
	{ "RCPT", SMTP_VERB_RCPT },
	{ "DATA", SMTP_VERB_DATA },
	{ "BDAT", SMTP_VERB_BDAT },
	{ "EHLO", SMTP_VERB_EHLO },
	{ "QUIT", SMTP_VERB_QUIT },
	{ "RSET", SMTP_VERB_RSET },
	{ "NOOP", SMTP_VERB_NOOP },
	{ "STARTTLS", SMTP_VERB_STARTTLS },
	{ "HELO", SMTP_VERB_HELO },
	{ "VRFY", SMTP_VERB_VRFY },
	{ "HELP", SMTP_VERB_HELP },
	{ "EXPN", SMTP_VERB_EXPN },
	{ "AUTH", SMTP_VERB_AUTH },
	{ "ETRN", SMTP_VERB_ETRN },
	{ "GET", SMTP_VERB_FOREIGN },
	{ "POST", SMTP_VERB_FOREIGN },
	{ "PUT", SMTP_VERB_FOREIGN },
	{ "HEAD", SMTP_VERB_FOREIGN },
	{ "CONNECT", SMTP_VERB_FOREIGN },
	{ "OPTIONS", SMTP_VERB_FOREIGN },
};

const char *smtp_command_verb_name(enum smtp_verb verb)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (verbs[i].verb == verb)
			return verb == SMTP_VERB_FOREIGN ? "foreign" : verbs[i].word;
	}
	return "unknown";
}

void smtp_command_parse(struct str line, struct smtp_command *ret)
{
	struct str rest = line;
	ret->verb = SMTP_VERB_UNKNOWN;
	ret->word = str_next_word(&rest);
	ret->argument = str_trim(rest);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (str_equal_nocase(ret->word, str_of(verbs[i].word))) {
			ret->verb = verbs[i].verb;
			return;
		}
	}
}

bool smtp_command_is_text(struct str line)
{
	bool is_ascii = true;
	for (size_t i = 0; i < line.length; i++) {
		unsigned char c = (unsigned char)line.at[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
		is_ascii = is_ascii && c < 0x80;
	}
	return is_ascii || smtp_address_is_utf8(line);
}

bool smtp_command_take_keyword(struct str *argument, struct str keyword)
{
	if (!str_starts_nocase(*argument, keyword))
		return false;
	*argument = str_trim(str_skip(*argument, keyword.length));
	return true;
}

bool smtp_command_is_hello_name(struct str name)
{
	if (!name.length || name.length > 255)
		return false;
	for (size_t i = 0; i < name.length; i++) {
		char c = str_lower(name.at[i]);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
			    c == '_' || c == ':' || c == '[' || c == ']'))
			return false;
	}
	return true;
}

bool smtp_command_parse_chunk(struct str argument, uint64_t *ret_bytes, bool *ret_is_last)
{
	struct str rest = argument;
	struct str size = str_next_word(&rest);
	struct str last = str_trim(rest);
	uint64_t bytes;
	if (!str_to_u64(size, INT64_MAX, &bytes) ||
		(last.length && !str_equal_nocase(last, STR("LAST"))))
		return false;
	*ret_bytes = bytes;
	*ret_is_last = last.length != 0;
	return true;
}
