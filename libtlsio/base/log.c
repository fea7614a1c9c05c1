#include "libtlsio/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4000
/* Behind this no value goes on: there is room for one more escape and the closing quote. */
#define VALUE_MAX_BYTES (LINE_MAX_BYTES - 8)
/* What a key with its separators and the shortest value needs. */
#define MEMBER_LEAST_BYTES 40

static struct {
	const char *program;
	enum log_target target;
	enum log_format format;
	enum log_level least;
	bool is_journal;
	void (*sink)(void *ctx, const char *line);
	void *sink_ctx;
} state = { .program = "postern", .least = LOG_LEVEL_INFO };

static const char *const level_names[] = { "error", "warning", "info", "debug" };
static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_open(const char *program, enum log_target target, enum log_format format,
	enum log_level least)
{
	state.program = program;
	state.target = target;
	state.format = format;
	state.least = least;
	state.is_journal = target == LOG_TARGET_STDERR && getenv("JOURNAL_STREAM") != NULL;
	if (target == LOG_TARGET_SYSLOG)
		openlog(program, LOG_PID | LOG_NDELAY, LOG_MAIL);
}

void log_capture(void (*sink)(void *ctx, const char *line), void *ctx)
{
	state.sink = sink;
	state.sink_ctx = ctx;
}

static void add(struct log_line *l, const char *bytes, size_t length)
{
	size_t room = LINE_MAX_BYTES - l->used;
	if (length > room)
		length = room;
	memcpy(l->text + l->used, bytes, length);
	l->used = (uint16_t)(l->used + length);
}

static void add_text(struct log_line *l, const char *text)
{
	add(l, text, strlen(text));
}

/* What a terminal obeys: C0, DEL, and C1 (U+0080 to U+009F) in UTF-8 or as a byte of its own. */
static bool is_control(struct str v, size_t i)
{
	unsigned char c = (unsigned char)v.at[i];
	if (c < 0x80 || c > 0x9f)
		return c < 0x20 || c == 0x7f;
	unsigned char before = i ? (unsigned char)v.at[i - 1] : 0;
	return before < 0x80 || before == 0xc2;
}

/* Quotes where needed; control bytes, quotes and backslashes escaped so that a value can never
 * end its line or its quotes. Invalid UTF-8 is left to the reader in text; JSON gets \u00xx. */
static void add_value(struct log_line *l, struct str v, bool is_json)
{
	bool quote = is_json || v.length == 0;
	for (size_t i = 0; i < v.length && !quote; i++)
		quote = v.at[i] == ' ' || v.at[i] == '"' || v.at[i] == '=' || v.at[i] == '\\' ||
			is_control(v, i);
	if (quote)
		add(l, "\"", 1);
	for (size_t i = 0; i < v.length && l->used < VALUE_MAX_BYTES; i++) {
		unsigned char c = (unsigned char)v.at[i];
		char escaped[8];
		if (c == '"' || c == '\\')
			add(l, (char[]){ '\\', (char)c }, 2);
		else if (is_control(v, i) || (is_json && c > 0x7f)) {
			snprintf(escaped, sizeof(escaped), is_json ? "\\u%04x" : "\\x%02x", c);
			add_text(l, escaped);
		} else
			add(l, (char[]){ (char)c }, 1);
	}
	if (quote)
		add(l, "\"", 1);
}

/* False when the line is full: a member is then left out whole, so that JSON stays JSON. */
static bool add_key(struct log_line *l, const char *key)
{
	if (l->is_off || l->used + strlen(key) + MEMBER_LEAST_BYTES > LINE_MAX_BYTES)
		return false;
	if (state.format == LOG_FORMAT_JSON) {
		add_text(l, l->text[l->used - 1] == '{' ? "\"" : ",\"");
		add_text(l, key);
		add_text(l, "\":");
	} else {
		add_text(l, " ");
		add_text(l, key);
		add_text(l, "=");
	}
	return true;
}

static void add_time(struct log_line *l)
{
	struct timespec now;
	struct tm utc;
	char text[48];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + used, sizeof(text) - used, ".%03ldZ", now.tv_nsec / 1000000);
	add_text(l, text);
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	l->used = 0;
	l->level = level;
	l->is_off = level > state.least;
	if (l->is_off)
		return;
	if (state.format == LOG_FORMAT_JSON) {
		add_text(l, "{\"time\":\"");
		add_time(l);
		add_text(l, "\",\"level\":\"");
		add_text(l, level_names[level]);
		add_text(l, "\",\"program\":\"");
		add_text(l, state.program);
		add_text(l, "\",\"event\":\"");
		add_text(l, event);
		add_text(l, "\"");
		return;
	}
	/* syslog and the journal add time and program themselves */
	if (state.target == LOG_TARGET_STDERR && !state.is_journal) {
		add_time(l);
		add_text(l, " ");
		add_text(l, state.program);
		add_text(l, " ");
		add_text(l, level_names[level]);
		add_text(l, " ");
	}
	add_text(l, event);
}

void log_str(struct log_line *l, const char *key, struct str value)
{
	if (add_key(l, key))
		add_value(l, value, state.format == LOG_FORMAT_JSON);
}

void log_text(struct log_line *l, const char *key, const char *value)
{
	if (value)
		log_str(l, key, str_of(value));
}

void log_format(struct log_line *l, const char *key, const char *format, ...)
{
	char text[1024];
	if (l->is_off)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_text(l, key, text);
}

void log_number(struct log_line *l, const char *key, int64_t value)
{
	char text[24];
	if (!add_key(l, key))
		return;
	snprintf(text, sizeof(text), "%lld", (long long)value);
	add_text(l, text);
}

void log_end(struct log_line *l)
{
	if (l->is_off)
		return;
	if (state.format == LOG_FORMAT_JSON)
		l->text[l->used++] = '}';
	l->text[l->used] = '\0';
	if (state.sink) {
		state.sink(state.sink_ctx, l->text);
		return;
	}
	if (state.target == LOG_TARGET_SYSLOG) {
		syslog(priorities[l->level], "%s", l->text);
		return;
	}
	l->text[l->used++] = '\n';
	char prefix[8] = "";
	struct str line = str_from(l->text, l->used);
	char journal[sizeof(l->text) + 8];
	if (state.is_journal) {
		snprintf(prefix, sizeof(prefix), "<%d>", priorities[l->level]);
		memcpy(journal, prefix, strlen(prefix));
		memcpy(journal + strlen(prefix), l->text, l->used);
		line = str_from(journal, strlen(prefix) + l->used);
	}
	if (write(STDERR_FILENO, line.at, line.length) < 0) {
		/* nowhere left to say so */
	}
}

void log_say(enum log_level level, const char *event, const char *format, ...)
{
	struct log_line l;
	char text[1024];
	log_begin(&l, level, event);
	if (l.is_off)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_text(&l, "reason", text);
	log_end(&l);
}
