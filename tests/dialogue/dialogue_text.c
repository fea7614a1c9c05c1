#include "tests/dialogue/dialogue_text.h"

#include "libtlsio/base/codec.h"

/* The escape behind a backslash at text.at[*at]; false = unknown. */
static bool take_escape(struct str text, size_t *at, struct buf *ret)
{
	static const char from[] = "rnt0\\{", to[] = "\r\n\t\0\\{";
	if (*at == text.length)
		return false;
	char c = text.at[(*at)++];
	for (size_t i = 0; i < sizeof(from) - 1; i++) {
		if (from[i] == c) {
			buf_append_byte(ret, to[i]);
			return true;
		}
	}
	char byte;
	if (c != 'x' || text.length - *at < 2 || !codec_unhex(str_from(text.at + *at, 2), &byte, 1))
		return false;
	*at += 2;
	buf_append_byte(ret, byte);
	return true;
}

static bool expand_plain(struct str text, struct buf *ret)
{
	for (size_t i = 0; i < text.length;) {
		char c = text.at[i++];
		if (c != '\\')
			buf_append_byte(ret, c);
		else if (!take_escape(text, &i, ret))
			return false;
	}
	return true;
}

/* "{text*count}" at the front of *text. */
static bool expand_repetition(struct str *text, struct buf *ret)
{
	size_t end = str_find(*text, '}');
	if (end == text->length)
		return false;
	struct str inside = str_from(text->at + 1, end - 1);
	size_t star = str_find_last(inside, '*');
	uint64_t count;
	if (star == inside.length || !str_to_u64(str_skip(inside, star + 1), 100000000, &count))
		return false;
	struct buf once = { 0 };
	bool is_good = expand_plain(str_head(inside, star), &once);
	for (uint64_t i = 0; i < count && is_good; i++)
		buf_append_str(ret, buf_str(&once));
	buf_release(&once);
	*text = str_skip(*text, end + 1);
	return is_good;
}

bool dialogue_text_expand(struct str text, bool adds_line_end, struct buf *ret)
{
	if (text.length >= 2 && !memcmp(text.at + text.length - 2, "\\c", 2)) {
		text.length -= 2;
		adds_line_end = false;
	}
	while (text.length) {
		size_t plain = 0;
		while (plain < text.length &&
			!(text.at[plain] == '{' && !(plain && text.at[plain - 1] == '\\')))
			plain++;
		if (!expand_plain(str_head(text, plain), ret))
			return false;
		text = str_skip(text, plain);
		if (text.length && !expand_repetition(&text, ret))
			return false;
	}
	if (adds_line_end)
		buf_append_text(ret, "\r\n");
	return true;
}

bool dialogue_text_take_reply(struct buf *received, struct buf *ret)
{
	struct str rest = buf_str(received);
	for (;;) {
		size_t lf = str_find(rest, '\n');
		if (lf == rest.length || lf < 4)
			return false;
		struct str line = str_head(rest, lf - 1);
		rest = str_skip(rest, lf + 1);
		if (ret->length)
			buf_append_byte(ret, ' ');
		buf_append_str(ret, line);
		if (line.length < 4 || line.at[3] != '-')
			break;
	}
	buf_consume(received, received->length - rest.length);
	return true;
}

static size_t find_part(struct str text, struct str part)
{
	for (size_t i = 0; i + part.length <= text.length; i++) {
		if (!memcmp(text.at + i, part.at, part.length))
			return i;
	}
	return text.length + 1;
}

bool dialogue_text_contains(struct str text, struct str part)
{
	return find_part(text, part) <= text.length;
}

/* pattern up to the next "..." off its front; *ret_is_more: there was one. */
static struct str take_part(struct str *pattern, bool *ret_is_more)
{
	size_t dots = find_part(*pattern, STR("..."));
	*ret_is_more = dots <= pattern->length;
	struct str part = *ret_is_more ? str_head(*pattern, dots) : *pattern;
	*pattern = str_skip(*pattern, *ret_is_more ? dots + 3 : pattern->length);
	return part;
}

bool dialogue_text_matches(struct str text, struct str pattern)
{
	bool is_more;
	struct str part = take_part(&pattern, &is_more);
	if (!is_more)
		return str_equal(text, part);
	if (!str_starts(text, str_trim(part)))
		return false;
	text = str_skip(text, str_trim(part).length);
	while (is_more) {
		part = str_trim(take_part(&pattern, &is_more));
		if (!is_more) /* the last part stands at the end; empty: anything */
			return text.length >= part.length &&
				!memcmp(text.at + text.length - part.length, part.at, part.length);
		size_t at = find_part(text, part);
		if (at > text.length)
			return false;
		text = str_skip(text, at + part.length);
	}
	return true;
}
