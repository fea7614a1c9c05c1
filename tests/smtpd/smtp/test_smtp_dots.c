#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "smtpd/smtp/smtp_dots.h"

#define LINE 1000

/* ---- the decoder, in pieces ------------------------------------------------------------------- */

struct outcome {
	struct buf content;
	bool is_ended;
	size_t used; /* of the input, when ended */
	unsigned faults;
	uint64_t content_bytes;
};

/* Every piece gets a heap block of its own, so that reading beyond it is seen. */
static void decode(struct str wire, size_t piece, bool is_normalising, uint64_t line,
	struct outcome *ret)
{
	struct smtp_dots_decoder d;
	*ret = (struct outcome){ 0 };
	smtp_dots_decoder_init(&d, SMTP_DOTS_DATA, is_normalising, line);
	for (size_t at = 0; at < wire.length && !ret->is_ended; at += piece) {
		size_t length = wire.length - at < piece ? wire.length - at : piece;
		char *copy = malloc(length);
		memcpy(copy, wire.at + at, length);
		struct str input = str_from(copy, length), span;
		enum smtp_dots_step step;
		while ((step = smtp_dots_decode(&d, &input, &span)) == SMTP_DOTS_SPAN) {
			assert_true(span.length > 0);
			buf_append_str(&ret->content, span);
		}
		ret->is_ended = step == SMTP_DOTS_END;
		ret->used = at + length - input.length;
		free(copy);
	}
	ret->faults = d.faults;
	ret->content_bytes = d.content_bytes;
	assert_int_equal(d.content_bytes, ret->content.length);
}

static void assert_content(struct outcome *o, struct str expected)
{
	assert_int_equal(o->content.length, expected.length);
	assert_memory_equal(buf_str(&o->content).at, expected.at, expected.length);
}

/* ---- the same by the letter, byte by byte ------------------------------------------------------- */

static bool ends_with(struct str s, const char *tail)
{
	size_t length = strlen(tail);
	return s.length >= length && !memcmp(s.at + s.length - length, tail, length);
}

/* Where a message ends: the first CR LF . CR LF, the first CR LF being the start of the message as
 * well. Returns the wire length up to there, 0 = no end. */
static size_t reference_end(struct str wire)
{
	if (wire.length >= 3 && !memcmp(wire.at, ".\r\n", 3))
		return 3;
	for (size_t i = 5; i <= wire.length; i++) {
		if (ends_with(str_head(wire, i), "\r\n.\r\n"))
			return i;
	}
	return 0;
}

static void reference_content(struct str wire, struct buf *ret)
{
	for (size_t i = 0; i < wire.length; i++) {
		bool is_start = i == 0 || (i >= 2 && wire.at[i - 1] == '\n' && wire.at[i - 2] == '\r');
		if (!(is_start && wire.at[i] == '.'))
			buf_append_byte(ret, wire.at[i]);
	}
}

static unsigned reference_faults(struct str wire)
{
	unsigned faults = 0;
	for (size_t i = 0; i < wire.length; i++) {
		bool is_crlf = i > 0 && wire.at[i - 1] == '\r';
		if (wire.at[i] == '\n' && !is_crlf)
			faults |= SMTP_DOTS_BARE_LF;
		if (wire.at[i] == '\r' && i + 1 < wire.length && wire.at[i + 1] != '\n')
			faults |= SMTP_DOTS_BARE_CR;
		if (wire.at[i] == '\0')
			faults |= SMTP_DOTS_NUL;
	}
	return faults;
}

/* ---- tests ------------------------------------------------------------------------------------ */

struct sample {
	struct str wire;
	struct str content;
	unsigned faults;
};

static const struct sample whole[] = {
	{ STR(".\r\n"), STR(""), 0 },
	{ STR("a\r\n.\r\n"), STR("a\r\n"), 0 },
	{ STR("..\r\n.\r\n"), STR(".\r\n"), 0 },
	{ STR("..a\r\n.b\r\n.\r\n"), STR(".a\r\nb\r\n"), 0 },
	{ STR("\r\n.\r\n"), STR("\r\n"), 0 },
	{ STR("a.b\r\n...\r\n.\r\n"), STR("a.b\r\n..\r\n"), 0 },
	{ STR("a\n\r\n.\r\n"), STR("a\n\r\n"), SMTP_DOTS_BARE_LF },
	{ STR("a\r\r\n.\r\n"), STR("a\r\r\n"), SMTP_DOTS_BARE_CR },
	{ STR("a\0b\r\n.\r\n"), STR("a\0b\r\n"), SMTP_DOTS_NUL },
};

/* What smugglers send in the hope that somebody takes it for an end. */
static const struct str never_ends[] = {
	STR("a\n.\nb"), STR("a\n.\r\nb"), STR("a\r\n.\nb"), STR("a\r.\rb"), STR("a\r\n.\rb"),
	STR("a\r.\r\nb"), STR("a\n.\rb"), STR("a\r\n.\r\r\nb"), STR("a\r\n.\0\r\nb"),
	STR("a\r\n. \r\nb"), STR("a\r\r\n.\r"), STR(".\n"), STR("\n.\r\n"), STR("\r.\r\n"),
	STR("a\r\n\0.\r\nb"), STR("a\n\n.\r\nb"), STR("a\r\n.\n\r\nb"), STR("."), STR(".\r"), STR(""),
};

