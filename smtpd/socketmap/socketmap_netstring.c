#include "smtpd/socketmap/socketmap_netstring.h"

#include <stdbool.h>
#include <stdio.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_INPUT, "this is no netstring: %s", why);
}

int socketmap_netstring_split(struct str in, size_t most, struct str *ret_payload,
	size_t *ret_used, struct err *err)
{
	size_t digits = 0, length = 0;
	for (; digits < in.length && is_digit(in.at[digits]); digits++) {
		if (digits == 1 && in.at[0] == '0')
			return refuse(err, "its length begins with a zero");
		length = length * 10 + (size_t)(in.at[digits] - '0');
		if (length > most)
			return err_set(err, ERR_LIMIT, "a request of more than %zu bytes", most);
	}
	if (digits == in.length)
		return 0;
	if (digits == 0)
		return refuse(err, "it does not begin with a length");
	if (in.at[digits] != ':')
		return refuse(err, "there is no colon behind its length");
	size_t end = digits + 1 + length;
	if (end >= in.length)
		return 0;
	if (in.at[end] != ',')
		return refuse(err, "there is no comma at its end");
	*ret_payload = str_from(in.at + digits + 1, length);
	*ret_used = end + 1;
	return 1;
}

void socketmap_netstring_write(struct buf *into, struct str payload)
{
	char length[24];
	int digits = snprintf(length, sizeof(length), "%zu:", payload.length);
	char *at = buf_reserve(into, (size_t)digits + payload.length + 1);
	memcpy(at, length, (size_t)digits);
	if (payload.length)
		memcpy(at + digits, payload.at, payload.length);
	at[(size_t)digits + payload.length] = ',';
	buf_added(into, (size_t)digits + payload.length + 1);
}
