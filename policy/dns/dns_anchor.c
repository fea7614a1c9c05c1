#include "policy/dns/dns_anchor.h"

enum { RECORD_MOST = 8192 }; /* an RSA key of 16384 bits in base64 is below 3 KiB */

/* Takes the line's bytes over; the depth of parentheses behind it. */
static int add_line(struct dns_anchor *anchor, struct str line, int depth)
{
	for (size_t i = 0; i < line.length; i++) {
		char c = line.at[i];
		if (c == '(' || c == ')')
			depth += c == '(' ? 1 : -1;
		bool is_blank = c == '(' || c == ')' || c == '\t' || c == '\r';
		buf_append_byte(&anchor->record, is_blank ? ' ' : c);
	}
	buf_append_byte(&anchor->record, ' ');
	return depth;
}

/* owner [TTL] [class] type ... */
static bool is_anchor(struct str record)
{
	if (record.length == 0 || record.at[0] == ' ' || !str_is_ascii(record))
		return false;
	str_next_word(&record);
	for (int i = 0; i < 3; i++) {
		struct str word = str_next_word(&record);
		if (str_equal_nocase(word, STR("DS")) || str_equal_nocase(word, STR("DNSKEY")))
			return true;
	}
	return false;
}

int dns_anchor_next(struct dns_anchor *anchor, struct err *err)
{
	struct str line;
	int depth = 0;
	buf_clear(&anchor->record);
	while (str_split(&anchor->left, '\n', &line)) {
		anchor->line++;
		depth = add_line(anchor, str_head(line, str_find(line, ';')), depth);
		struct str record = buf_str(&anchor->record);
		if (str_trim(record).length == 0) {
			buf_clear(&anchor->record);
			continue;
		}
		if (record.length > RECORD_MOST || depth < 0)
			break;
		if (depth > 0)
			continue;
		if (!is_anchor(record))
			break;
		return 1;
	}
	if (str_trim(buf_str(&anchor->record)).length == 0 && depth == 0)
		return 0;
	return err_set(err, ERR_INPUT,
		"line %u of the trust anchors is no DS or DNSKEY record with its owner in front",
		anchor->line);
}

bool dns_anchor_zone(const struct dns_anchor *anchor, char *into, size_t capacity)
{
	struct str record = buf_str(&anchor->record);
	struct str owner = str_next_word(&record);
	if (owner.length > 1 && owner.at[owner.length - 1] == '.')
		owner.length--;
	if (!str_copy(owner, into, capacity))
		return false;
	str_lower_in_place(into, owner.length);
	return true;
}
