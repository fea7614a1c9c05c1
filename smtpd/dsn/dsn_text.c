#include "smtpd/dsn/dsn_text.h"

#include "smtpd/smtp/smtp_address.h"

#define FIELD_COLUMNS 76
#define PARAGRAPH_COLUMNS 72
/* A word longer than this is cut apart: RFC 5322 allows 998 bytes in a line. */
#define WORD_BYTES_MOST 900

void dsn_text_append_clean(struct buf *ret, struct str text, bool allows_utf8)
{
	bool keeps_utf8 = allows_utf8 && smtp_address_is_utf8(text);
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];
		if (c < ' ' || c == 0x7f)
			buf_append_byte(ret, ' ');
		else
			buf_append_byte(ret, c < 0x80 || keeps_utf8 ? (char)c : '?');
	}
}

/* How much of the front of rest goes into a line that has `used` columns already: whole words, at
 * least one of them where the line is empty otherwise. */
static size_t fitting(struct str rest, size_t used, size_t columns, bool may_be_none)
{
	size_t fits = 0;
	for (size_t i = 0; i <= rest.length; i++) {
		if (i < rest.length && rest.at[i] != ' ')
			continue;
		if (used + i > columns && (fits > 0 || may_be_none))
			return fits;
		fits = i;
		if (used + i > columns)
			return fits;
	}
	return fits;
}

/* Not inside a UTF-8 character. */
static size_t cut_word(struct str rest, size_t length)
{
	if (length <= WORD_BYTES_MOST)
		return length;
	length = WORD_BYTES_MOST;
	while (length > 1 && ((unsigned char)rest.at[length] & 0xc0) == 0x80)
		length--;
	return length;
}

static void append_folded(struct buf *ret, size_t used, struct str words, const char *indent,
	size_t columns)
{
	struct str rest = str_trim(words);
	bool is_first = used > 0;
	while (rest.length > 0) {
		size_t length = cut_word(rest, fitting(rest, used, columns, is_first));
		buf_append_str(ret, str_head(rest, length));
		rest = str_trim(str_skip(rest, length));
		if (rest.length > 0) {
			buf_append_text(ret, "\r\n");
			buf_append_text(ret, indent);
		}
		used = strlen(indent);
		is_first = false;
	}
	buf_append_text(ret, "\r\n");
}

void dsn_text_append_field(struct buf *ret, const char *name, const char *prefix, struct str value,
	bool allows_utf8)
{
	struct buf clean = { 0 };
	dsn_text_append_clean(&clean, value, allows_utf8);
	size_t before = ret->length;
	buf_printf(ret, "%s: %s", name, prefix);
	append_folded(ret, ret->length - before, buf_str(&clean), " ", FIELD_COLUMNS);
	buf_release(&clean);
}

void dsn_text_append_paragraph(struct buf *ret, const char *indent, struct str words,
	bool allows_utf8)
{
	struct buf clean = { 0 };
	dsn_text_append_clean(&clean, words, allows_utf8);
	buf_append_text(ret, indent);
	append_folded(ret, 0, buf_str(&clean), indent, PARAGRAPH_COLUMNS);
	buf_release(&clean);
}

const char *dsn_text_advice(enum dsn_kind kind, const char *enhanced)
{
	static const struct {
		const char *code; /* behind the class, or with it; a prefix */
		const char *advice;
	} known[] = {
		{ ".1.10", "Check the part behind the @ for typing errors, or reach the recipient in "
			   "another way." },
		{ ".1.2", "Check the part behind the @ for typing errors." },
		{ ".1.", "Check the address for typing errors, or ask the recipient for the right "
			 "one in another way." },
		{ ".2.2", "The mailbox is full. Try again later, or reach the recipient in another "
			  "way." },
		{ ".2.", "The mailbox cannot take mail at present. Reach the recipient in another "
			 "way." },
		{ ".3.4", "The message is too large. Send less at a time, or a link." },
		{ "5.4.4", "The DNS names no server that takes mail for this domain. Check the part "
			  "behind the @ for typing errors." },
		{ ".4.", "The recipient's mail server could not be reached. If others reach it, "
			 "please tell your postmaster." },
		{ ".6.7", "The recipient's mail server does not understand international "
			  "characters in addresses or headers. Use plain ASCII ones." },
		{ ".7.4", "Mail to this destination must be encrypted, and its server did not offer "
			  "that sufficiently. Your message was not sent unprotected. Please "
			  "tell your postmaster." },
		{ ".7.5", "Mail to this destination goes to a server with proven identity only, and "
			  "there was no such proof. Your message was not sent unprotected. "
			  "Please tell your postmaster." },
		{ ".7.", "The recipient's mail server refused the message. Its words above may say "
			 "why; the recipient's postmaster can help." },
	};
	if (kind == DSN_DELAYED && (str_starts(str_of(enhanced), STR("4.7.4")) ||
		str_starts(str_of(enhanced), STR("4.7.5"))))
		return "Your message is held back: mail to this destination must be protected by "
		       "encryption to a server that proves who it is, and the server there does not "
		       "do so at present. It was not sent unprotected. If it is urgent, reach the "
		       "recipient in another way, or ask your postmaster.";
	if (kind == DSN_DELAYED)
		return "You need not do anything: it will be tried again.";
	if (kind != DSN_FAILED)
		return "";
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		bool has_class = known[i].code[0] != '.';
		if (enhanced[0] &&
			str_starts(str_of(enhanced + !has_class), str_of(known[i].code)))
			return known[i].advice;
	}
	return "If you do not know what this means, show this message to your postmaster.";
}
