#include "libtlsio/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, enum err_kind kind, const char *format, ...)
{
	if (err) {
		va_list args;
		va_start(args, format);
		err->kind = kind;
		vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
	}
	return -1;
}

int err_system(struct err *err, int errno_value, const char *format, ...)
{
	if (err) {
		va_list args;
		va_start(args, format);
		err->kind = ERR_SYSTEM;
		int used = vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
		if (used >= 0 && (size_t)used < sizeof(err->text))
			snprintf(err->text + used, sizeof(err->text) - (size_t)used, ": %s",
				strerror(errno_value));
	}
	return -1;
}

int err_prefix(struct err *err, const char *format, ...)
{
	if (err) {
		char old[sizeof(err->text)];
		memcpy(old, err->text, sizeof(old));
		va_list args;
		va_start(args, format);
		int used = vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
		if (used >= 0 && (size_t)used < sizeof(err->text))
			snprintf(err->text + used, sizeof(err->text) - (size_t)used, "%s", old);
	}
	return -1;
}

void err_clear(struct err *err)
{
	if (err) {
		err->kind = ERR_NONE;
		err->text[0] = '\0';
	}
}

const char *err_kind_name(enum err_kind kind)
{
	switch (kind) {
	case ERR_NONE:
		return "none";
	case ERR_INPUT:
		return "input";
	case ERR_PEER:
		return "peer";
	case ERR_TLS:
		return "tls";
	case ERR_DNS:
		return "dns";
	case ERR_SYSTEM:
		return "system";
	case ERR_LIMIT:
		return "limit";
	}
	return "unknown";
}
