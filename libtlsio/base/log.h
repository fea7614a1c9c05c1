/* log: one line per fact.
 *
 * For:     the edges only: sessions, relays, programs. Library code returns errors instead.
 * Promise: one write(2) per line; values are quoted and control bytes escaped, so no peer can
 *          forge a line; lines are cut at 4,000 bytes.
 *
 * Text:    time level event key=value key="value with blanks"
 * JSON:    {"time":"...","level":"info","event":"...","key":"value",...}
 * Journal: to stderr the line carries the <N> priority prefix when JOURNAL_STREAM is set.
 */
#ifndef LIBTLSIO_BASE_LOG_H
#define LIBTLSIO_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

/* program: the name in every line, e.g. "posternd"; borrowed for ever. Until called: text, info,
 * stderr. */
void log_open(const char *program, enum log_target target, enum log_format format,
	enum log_level least);
/* Test hook and fake: every finished line (without newline) goes there instead; NULL restores. */
void log_capture(void (*sink)(void *ctx, const char *line), void *ctx);

/* One fact, built on the stack:
 *	struct log_line l;
 *	log_begin(&l, LOG_LEVEL_INFO, "session-end");
 *	log_text(&l, "client", address);
 *	log_number(&l, "messages", n);
 *	log_end(&l);
 * Cheap when the level is off. */
struct log_line {
	bool is_off;
	uint16_t used;
	enum log_level level;
	char text[4096];
};

void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_str(struct log_line *l, const char *key, struct str value);
void log_text(struct log_line *l, const char *key, const char *value); /* NULL: key left out */
void log_format(struct log_line *l, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void log_number(struct log_line *l, const char *key, int64_t value);
void log_end(struct log_line *l);

/* The short form: event and one reason="...". */
void log_say(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
