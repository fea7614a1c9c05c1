#include "smtpd/control/control_protocol.h"

#include <assert.h>
#include <stdio.h>

#define GREETING "postern1"

/* ---- texts ---------------------------------------------------------------------------------------- */

static bool is_plain(unsigned char c)
{
	return c > ' ' && c != '%' && c != 0x7f;
}

static void put_encoded(struct buf *to, struct str text)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];
		if (is_plain(c)) {
			buf_append_byte(to, (char)c);
			continue;
		}
		buf_append(to, (char[]){ '%', digits[c >> 4], digits[c & 15] }, 3);
	}
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place (it only gets shorter). False when it is not what put_encoded makes. */
static bool decode(char *text, size_t *length)
{
	size_t out = 0;
	for (size_t i = 0; i < *length; i++) {
		unsigned char c = (unsigned char)text[i];
		if (!is_plain(c) && c != '%')
			return false;
		if (c == '%') {
			if (*length - i < 3)
				return false;
			int high = digit(text[i + 1]), low = digit(text[i + 2]);
			if (high < 0 || low < 0)
				return false;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		}
		text[out++] = (char)c;
	}
	*length = out;
	return true;
}

/* ---- requests ------------------------------------------------------------------------------------- */

bool control_request_format(const char *const words[], size_t count, struct buf *ret)
{
	size_t start = ret->length;
	buf_append_text(ret, GREETING);
	for (size_t i = 0; i < count; i++) {
		buf_append_byte(ret, ' ');
		put_encoded(ret, str_of(words[i]));
	}
	buf_append_byte(ret, '\n');
	return count <= CONTROL_WORDS_MOST && ret->length - start <= CONTROL_REQUEST_BYTES;
}

int control_request_parse(struct str line, struct control_request *ret, struct err *err)
{
	struct str word, rest = line;
	size_t used = 0;
	ret->count = 0;
	if (line.length > CONTROL_REQUEST_BYTES)
		return err_set(err, ERR_LIMIT, "the request is too long");
	if (!str_split(&rest, ' ', &word) || !str_equal(word, STR(GREETING)))
		return err_set(err, ERR_INPUT, "this is no request of ours (another version?)");
	while (str_split(&rest, ' ', &word)) {
		if (ret->count == CONTROL_WORDS_MOST)
			return err_set(err, ERR_INPUT, "the request has too many words");
		char *at = ret->room + used;
		size_t length = word.length;
		memcpy(at, word.at, length);
		if (length == 0 || !decode(at, &length) || memchr(at, 0, length))
			return err_set(err, ERR_INPUT, "the request is malformed");
		at[length] = '\0';
		ret->words[ret->count++] = str_from(at, length);
		used += length + 1;
	}
	return ret->count ? 0 : err_set(err, ERR_INPUT, "the request is empty");
}

/* ---- answers, written ------------------------------------------------------------------------------ */

void control_put_begin(struct buf *to, const char *name)
{
	buf_append_text(to, name);
}

void control_put_text(struct buf *to, const char *key, struct str value)
{
	buf_append_byte(to, ' ');
	buf_append_text(to, key);
	buf_append_byte(to, '=');
	put_encoded(to, value);
}

void control_put_number(struct buf *to, const char *key, int64_t value)
{
	buf_printf(to, " %s:%lld", key, (long long)value);
}

void control_put_end(struct buf *to)
{
	buf_append_byte(to, '\n');
}

void control_put_data(struct buf *to, struct str bytes)
{
	assert(bytes.length > 0 && bytes.length <= CONTROL_DATA_BYTES);
	buf_printf(to, "+%zu\n", bytes.length);
	buf_append_str(to, bytes);
}

void control_put_ok(struct buf *to)
{
	buf_append_text(to, "ok\n");
}

void control_put_error(struct buf *to, struct str text)
{
	buf_append_text(to, "error ");
	put_encoded(to, text);
	buf_append_byte(to, '\n');
}

/* ---- answers, read --------------------------------------------------------------------------------- */

static const struct control_field *find(const struct control_record *record, const char *key)
{
	for (size_t i = 0; i < record->count; i++)
		if (str_equal(record->fields[i].key, str_of(key)))
			return &record->fields[i];
	return NULL;
}

