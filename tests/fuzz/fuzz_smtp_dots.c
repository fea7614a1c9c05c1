#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "smtpd/smtp/smtp_dots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	struct buf content;
	size_t used;
	bool is_ended;
	unsigned faults;
};

static void decode(struct str wire, size_t piece, bool is_normalising, struct outcome *ret)
{
	struct smtp_dots_decoder d;
	*ret = (struct outcome){ 0 };
	smtp_dots_decoder_init(&d, SMTP_DOTS_DATA, is_normalising, 100);
	for (size_t at = 0; at < wire.length && !ret->is_ended; at += piece) {
		size_t length = wire.length - at < piece ? wire.length - at : piece;
		struct str input = str_from(wire.at + at, length), span;
		enum smtp_dots_step step;
		while ((step = smtp_dots_decode(&d, &input, &span)) == SMTP_DOTS_SPAN)
			buf_append_str(&ret->content, span);
		ret->is_ended = step == SMTP_DOTS_END;
		ret->used = at + length - input.length;
	}
	ret->faults = d.faults;
}

/* CR and LF only together. */
static void check_lines(struct str s)
{
	for (size_t i = 0; i < s.length; i++) {
		if (s.at[i] == '\n')
			assert(i && s.at[i - 1] == '\r');
		if (s.at[i] == '\r')
			assert(i + 1 < s.length && s.at[i + 1] == '\n');
	}
}

static void check_there_and_back(struct str content)
{
	struct smtp_dots_encoder e = { 0 };
	struct buf wire = { 0 };
	struct str input = content, span;
	struct outcome back;
	while (smtp_dots_encode(&e, &input, &span))
		buf_append_str(&wire, span);
	buf_append_str(&wire, smtp_dots_encode_end(&e));
	decode(buf_str(&wire), 17, false, &back);
	assert(back.is_ended && back.used == wire.length);
	assert(str_equal(buf_str(&back.content), content));
	buf_release(&back.content);
	buf_release(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	bool is_normalising = data[0] & 1;
	size_t piece = (size_t)(data[0] >> 1) + 1;
	struct str wire = str_from(data + 1, size - 1);
	struct outcome whole, pieces;
	decode(wire, wire.length, is_normalising, &whole);
	decode(wire, piece, is_normalising, &pieces);
	assert(whole.is_ended == pieces.is_ended && whole.faults == pieces.faults);
	assert(str_equal(buf_str(&whole.content), buf_str(&pieces.content)));
	if (whole.is_ended) {
		assert(whole.used == pieces.used && whole.used >= 3);
		assert(!memcmp(wire.at + whole.used - 3, ".\r\n", 3));
		if (!(whole.faults & (SMTP_DOTS_BARE_CR | SMTP_DOTS_BARE_LF))) {
			check_lines(buf_str(&whole.content));
			check_there_and_back(buf_str(&whole.content));
		}
	}
	buf_release(&whole.content);
	buf_release(&pieces.content);
	return 0;
}