static void finds_the_end_and_the_content(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct buf wire = { 0 };
		buf_append_str(&wire, whole[i].wire);
		buf_append_text(&wire, "QUIT\r\n");
		for (size_t piece = 1; piece <= wire.length; piece++) {
			struct outcome o;
			decode(buf_str(&wire), piece, false, LINE, &o);
			assert_true(o.is_ended);
			assert_int_equal(o.used, whole[i].wire.length);
			assert_int_equal(o.faults, whole[i].faults);
			assert_content(&o, whole[i].content);
			buf_release(&o.content);
		}
		buf_release(&wire);
	}
}

static void nothing_else_ends_a_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(never_ends) / sizeof(never_ends[0]); i++) {
		for (size_t piece = 1; piece <= never_ends[i].length; piece++) {
			for (int normalise = 0; normalise < 2; normalise++) {
				struct outcome o;
				decode(never_ends[i], piece, normalise, LINE, &o);
				assert_false(o.is_ended);
				buf_release(&o.content);
			}
		}
	}
}

static void normalising_makes_lines_and_no_faults(void **state)
{
	(void)state;
	static const struct sample samples[] = {
		{ STR("a\nb\r\n.\r\n"), STR("a\r\nb\r\n"), 0 },
		{ STR("a\rb\r\n.\r\n"), STR("a\r\nb\r\n"), 0 },
		{ STR("a\n.\nb\r\n.\r\n"), STR("a\r\n.\r\nb\r\n"), 0 },
		{ STR("a\n.\r\nb\r\n.\r\n"), STR("a\r\n.\r\nb\r\n"), 0 },
		{ STR("a\r\r\nb\r\n.\r\n"), STR("a\r\n\r\nb\r\n"), 0 },
		{ STR("a\r\n.\rb\r\n.\r\n"), STR("a\r\n\r\nb\r\n"), 0 },
		{ STR("a\n..b\r\n.\r\n"), STR("a\r\n..b\r\n"), 0 },
		{ STR("\r\r\r\n.\r\n"), STR("\r\n\r\n\r\n"), 0 },
	};
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		for (size_t piece = 1; piece <= samples[i].wire.length; piece++) {
			struct outcome o;
			decode(samples[i].wire, piece, true, LINE, &o);
			assert_true(o.is_ended);
			assert_int_equal(o.faults, 0);
			assert_content(&o, samples[i].content);
			buf_release(&o.content);
		}
	}
}

/* Small alphabets make the awkward sequences likely. */
static void agrees_with_the_letter_of_the_rfc(void **state)
{
	(void)state;
	static const char alphabet[] = { 'a', '.', '\r', '\n', '\r', '\n', '\0', 'b' };
	unsigned random = 20260101;
	for (int round = 0; round < 20000; round++) {
		char wire[200];
		size_t length = 1 + (random >> 8) % sizeof(wire);
		size_t letters = round % 3 == 0 ? 8 : 6;
		bool is_mostly_text = round % 2;
		for (size_t i = 0; i < length; i++) {
			random = random * 1103515245 + 12345;
			wire[i] = is_mostly_text && (random >> 16) % 8 ? 'x'
								       : alphabet[(random >> 20) % letters];
		}
		struct str s = str_from(wire, length);
		size_t end = reference_end(s);
		struct outcome o;
		decode(s, 1 + (random >> 12) % 90, false, LINE, &o);
		assert_int_equal(o.is_ended, end != 0);
		if (end) {
			struct buf content = { 0 };
			struct str before = str_head(s, end);
			assert_int_equal(o.used, end);
			assert_int_equal(o.faults, reference_faults(before));
			reference_content(str_head(before, end - 3), &content);
			assert_content(&o, buf_str(&content));
			buf_release(&content);
		}
		buf_release(&o.content);
	}
}

static void long_lines_are_seen_whatever_the_pieces(void **state)
{
	(void)state;
	static const size_t pieces[] = { 1, 7, 63, 64, 65, 500, 5000 };
	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
		for (size_t length = 298; length <= 299; length++) {
			struct buf wire = { 0 };
			buf_append_text(&wire, "short\r\n");
			memset(buf_reserve(&wire, length), 'x', length);
			buf_added(&wire, length);
			buf_append_text(&wire, "\r\nshort\r\n.\r\n");
			struct outcome o;
			decode(buf_str(&wire), pieces[p], false, 300, &o);
			assert_true(o.is_ended);
			assert_int_equal(o.faults, length + 2 > 300 ? SMTP_DOTS_LONG_LINE : 0);
			buf_release(&o.content);
			buf_release(&wire);
		}
	}
}

