#include "smtpd/explain/explain_json.h"

#include <stdlib.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "smtpd/control/control_print.h"

static void begin(struct explain_json *j, const char *key)
{
	if (j->has_before)
		buf_append_byte(j->to, ',');
	j->has_before = true;
	if (key) {
		control_print_json_text(j->to, str_of(key));
		buf_append_byte(j->to, ':');
	}
}

void explain_json_open(struct explain_json *j, const char *key, char bracket)
{
	begin(j, key);
	buf_append_byte(j->to, bracket);
	j->has_before = false;
}

void explain_json_close(struct explain_json *j, char bracket)
{
	buf_append_byte(j->to, bracket);
	j->has_before = true;
}

void explain_json_bytes(struct explain_json *j, const char *key, struct str text)
{
	begin(j, key);
	control_print_json_text(j->to, text);
}

void explain_json_text(struct explain_json *j, const char *key, const char *text)
{
	if (text)
		explain_json_bytes(j, key, str_of(text));
	else
		explain_json_null(j, key);
}

void explain_json_number(struct explain_json *j, const char *key, int64_t number)
{
	begin(j, key);
	buf_printf(j->to, "%lld", (long long)number);
}

void explain_json_bool(struct explain_json *j, const char *key, bool is_true)
{
	begin(j, key);
	buf_append_text(j->to, is_true ? "true" : "false");
}

void explain_json_null(struct explain_json *j, const char *key)
{
	begin(j, key);
	buf_append_text(j->to, "null");
}

void explain_json_texts(struct explain_json *j, const char *key, char *const *texts, size_t count)
{
	explain_json_open(j, key, '[');
	for (size_t i = 0; i < count; i++)
		explain_json_text(j, NULL, texts[i]);
	explain_json_close(j, ']');
}

void explain_json_hex(struct explain_json *j, const char *key, const void *bytes, size_t length)
{
	char *text = mem_alloc(2 * length + 1);
	codec_hex(bytes, length, text);
	explain_json_text(j, key, text);
	free(text);
}