struct str control_record_text(const struct control_record *record, const char *key)
{
	const struct control_field *field = find(record, key);
	return field ? field->text : STR("");
}

int64_t control_record_number(const struct control_record *record, const char *key)
{
	const struct control_field *field = find(record, key);
	return field && field->is_number ? field->number : 0;
}

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (!((s.at[i] >= 'a' && s.at[i] <= 'z') || s.at[i] == '_'))
			return false;
	return s.length > 0;
}

static bool parse_number(struct str text, int64_t *ret)
{
	uint64_t value;
	bool is_negative = text.length && text.at[0] == '-';
	if (!str_to_u64(is_negative ? str_skip(text, 1) : text, INT64_MAX, &value))
		return false;
	*ret = is_negative ? -(int64_t)value : (int64_t)value;
	return true;
}

static bool parse_field(struct str text, struct control_field *ret)
{
	size_t at = 0;
	while (at < text.length && text.at[at] != '=' && text.at[at] != ':')
		at++;
	if (at == text.length)
		return false;
	ret->key = str_head(text, at);
	ret->is_number = text.at[at] == ':';
	ret->number = 0;
	ret->text = str_skip(text, at + 1);
	if (!is_word(ret->key))
		return false;
	if (ret->is_number)
		return parse_number(ret->text, &ret->number);
	/* the bytes are the reader's own */
	return decode((char *)(uintptr_t)ret->text.at, &ret->text.length);
}

static bool parse_record(struct str line, struct control_record *ret)
{
	struct str word;
	ret->count = 0;
	if (!str_split(&line, ' ', &ret->name) || !is_word(ret->name))
		return false;
	while (str_split(&line, ' ', &word)) {
		if (ret->count == CONTROL_FIELDS_MOST ||
			!parse_field(word, &ret->fields[ret->count]))
			return false;
		ret->count++;
	}
	return true;
}

void control_reader_clear(struct control_reader *r)
{
	buf_release(&r->input);
	*r = (struct control_reader){ 0 };
}

void control_reader_feed(struct control_reader *r, struct str bytes)
{
	buf_consume(&r->input, r->used);
	r->used = 0;
	buf_append_str(&r->input, bytes);
}

static enum control_item give_data(struct control_reader *r)
{
	struct str in = buf_str(&r->input);
	size_t length = in.length < r->data_left ? in.length : r->data_left;
	if (length == 0)
		return CONTROL_MORE;
	r->data = str_head(in, length);
	r->data_left -= length;
	r->used = length;
	return CONTROL_DATA;
}

static enum control_item end_with(struct control_reader *r, enum control_item item)
{
	r->is_over = true;
	return item;
}

static enum control_item give_line(struct control_reader *r, struct str line)
{
	uint64_t length;
	if (str_equal(line, STR("ok")))
		return end_with(r, CONTROL_OK);
	if (str_starts(line, STR("error "))) {
		r->data = str_skip(line, 6);
		bool is_good = decode((char *)(uintptr_t)r->data.at, &r->data.length);
		return end_with(r, is_good ? CONTROL_ERROR : CONTROL_MALFORMED);
	}
	if (line.length && line.at[0] == '+') {
		if (!str_to_u64(str_skip(line, 1), CONTROL_DATA_BYTES, &length) || length == 0)
			return end_with(r, CONTROL_MALFORMED);
		buf_consume(&r->input, r->used);
		r->used = 0;
		r->data_left = (size_t)length;
		return give_data(r);
	}
	if (parse_record(line, &r->record))
		return CONTROL_RECORD;
	return end_with(r, CONTROL_MALFORMED);
}

enum control_item control_reader_next(struct control_reader *r)
{
	assert(!r->is_over);
	buf_consume(&r->input, r->used);
	r->used = 0;
	if (r->data_left)
		return give_data(r);
	struct str in = buf_str(&r->input);
	size_t end = str_find(in, '\n');
	if (end > CONTROL_LINE_BYTES)
		return end_with(r, CONTROL_MALFORMED);
	if (end == in.length)
		return CONTROL_MORE;
	r->used = end + 1;
	return give_line(r, str_head(in, end));
}
