#include "smtpd/smtp/smtp_ehlo.h"

static void read_size(struct smtp_ehlo *ehlo, struct str parameters)
{
	uint64_t value;
	if (str_to_u64(str_next_word(&parameters), UINT64_MAX, &value))
		ehlo->size_limit_bytes = value;
}

/* RFC 9422 section 3: name=value words; a zero or malformed value says nothing. */
static void read_limits(struct smtp_ehlo *ehlo, struct str parameters)
{
	struct str word, name;
	uint64_t value;
	while ((word = str_next_word(&parameters)).length > 0) {
		if (!str_split(&word, '=', &name) || !str_to_u64(word, 999999, &value))
			continue;
		if (str_equal_nocase(name, STR("RCPTMAX")))
			ehlo->recipients_most = value;
		else if (str_equal_nocase(name, STR("MAILMAX")))
			ehlo->messages_most = value;
	}
}

static const struct {
	const char *keyword;
	unsigned extension;
	void (*read)(struct smtp_ehlo *ehlo, struct str parameters);
} known[] = {
	{ "PIPELINING", SMTP_EHLO_PIPELINING, NULL },
	{ "SIZE", SMTP_EHLO_SIZE, read_size },
	{ "8BITMIME", SMTP_EHLO_8BITMIME, NULL },
	{ "SMTPUTF8", SMTP_EHLO_SMTPUTF8, NULL },
	{ "CHUNKING", SMTP_EHLO_CHUNKING, NULL },
	{ "DSN", SMTP_EHLO_DSN, NULL },
	{ "STARTTLS", SMTP_EHLO_STARTTLS, NULL },
	{ "ENHANCEDSTATUSCODES", SMTP_EHLO_ENHANCED_CODES, NULL },
	{ "LIMITS", SMTP_EHLO_LIMITS, read_limits },
};

void smtp_ehlo_parse(const struct smtp_reply *reply, struct smtp_ehlo *ret)
{
	struct str rest = buf_str(&reply->lines);
	struct str line;
	*ret = (struct smtp_ehlo){ 0 };
	str_split(&rest, '\n', &line);
	while (str_split(&rest, '\n', &line)) {
		struct str keyword = str_next_word(&line);
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (!str_equal_nocase(keyword, str_of(known[i].keyword)))
				continue;
			ret->extensions |= known[i].extension;
			if (known[i].read)
				known[i].read(ret, line);
		}
	}
}
