/* What goes over the wire of a message, and words that stay one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtpd/relay/relay_body.h"
#include "smtpd/relay/relay_outcome.h"

static const struct {
	const char *content;
	const char *data; /* with dots */
	const char *bdat;
	unsigned mended;
} rows[] = {
	{ "", ".\r\n", "", 0 },
	{ "a\r\n", "a\r\n.\r\n", "a\r\n", 0 },
	{ "a", "a\r\n.\r\n", "a", 0 },
	{ ".\r\n", "..\r\n.\r\n", ".\r\n", 0 },
	{ "..a\r\n.b\r\nc.\r\n", "...a\r\n..b\r\nc.\r\n.\r\n", "..a\r\n.b\r\nc.\r\n", 0 },
	{ "\r\n.\r\n\r\n", "\r\n..\r\n\r\n.\r\n", "\r\n.\r\n\r\n", 0 },
	/* what the spool never holds */
	{ "a\nb\r\n", "a b\r\n.\r\n", "a b\r\n", 1 },
	{ "a\rb\r\n", "a b\r\n.\r\n", "a b\r\n", 1 },
	{ "\n.\r\n", " .\r\n.\r\n", " .\r\n", 1 },
	{ "x\r\n.\n\r\n", "x\r\n.. \r\n.\r\n", "x\r\n. \r\n", 1 },
	{ "a\r\r\n", "a \r\n.\r\n", "a \r\n", 1 },
	{ "a\n\r", "a  \r\n.\r\n", "a  ", 2 },
	{ "\r", " \r\n.\r\n", " ", 1 },
	{ "x\r\n\n.\r\n", "x\r\n .\r\n.\r\n", "x\r\n .\r\n", 1 },
};

static void encode(const char *content, size_t piece, size_t most, bool doubles_dots,
	struct relay_body *b, struct buf *ret)
{
	struct str rest = str_of(content), span;
	bool is_ended = false;
	relay_body_begin(b, doubles_dots);
	buf_clear(ret);
	for (;;) {
		if (relay_body_next(b, most, &span)) {
			assert_in_range(span.length, 1, most);
			buf_append_str(ret, span);
		} else if (rest.length > 0) {
			size_t length = rest.length < piece ? rest.length : piece;
			relay_body_give(b, str_head(rest, length));
			rest = str_skip(rest, length);
		} else if (!is_ended) {
			relay_body_give_end(b);
			is_ended = true;
		} else {
			return;
		}
	}
}

static void nothing_onward_has_a_lone_cr_or_lf(void **state)
{
	struct relay_body b = { 0 };
	struct buf out = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 1; piece < 8; piece++) {
			for (size_t most = 1; most < 9; most += 7) {
				encode(rows[i].content, piece, most, true, &b, &out);
				assert_string_equal(buf_text(&out), rows[i].data);
				assert_int_equal(b.mended_count, rows[i].mended);
				encode(rows[i].content, piece, most, false, &b, &out);
				assert_string_equal(buf_text(&out), rows[i].bdat);
				assert_int_equal(out.length, strlen(rows[i].content));
			}
		}
	}
	relay_body_clear(&b);
	buf_release(&out);
}

static void header_and_body_are_told_apart(void **state)
{
	static const struct {
		const char *text;
		bool is_ascii;
	} headers[] = {
		{ "Subject: a\r\n\r\n\xc3\xbc\r\n", true }, { "Subject: \xc3\xbc\r\n\r\n", false },
		{ "\r\n\xc3\xbc", true }, { "", true }, { "a\r\nb: \xff", false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		for (size_t piece = 1; piece < 9; piece++) {
			struct str rest = str_of(headers[i].text);
			size_t line_bytes = 0;
			bool is_over = false, is_ascii = true;
			while (rest.length > 0 && is_ascii) {
				size_t length = rest.length < piece ? rest.length : piece;
				is_ascii = relay_body_header_is_ascii(str_head(rest, length),
					&line_bytes, &is_over);
				rest = str_skip(rest, length);
			}
			assert_int_equal(is_ascii, headers[i].is_ascii);
		}
	}
}

static void words_of_peers_become_one_printable_line(void **state)
{
	static const struct {
		const char *words, *clean;
	} said[] = {
		{ "ok", "ok" }, { "  a  b\t\tc \n", "a b c" }, { "a\r\nb", "a b" },
		{ "a\x01\x1b[31mb", "a??[31mb" }, { "\x7f", "?" }, { "\xc3\xbc", "\xc3\xbc" },
		{ "\xc3", "?" }, { "\xff\xfe", "??" }, { "\xc2\x85x", "?x" }, { "", "" },
		{ "\xe2\x82\xac", "\xe2\x82\xac" }, { "\xed\xa0\x80", "???" },
	};
	char text[64], small[4];
	(void)state;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		relay_outcome_clean(str_of(said[i].words), text, sizeof(text));
		assert_string_equal(text, said[i].clean);
	}
	relay_outcome_clean(STR("ab\xc3\xbc"), small, sizeof(small)); /* no half character */
	assert_string_equal(small, "ab");
	relay_outcome_clean(STR("abcdef"), small, sizeof(small));
	assert_string_equal(small, "abc");
}

static void replies_become_outcomes_of_their_class(void **state)
{
	static const struct {
		const char *reply, *enhanced;
		enum relay_outcome_kind kind;
	} replies[] = {
		{ "250 2.1.5 ok\r\n", "2.1.5", RELAY_DELIVERED },
		{ "250 ok\r\n", "2.0.0", RELAY_DELIVERED },
		{ "451 4.7.1 later\r\n", "4.7.1", RELAY_DEFERRED },
		{ "354 go\r\n", "4.0.0", RELAY_DEFERRED },
		{ "550 no\r\n", "5.0.0", RELAY_FAILED },
		{ "550 4.1.1 confused\r\n", "5.0.0", RELAY_FAILED },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct smtp_reply r = { 0 };
		struct relay_outcome o = { .recipient = 7 };
		size_t used;
		smtp_reply_feed(&r, str_of(replies[i].reply), &used, NULL);
		relay_outcome_from_reply(&o, &r, "mx");
		assert_int_equal(o.kind, replies[i].kind);
		assert_string_equal(o.enhanced, replies[i].enhanced);
		assert_int_equal(o.recipient, 7);
		assert_true(o.is_smtp_reply);
		relay_outcome_soften(&o);
		assert_int_equal(o.kind, RELAY_DEFERRED);
		assert_int_equal(o.enhanced[0], '4');
		smtp_reply_release(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_onward_has_a_lone_cr_or_lf),
		cmocka_unit_test(header_and_body_are_told_apart),
		cmocka_unit_test(words_of_peers_become_one_printable_line),
		cmocka_unit_test(replies_become_outcomes_of_their_class),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
