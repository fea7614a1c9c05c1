#include "smtpd/smtp/smtp_address.h"

#include <idn2.h>
#include <stdlib.h>

#include "libtlsio/base/netaddr.h"

static bool is_letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_eight_bit(char c)
{
	return (unsigned char)c >= 0x80;
}

/* RFC 5322 atext, and UTF-8 by RFC 6531 section 3.3. */
static bool is_atom_char(char c)
{
	return is_letter_or_digit(c) || is_eight_bit(c) ||
		(c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

bool smtp_address_is_utf8(struct str text)
{
	const unsigned char *at = (const unsigned char *)text.at;
	for (size_t i = 0; i < text.length;) {
		unsigned char c = at[i];
		if (c < 0x80) {
			i++;
			continue;
		}
		size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
		if (c < 0xc2 || c > 0xf4 || text.length - i <= more)
			return false;
		unsigned char next = at[i + 1];
		if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) ||
			(c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f))
			return false;
		for (size_t k = 1; k <= more; k++) {
			if ((at[i + k] & 0xc0) != 0x80)
				return false;
		}
		i += more + 1;
	}
	return true;
}

/* ---- domains ---------------------------------------------------------------------------------- */

/* Length of the name at the front of text: labels with single dots between them; 0 = none. */
static size_t name_length(struct str text)
{
	size_t end = 0, label = 0;
	for (; end < text.length; end++) {
		char c = text.at[end];
		if (c == '.') {
			if (!label || text.at[end - 1] == '-')
				return 0;
			label = 0;
		} else if (is_letter_or_digit(c) || is_eight_bit(c) || c == '_' ||
			(c == '-' && label)) {
			if (++label > 63 && !is_eight_bit(c))
				return 0;
		} else {
			break;
		}
	}
	if (!label || text.at[end - 1] == '-' || end > SMTP_ADDRESS_DOMAIN_BYTES)
		return 0;
	return end;
}

/* Length of "[192.0.2.1]" or "[IPv6:2001:db8::1]" at the front of text; 0 = none. */
static size_t literal_length(struct str text)
{
	if (!text.length || text.at[0] != '[')
		return 0;
	size_t end = str_find(text, ']');
	if (end == text.length || end > 60)
		return 0;
	struct str inside = str_from(text.at + 1, end - 1);
	struct netaddr address;
	if (memchr(inside.at, '\0', inside.length))
		return 0;
	if (str_starts_nocase(inside, STR("IPv6:"))) {
		inside = str_skip(inside, 5);
		/* two colons at least: one would be taken for address and port */
		if (str_find(inside, ':') == str_find_last(inside, ':') || inside.at[0] == '[')
			return 0;
	} else if (str_find(inside, ':') < inside.length) {
		return 0;
	}
	return netaddr_parse(inside, 0, &address, NULL) == 0 && address.port == 0 ? end + 1 : 0;
}

bool smtp_address_is_domain(struct str domain, bool may_be_literal)
{
	if (!domain.length || !smtp_address_is_utf8(domain))
		return false;
	if (domain.at[0] == '[')
		return may_be_literal && literal_length(domain) == domain.length;
	return name_length(domain) == domain.length;
}

static int to_a_labels(const char *name, char *into, struct err *err)
{
	char *ascii = NULL;
	int rc = idn2_lookup_u8((const uint8_t *)name, (uint8_t **)&ascii,
		IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK)
		return err_set(err, ERR_INPUT, "\"%.100s\" is not a valid internationalised name: %s",
			name, idn2_strerror(rc));
	/* mapping may bring forth what no name has: U+FF3C becomes a backslash */
	bool is_good = str_copy(str_of(ascii), into, SMTP_ADDRESS_DOMAIN_BYTES + 1) &&
		smtp_address_is_domain(str_of(into), false);
	free(ascii);
	return is_good ? 0
		       : err_set(err, ERR_INPUT, "\"%.100s\" is not a valid domain name", name);
}

int smtp_address_domain_ascii(struct str domain, char *into, struct err *err)
{
	char name[SMTP_ADDRESS_DOMAIN_BYTES + 1];
	if (domain.length && domain.at[domain.length - 1] == '.')
		domain.length--;
	if (!smtp_address_is_domain(domain, true))
		return err_set(err, ERR_INPUT, "\"%.*s\" is not a domain name",
			(int)(domain.length < 100 ? domain.length : 100), domain.at);
	str_copy(domain, name, sizeof(name)); /* is_domain bounds the length */
	if (!str_is_ascii(domain)) {
		if (to_a_labels(name, into, err) != 0)
			return -1;
	} else {
		memcpy(into, name, domain.length + 1);
	}
	size_t length = strlen(into);
	str_lower_in_place(into, length);
	if (into[0] != '[' && length > 253)
		return err_set(err, ERR_INPUT, "the domain \"%.100s...\" is too long", into);
	return 0;
}

/* ---- addresses -------------------------------------------------------------------------------- */

/* Length of the local part at the front of text; 0 = none. */
static size_t quoted_length(struct str text)
{
	for (size_t i = 1; i < text.length; i++) {
		char c = text.at[i];
		if (c == '"')
			return i + 1;
		if (c == '\\') {
			if (++i == text.length || is_eight_bit(text.at[i]))
				return 0;
			c = text.at[i];
		}
		if (!is_eight_bit(c) && (c < 32 || c > 126))
			return 0;
	}
	return 0;
}

