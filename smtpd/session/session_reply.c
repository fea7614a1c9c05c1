#include "smtpd/session/session_reply.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t put(char *line, size_t used, const char *text)
{
	while (*text && used < SESSION_REPLY_BYTES - 2) {
		char c = *text++;
		line[used++] = c >= ' ' && c <= '~' ? c : '?';
	}
	return used;
}

size_t session_reply_format(char *line, int code, const char *enhanced, const char *text)
{
	assert(code >= 200 && code <= 599);
	size_t used = 0;
	line[used++] = (char)('0' + code / 100);
	line[used++] = (char)('0' + code / 10 % 10);
	line[used++] = (char)('0' + code % 10);
	line[used++] = ' ';
	if (enhanced && *enhanced) {
		used = put(line, used, enhanced);
		line[used++] = ' ';
	}
	used = put(line, used, text);
	line[used++] = '\r';
	line[used++] = '\n';
	return used;
}

bool session_reply_refuse(struct session_refusal *ret, int code, const char *enhanced,
	const char *format, ...)
{
	va_list args;
	ret->code = code;
	str_copy(str_of(enhanced), ret->enhanced, sizeof(ret->enhanced));
	va_start(args, format);
	vsnprintf(ret->text, sizeof(ret->text), format, args);
	va_end(args);
	return false;
}
