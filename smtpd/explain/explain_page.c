#include "smtpd/explain/explain_page.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "smtpd/control/control_print.h"

enum { ITEM_INDENT = 4, LABEL_COLUMNS = 15, LEAST_WIDTH = 40 };

static const char *colour_of(const struct explain_page *page, enum explain_mood mood)
{
	static const char *const codes[] = {
		[EXPLAIN_PLAIN] = "\033[1m",
		[EXPLAIN_GOOD] = "\033[1;32m",
		[EXPLAIN_BAD] = "\033[1;31m",
		[EXPLAIN_DOUBTFUL] = "\033[1;33m",
	};
	return page->has_colour ? codes[mood] : "";
}

/* Columns of a word: UTF-8's continuation bytes take none. */
static unsigned columns(struct str word)
{
	unsigned count = 0;
	for (size_t i = 0; i < word.length; i++)
		count += ((unsigned char)word.at[i] & 0xc0) != 0x80;
	return count;
}

/* Words behind `at` columns that are there already, following lines under column `hang`. */
static void wrap(struct explain_page *page, unsigned at, unsigned hang, struct str text)
{
	unsigned width = page->width ? page->width : 80;
	bool is_first = true;
	struct str word;
	if (width < LEAST_WIDTH)
		width = LEAST_WIDTH;
	while (text.length > 0 && str_split(&text, ' ', &word)) {
		unsigned size = columns(word);
		if (!is_first && at + 1 + size > width) {
			buf_printf(page->to, "\n%*s", (int)hang, "");
			at = hang;
		} else if (!is_first) {
			buf_append_byte(page->to, ' ');
			at++;
		}
		buf_append_str(page->to, word);
		at += size;
		is_first = false;
	}
}

/* One printable line; gives. */
static struct buf safe_words(const char *format, va_list args)
{
	struct buf raw = { 0 }, safe = { 0 };
	buf_vprintf(&raw, format, args);
	control_print_safe(&safe, buf_str(&raw));
	buf_release(&raw);
	return safe;
}

static void paragraph(struct explain_page *page, enum explain_mood mood, unsigned indent,
	const char *format, va_list args)
{
	struct buf words = safe_words(format, args);
	const char *colour = colour_of(page, mood);
	buf_printf(page->to, "%*s%s", (int)indent, "", colour);
	wrap(page, indent, indent, buf_str(&words));
	buf_append_text(page->to, colour[0] ? "\033[0m\n" : "\n");
	buf_release(&words);
}

void explain_page_verdict(struct explain_page *page, enum explain_mood mood, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	paragraph(page, mood, 0, format, args);
	va_end(args);
}

void explain_page_heading(struct explain_page *page, const char *format, ...)
{
	va_list args;
	buf_append_byte(page->to, '\n');
	va_start(args, format);
	paragraph(page, EXPLAIN_PLAIN, 0, format, args);
	va_end(args);
}

void explain_page_line(struct explain_page *page, enum explain_mood mood, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	paragraph(page, mood, 2, format, args);
	va_end(args);
}

static void item(struct explain_page *page, const char *colour, const char *label,
	const char *format, va_list args)
{
	struct buf words = safe_words(format, args);
	unsigned hang = ITEM_INDENT + LABEL_COLUMNS;
	buf_printf(page->to, "%*s%-*s%s", ITEM_INDENT, "", LABEL_COLUMNS, label, colour);
	wrap(page, hang, hang, buf_str(&words));
	buf_append_text(page->to, colour[0] ? "\033[0m\n" : "\n");
	buf_release(&words);
}

void explain_page_item(struct explain_page *page, const char *label, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	item(page, "", label, format, args);
	va_end(args);
}

void explain_page_mood_item(struct explain_page *page, enum explain_mood mood, const char *label,
	const char *format, ...)
{
	va_list args;
	va_start(args, format);
	item(page, colour_of(page, mood), label, format, args);
	va_end(args);
}

const char *explain_duration(int64_t seconds, char text[32])
{
	struct buf words = { 0 };
	control_print_duration(&words, seconds);
	snprintf(text, 32, "%s", buf_text(&words));
	buf_release(&words);
	return text;
}

const char *explain_time(int64_t at_s, char text[32])
{
	struct tm utc;
	time_t at = (time_t)at_s;
	if (!gmtime_r(&at, &utc) || strftime(text, 32, "%Y-%m-%d %H:%M:%SZ", &utc) == 0)
		snprintf(text, 32, "?");
	return text;
}
