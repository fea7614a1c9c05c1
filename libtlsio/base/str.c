#include "libtlsio/base/str.h"

#include <strings.h>

bool str_equal(struct str a, struct str b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

bool str_equal_nocase(struct str a, struct str b)
{
	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
		if (str_lower(a.at[i]) != str_lower(b.at[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.length >= prefix.length && str_equal(str_head(s, prefix.length), prefix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
	return s.length >= prefix.length && str_equal_nocase(str_head(s, prefix.length), prefix);
}

bool str_ends_nocase(struct str s, struct str suffix)
{
	return s.length >= suffix.length &&
	       str_equal_nocase(str_skip(s, s.length - suffix.length), suffix);
}

size_t str_find(struct str s, char byte)
{
	const char *hit = s.length ? memchr(s.at, byte, s.length) : NULL;
	return hit ? (size_t)(hit - s.at) : s.length;
}

size_t str_find_last(struct str s, char byte)
{
	const char *hit = s.length ? memrchr(s.at, byte, s.length) : NULL;
	return hit ? (size_t)(hit - s.at) : s.length;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.length && is_blank(s.at[0]))
		s = str_skip(s, 1);
	while (s.length && is_blank(s.at[s.length - 1]))
		s.length--;
	return s;
}

struct str str_next_word(struct str *s)
{
	while (s->length && is_blank(s->at[0]))
		*s = str_skip(*s, 1);
	size_t end = 0;
	while (end < s->length && !is_blank(s->at[end]))
		end++;
	struct str word = str_head(*s, end);
	*s = str_skip(*s, end);
	return word;
}

bool str_split(struct str *s, char separator, struct str *ret_part)
{
	if (!s->at)
		return false;
	size_t end = str_find(*s, separator);
	*ret_part = str_head(*s, end);
	if (end == s->length)
		*s = (struct str){ NULL, 0 };
	else
		*s = str_skip(*s, end + 1);
	return true;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;
	if (s.length == 0)
		return false;
	for (size_t i = 0; i < s.length; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(s.at[i] - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (value > max)
		return false;
	*ret_value = value;
	return true;
}

bool str_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if ((unsigned char)s.at[i] > 0x7f)
			return false;
	return true;
}

bool str_copy(struct str s, char *into, size_t capacity)
{
	bool fits = s.length < capacity;
	size_t length = fits ? s.length : capacity - 1;
	if (length)
		memcpy(into, s.at, length);
	into[length] = '\0';
	return fits;
}

void str_lower_in_place(char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		text[i] = str_lower(text[i]);
}