static size_t local_length(struct str text)
{
	if (text.length && text.at[0] == '"')
		return quoted_length(text);
	size_t end = 0;
	while (end < text.length && (is_atom_char(text.at[end]) || text.at[end] == '.')) {
		if (text.at[end] == '.' && (end == 0 || text.at[end - 1] == '.'))
			return 0;
		end++;
	}
	return end && text.at[end - 1] != '.' ? end : 0;
}

/* Take "local@domain" (or, where allowed, "postmaster") off the front of *text. */
static int take_mailbox(struct str *text, unsigned allow, struct smtp_address *ret, struct err *err)
{
	struct str whole = *text;
	size_t local = local_length(whole);
	if (!local)
		return err_set(err, ERR_INPUT, "bad local part in the address");
	if (local > SMTP_ADDRESS_LOCAL_BYTES)
		return err_set(err, ERR_INPUT, "the local part is longer than 64 bytes");
	struct str rest = str_skip(whole, local);
	size_t domain = 0;
	if (rest.length && rest.at[0] == '@') {
		rest = str_skip(rest, 1);
		ret->is_literal = rest.length && rest.at[0] == '[';
		domain = ret->is_literal ? literal_length(rest) : name_length(rest);
		if (!domain)
			return err_set(err, ERR_INPUT, "bad domain in the address");
	} else if (!(allow & SMTP_ADDRESS_ALLOW_POSTMASTER) ||
		!str_equal_nocase(str_head(whole, local), STR("postmaster"))) {
		return err_set(err, ERR_INPUT, "the address has no domain");
	}
	ret->local = str_head(whole, local);
	ret->domain = str_head(rest, domain);
	ret->text = str_head(whole, domain ? local + 1 + domain : local);
	if (ret->text.length > SMTP_ADDRESS_BYTES)
		return err_set(err, ERR_INPUT, "the address is longer than 254 bytes");
	ret->is_ascii = str_is_ascii(ret->text);
	if (!ret->is_ascii && !smtp_address_is_utf8(ret->text))
		return err_set(err, ERR_INPUT, "the address is not valid UTF-8");
	*text = str_skip(whole, ret->text.length);
	return 0;
}

/* "@a,@b:" of RFC 5321 section 4.1.2 (A-d-l), to be ignored by appendix C. */
static int skip_route(struct str *text, struct smtp_address *ret, struct err *err)
{
	struct str rest = *text;
	while (rest.length && rest.at[0] == '@') {
		rest = str_skip(rest, 1);
		size_t name = rest.length && rest.at[0] == '[' ? literal_length(rest)
							       : name_length(rest);
		rest = str_skip(rest, name);
		if (!name || !rest.length || (rest.at[0] != ',' && rest.at[0] != ':'))
			return err_set(err, ERR_INPUT, "bad source route");
		bool is_last = rest.at[0] == ':';
		rest = str_skip(rest, 1);
		if (is_last) {
			ret->has_route = true;
			*text = rest;
			return 0;
		}
	}
	return rest.at == text->at ? 0 : err_set(err, ERR_INPUT, "bad source route");
}

int smtp_address_parse_path(struct str *text, unsigned allow, struct smtp_address *ret,
	struct err *err)
{
	struct str rest = *text;
	struct smtp_address a = { .is_ascii = true };
	if (!rest.length || rest.at[0] != '<')
		return err_set(err, ERR_INPUT, "an address stands between < and >");
	rest = str_skip(rest, 1);
	if (rest.length && rest.at[0] == '>') {
		if (!(allow & SMTP_ADDRESS_ALLOW_NULL))
			return err_set(err, ERR_INPUT, "an empty address is not allowed here");
		a.text = a.local = a.domain = str_head(rest, 0);
	} else if (skip_route(&rest, &a, err) != 0 || take_mailbox(&rest, allow, &a, err) != 0) {
		return -1;
	}
	if (!rest.length || rest.at[0] != '>')
		return err_set(err, ERR_INPUT, "bad address, or \">\" is missing");
	*text = str_skip(rest, 1);
	*ret = a;
	return 0;
}

int smtp_address_parse(struct str text, struct smtp_address *ret, struct err *err)
{
	struct str rest = text;
	struct smtp_address a = { .is_ascii = true };
	if (take_mailbox(&rest, 0, &a, err) != 0)
		return -1;
	if (rest.length)
		return err_set(err, ERR_INPUT, "something stands behind the address");
	*ret = a;
	return 0;
}

/* ---- what a local part may hide ---------------------------------------------------------------- */

struct str smtp_address_unquote(struct str local, char *into)
{
	size_t used = 0;
	bool is_quoted = local.length && local.at[0] == '"';
	size_t end = is_quoted ? local.length - 1 : local.length;
	for (size_t i = is_quoted ? 1 : 0; i < end && used < SMTP_ADDRESS_LOCAL_BYTES; i++) {
		if (is_quoted && local.at[i] == '\\' && i + 1 < end)
			i++;
		into[used++] = local.at[i];
	}
	return str_from(into, used);
}

static bool is_router(char c)
{
	return c == '%' || c == '!' || c == '@';
}

bool smtp_address_next_hidden_domain(struct str unquoted, size_t *cursor, struct str *ret_domain)
{
	size_t i = *cursor;
	while (i < unquoted.length && !is_router(unquoted.at[i]))
		i++;
	if (i == unquoted.length)
		return false;
	*cursor = i + 1;
	size_t begin = i, end = i;
	if (unquoted.at[i] == '!') {
		while (begin > 0 && !is_router(unquoted.at[begin - 1]))
			begin--;
	} else {
		begin = end = i + 1;
		while (end < unquoted.length && !is_router(unquoted.at[end]))
			end++;
	}
	*ret_domain = str_from(unquoted.at + begin, end - begin);
	return true;
}