static void clean_text_comes_out_as_one_span(void **state)
{
	(void)state;
	static char text[64 * 1024];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : 'x';
	struct smtp_dots_decoder d;
	struct str input = str_from(text, sizeof(text)), span;
	smtp_dots_decoder_init(&d, SMTP_DOTS_DATA, false, LINE);
	assert_int_equal(smtp_dots_decode(&d, &input, &span), SMTP_DOTS_SPAN);
	assert_ptr_equal(span.at, text);
	assert_int_equal(span.length, sizeof(text));
	assert_int_equal(d.faults, 0);
}

static void chunks_keep_dots_and_complete_the_last_line(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		struct str out;
		unsigned faults;
		bool normalise;
	} samples[] = {
		{ STR("a\r\n.\r\n..b\r\n"), STR("a\r\n.\r\n..b\r\n"), 0, false },
		{ STR("a"), STR("a\r\n"), 0, false },
		{ STR(""), STR(""), 0, false },
		{ STR("a\r"), STR("a\r\n"), SMTP_DOTS_BARE_CR, false },
		{ STR("a\r"), STR("a\r\n"), 0, true },
		{ STR("a\n"), STR("a\r\n"), 0, true },
		{ STR("a\n"), STR("a\n"), SMTP_DOTS_BARE_LF, false },
		{ STR("."), STR(".\r\n"), 0, false },
	};
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct smtp_dots_decoder d;
		struct buf content = { 0 };
		struct str input = samples[i].in, span;
		smtp_dots_decoder_init(&d, SMTP_DOTS_CHUNK, samples[i].normalise, LINE);
		while (smtp_dots_decode(&d, &input, &span) == SMTP_DOTS_SPAN)
			buf_append_str(&content, span);
		buf_append_str(&content, smtp_dots_decode_finish(&d));
		assert_int_equal(d.faults, samples[i].faults);
		assert_true(str_starts(buf_str(&content), samples[i].out));
		if (!samples[i].faults)
			assert_int_equal(content.length, samples[i].out.length);
		buf_release(&content);
	}
}

static void encode(struct str content, size_t piece, struct buf *ret)
{
	struct smtp_dots_encoder e = { 0 };
	for (size_t at = 0; at < content.length; at += piece) {
		size_t length = content.length - at < piece ? content.length - at : piece;
		char *copy = malloc(length);
		memcpy(copy, content.at + at, length);
		struct str input = str_from(copy, length), span;
		while (smtp_dots_encode(&e, &input, &span))
			buf_append_str(ret, span);
		free(copy);
	}
	buf_append_str(ret, smtp_dots_encode_end(&e));
}

static void stuffs_dots(void **state)
{
	(void)state;
	static const struct sample samples[] = {
		{ STR(".\r\n"), STR(""), 0 },
		{ STR("a\r\n.\r\n"), STR("a\r\n"), 0 },
		{ STR("..\r\n.\r\n"), STR(".\r\n"), 0 },
		{ STR("..\r\n...\r\na.b\r\n.\r\n"), STR(".\r\n..\r\na.b\r\n"), 0 },
		{ STR("no end\r\n.\r\n"), STR("no end"), 0 },
		{ STR("..\r\n.\r\n"), STR("."), 0 },
	};
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		for (size_t piece = 1; piece <= samples[i].content.length + 1; piece++) {
			struct buf wire = { 0 };
			encode(samples[i].content, piece, &wire);
			assert_int_equal(wire.length, samples[i].wire.length);
			assert_memory_equal(buf_str(&wire).at, samples[i].wire.at, wire.length);
			buf_release(&wire);
		}
	}
}

static void what_is_encoded_decodes_to_itself(void **state)
{
	(void)state;
	unsigned random = 7;
	for (int round = 0; round < 3000; round++) {
		struct buf content = { 0 }, wire = { 0 };
		size_t lines = (random >> 9) % 12;
		for (size_t i = 0; i < lines; i++) {
			size_t length = (random >> 7) % 100;
			for (size_t k = 0; k < length; k++) {
				random = random * 1103515245 + 12345;
				buf_append_byte(&content, (random >> 16) % 3 ? 'x' : '.');
			}
			random = random * 1103515245 + 12345;
			buf_append_text(&content, "\r\n");
		}
		random = random * 1103515245 + 12345;
		encode(buf_str(&content), 1 + (random >> 10) % 200, &wire);
		struct outcome o;
		decode(buf_str(&wire), 1 + (random >> 13) % 200, false, LINE, &o);
		assert_true(o.is_ended);
		assert_int_equal(o.used, wire.length);
		assert_content(&o, buf_str(&content));
		buf_release(&o.content);
		buf_release(&content);
		buf_release(&wire);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_end_and_the_content),
		cmocka_unit_test(nothing_else_ends_a_message),
		cmocka_unit_test(normalising_makes_lines_and_no_faults),
		cmocka_unit_test(agrees_with_the_letter_of_the_rfc),
		cmocka_unit_test(long_lines_are_seen_whatever_the_pieces),
		cmocka_unit_test(clean_text_comes_out_as_one_span),
		cmocka_unit_test(chunks_keep_dots_and_complete_the_last_line),
		cmocka_unit_test(stuffs_dots),
		cmocka_unit_test(what_is_encoded_decodes_to_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
