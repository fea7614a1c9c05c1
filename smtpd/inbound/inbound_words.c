#include "smtpd/inbound/inbound_words.h"

#include "policy/policy_cipher.h"

enum { MOST_BITS = 4096 };

unsigned inbound_words_version(struct str text)
{
	uint64_t major, minor = 0;
	struct str rest = text, part;
	if (!str_starts(text, STR("TLSv")))
		return 0;
	rest = str_skip(text, 4);
	if (!str_split(&rest, '.', &part) || !str_to_u64(part, 9, &major) ||
		(rest.at && !str_to_u64(rest, 9, &minor)))
		return 0;
	return (unsigned)(major * 10 + minor);
}

unsigned inbound_words_bits(struct str text, struct str cipher)
{
	uint64_t bits;
	const struct policy_cipher *known;
	if (text.length)
		return str_to_u64(text, MOST_BITS, &bits) ? (unsigned)bits : 0;
	known = policy_cipher_find(cipher);
	return known ? known->bits : 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = str_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool inbound_words_name(struct str text, bool has_escapes, char *ret, size_t capacity)
{
	size_t used = 0;
	bool is_whole = true;
	for (size_t i = 0; i < text.length; i++) {
		unsigned char byte = (unsigned char)text.at[i];
		if (has_escapes && byte == '+' && i + 2 < text.length) {
			int high = hex(text.at[i + 1]);
			int low = hex(text.at[i + 2]);
			if (high >= 0 && low >= 0) {
				byte = (unsigned char)(high << 4 | low);
				i += 2;
			}
		}
		if (used + 1 >= capacity)
			is_whole = false;
		else
			ret[used++] = (char)(byte ? byte : '?');
		is_whole = is_whole && byte >= ' ' && byte != 0x7f;
	}
	ret[used] = '\0';
	return is_whole;
}
