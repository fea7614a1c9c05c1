#include "smtpd/relay/relay_outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "smtpd/smtp/smtp_address.h"

const char *relay_outcome_name(enum relay_outcome_kind kind)
{
	static const char *const names[] = { "delivered", "deferred", "failed" };
	return names[kind];
}

/* Bytes of the UTF-8 character at the front of s (1 for ASCII), 0 when it is not valid. */
static size_t character_bytes(struct str s)
{
	unsigned char c = (unsigned char)s.at[0];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	return n <= s.length && smtp_address_is_utf8(str_head(s, n)) ? n : 0;
}

void relay_outcome_clean(struct str bytes, char *into, size_t capacity)
{
	size_t used = 0;
	while (bytes.length > 0 && used + 1 < capacity) {
		size_t n = character_bytes(bytes);
		unsigned char c = (unsigned char)bytes.at[0];
		/* C1 controls (U+0080..U+009F) are two bytes: C2 80..9F */
		bool is_c1 = n == 2 && c == 0xc2 && (unsigned char)bytes.at[1] < 0xa0;
		if (n > 1 && !is_c1) {
			if (used + n >= capacity)
				break;
			memcpy(into + used, bytes.at, n);
			used += n;
		} else if (c == '\n' || c == '\t' || c == ' ') {
			if (used > 0 && into[used - 1] != ' ')
				into[used++] = ' ';
		} else if (c != '\r') {
			into[used++] = n == 1 && c > ' ' && c != 0x7f ? (char)c : '?';
		}
		bytes = str_skip(bytes, n ? n : 1);
	}
	while (used > 0 && into[used - 1] == ' ')
		used--;
	into[used] = '\0';
}

static const char class_of[] = { '2', '4', '5' };

void relay_outcome_from_reply(struct relay_outcome *o, const struct smtp_reply *reply,
	const char *host)
{
	int class = smtp_reply_class(reply);
	o->kind = class == 2 ? RELAY_DELIVERED : class == 5 ? RELAY_FAILED : RELAY_DEFERRED;
	if (reply->enhanced[0] == class_of[o->kind])
		snprintf(o->enhanced, sizeof(o->enhanced), "%s", reply->enhanced);
	else
		snprintf(o->enhanced, sizeof(o->enhanced), "%c.0.0", class_of[o->kind]);
	int used = snprintf(o->text, sizeof(o->text), "%d ", reply->code);
	relay_outcome_clean(buf_str(&reply->lines), o->text + used, sizeof(o->text) - (size_t)used);
	snprintf(o->host, sizeof(o->host), "%s", host);
	o->is_smtp_reply = true;
	o->is_dsn_passed_on = false;
	o->cause = SPOOL_CAUSE_REPLY;
}

/* Our own sentences are told apart by their codes (RFC 3463): 4.4.1 and 4.4.2 are connections, the rest
 * of 4.4 is about the way there, 4.5 is the peer's protocol, 4.7 security. */
static enum spool_cause cause_of(const char *code)
{
	if (strncmp(code, "4.7.", 4) == 0)
		return SPOOL_CAUSE_POLICY;
	if (strcmp(code, "4.4.1") == 0 || strcmp(code, "4.4.2") == 0)
		return SPOOL_CAUSE_UNREACHABLE;
	if (strncmp(code, "4.5.", 4) == 0)
		return SPOOL_CAUSE_REPLY;
	return strncmp(code, "4.4.", 4) == 0 ? SPOOL_CAUSE_NAMES : SPOOL_CAUSE_OURS;
}

void relay_outcome_set(struct relay_outcome *o, enum relay_outcome_kind kind, const char *enhanced,
	const char *format, ...)
{
	char words[sizeof(o->text)];
	va_list args;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	o->kind = kind;
	snprintf(o->enhanced, sizeof(o->enhanced), "%s", enhanced);
	relay_outcome_clean(str_of(words), o->text, sizeof(o->text));
	o->host[0] = '\0';
	o->is_smtp_reply = false;
	o->is_dsn_passed_on = false;
	o->cause = cause_of(enhanced);
}

void relay_outcome_refuse(struct relay_outcome *o, const char *words)
{
	char enhanced[SMTP_REPLY_ENHANCED_BYTES];
	size_t used = smtp_reply_enhanced(str_of(words), enhanced);
	bool is_temporary = enhanced[0] == '4';
	bool is_given = used && enhanced[0] != '2';
	relay_outcome_set(o, is_temporary ? RELAY_DEFERRED : RELAY_FAILED,
		is_given ? enhanced : "5.7.1", "%s", words + (is_given ? used : 0));
}

void relay_outcome_copy(struct relay_outcome *o, const struct relay_outcome *from)
{
	uint32_t recipient = o->recipient;
	*o = *from;
	o->recipient = recipient;
}

void relay_outcome_soften(struct relay_outcome *o)
{
	if (o->kind == RELAY_DEFERRED)
		return;
	o->kind = RELAY_DEFERRED;
	o->enhanced[0] = '4';
}
