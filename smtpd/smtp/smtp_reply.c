#include "smtpd/smtp/smtp_reply.h"

#include <stdbool.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* One to three digits at the front of s. */
static size_t digits(struct str s)
{
	size_t n = 0;
	while (n < 3 && n < s.length && is_digit(s.at[n]))
		n++;
	return n;
}

size_t smtp_reply_enhanced(struct str text, char *ret_code)
{
	size_t at = 2;
	ret_code[0] = '\0';
	if (text.length < 5 || (text.at[0] != '2' && text.at[0] != '4' && text.at[0] != '5') ||
		text.at[1] != '.')
		return 0;
	size_t subject = digits(str_skip(text, at));
	at += subject;
	if (subject == 0 || at >= text.length || text.at[at] != '.')
		return 0;
	at++;
	size_t detail = digits(str_skip(text, at));
	at += detail;
	if (detail == 0 || (at < text.length && text.at[at] != ' ' && text.at[at] != '\t'))
		return 0;
	memcpy(ret_code, text.at, at);
	ret_code[at] = '\0';
	return at;
}

/* A line without its end: the code, then '-' (more follow), ' ' or nothing. */
static enum smtp_reply_status take_line(struct smtp_reply *reply, struct str line, struct err *err)
{
	if (line.length < 3 || line.at[0] < '2' || line.at[0] > '5' || !is_digit(line.at[1]) ||
		!is_digit(line.at[2]) ||
		(line.length > 3 && line.at[3] != ' ' && line.at[3] != '-')) {
		err_set(err, ERR_PEER, "the reply is not SMTP");
		return SMTP_REPLY_BAD;
	}
	int code = (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0');
	if (reply->line_count > 0 && code != reply->code) {
		err_set(err, ERR_PEER, "the lines of one reply carry the codes %d and %d",
			reply->code, code);
		return SMTP_REPLY_BAD;
	}
	reply->code = code;
	struct str text = line.length > 4 ? str_skip(line, 4) : STR("");
	if (reply->line_count == SMTP_REPLY_LINES ||
		reply->lines.length + text.length + 1 > SMTP_REPLY_BYTES) {
		err_set(err, ERR_LIMIT, "the reply is longer than %d lines or %d bytes",
			SMTP_REPLY_LINES, SMTP_REPLY_BYTES);
		return SMTP_REPLY_BAD;
	}
	reply->line_count++;
	buf_append_str(&reply->lines, text);
	buf_append_byte(&reply->lines, '\n');
	if (line.length > 3 && line.at[3] == '-')
		return SMTP_REPLY_MORE;
	/* RFC 2034 section 4: a code of another class than the reply's means nothing */
	if (smtp_reply_enhanced(text, reply->enhanced) && reply->enhanced[0] != line.at[0])
		reply->enhanced[0] = '\0';
	return SMTP_REPLY_DONE;
}

enum smtp_reply_status smtp_reply_feed(struct smtp_reply *reply, struct str input,
	size_t *ret_used, struct err *err)
{
	*ret_used = 0;
	for (;;) {
		struct str rest = str_skip(input, *ret_used);
		size_t end = str_find(rest, '\n');
		if (end >= SMTP_REPLY_LINE_BYTES) {
			err_set(err, ERR_LIMIT, "a reply line is longer than %d bytes",
				SMTP_REPLY_LINE_BYTES);
			return SMTP_REPLY_BAD;
		}
		if (end == rest.length)
			return SMTP_REPLY_MORE;
		*ret_used += end + 1;
		struct str line = str_head(rest, end);
		if (end > 0 && line.at[end - 1] == '\r')
			line.length--;
		enum smtp_reply_status status = take_line(reply, line, err);
		if (status != SMTP_REPLY_MORE)
			return status;
	}
}

void smtp_reply_clear(struct smtp_reply *reply)
{
	buf_clear(&reply->lines);
	reply->code = 0;
	reply->line_count = 0;
	reply->enhanced[0] = '\0';
}

void smtp_reply_release(struct smtp_reply *reply)
{
	smtp_reply_clear(reply);
	buf_release(&reply->lines);
}

struct str smtp_reply_line(const struct smtp_reply *reply, unsigned index)
{
	struct str rest = buf_str(&reply->lines);
	struct str line;
	if (index >= reply->line_count)
		return STR("");
	for (unsigned i = 0;; i++) {
		if (!str_split(&rest, '\n', &line))
			return STR("");
		if (i == index)
			return line;
	}
}
