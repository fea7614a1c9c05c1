#include "smtpd/smtp/smtp_dots.h"

#include <assert.h>
#include <string.h>

/* Sixteen bytes at a time through the compiler's vector types: SSE2, NEON or plain words. */
typedef uint8_t lanes __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

static inline lanes load(const char *at)
{
	lanes v;
	memcpy(&v, at, sizeof(v));
	return v;
}

static inline bool is_any(lanes v)
{
	halves h = (halves)v;
	return (h[0] | h[1]) != 0;
}

/* ---- out -------------------------------------------------------------------------------------- */

/* Index of the first "." that follows an LF, from index 1 on; length where there is none. */
static size_t find_leading_dot(const char *at, size_t length)
{
	size_t i = 1;
	for (; i + 64 <= length; i += 64) {
		lanes hit = { 0 };
		for (size_t k = 0; k < 64; k += 16)
			hit |= (lanes)(load(at + i + k) == '.') &
				(lanes)(load(at + i + k - 1) == '\n');
		if (is_any(hit))
			break;
	}
	for (; i < length; i++) {
		if (at[i] == '.' && at[i - 1] == '\n')
			return i;
	}
	return length;
}

bool smtp_dots_encode(struct smtp_dots_encoder *e, struct str *input, struct str *ret_span)
{
	if (!input->length)
		return false;
	if (!e->is_inside_line && input->at[0] == '.') {
		e->is_inside_line = true;
		*ret_span = str_head(*input, 1);
		return true;
	}
	size_t dot = find_leading_dot(input->at, input->length);
	bool is_found = dot < input->length;
	/* with a dot found, it is sent here and, as the start of the next stretch, once more */
	*ret_span = str_head(*input, is_found ? dot + 1 : dot);
	*input = str_skip(*input, dot);
	e->is_inside_line = is_found || ret_span->at[ret_span->length - 1] != '\n';
	return true;
}

struct str smtp_dots_encode_end(const struct smtp_dots_encoder *e)
{
	return e->is_inside_line ? STR("\r\n.\r\n") : STR(".\r\n");
}

/* ---- in --------------------------------------------------------------------------------------- */

enum state {
	LINE_START, /* behind CR LF, or nothing came yet */
	IN_LINE,
	AFTER_CR,     /* a CR is held back until the next byte shows what it is */
	AFTER_DOT,    /* a "." at the start of a line is held back */
	AFTER_DOT_CR, /* the same and a CR */
};

const char *smtp_dots_fault_text(unsigned faults)
{
	if (faults & SMTP_DOTS_BARE_LF)
		return "bare <LF> in the message: lines end with <CR><LF>";
	if (faults & SMTP_DOTS_BARE_CR)
		return "bare <CR> in the message: lines end with <CR><LF>";
	if (faults & SMTP_DOTS_NUL)
		return "NUL byte in the message";
	if (faults & SMTP_DOTS_LONG_LINE)
		return "line too long in the message";
	return "no fault";
}

void smtp_dots_decoder_init(struct smtp_dots_decoder *d, enum smtp_dots_framing framing,
	bool is_normalising, uint64_t maximum_line)
{
	*d = (struct smtp_dots_decoder){ .maximum_line = maximum_line,
		.state = LINE_START,
		.is_chunk = framing == SMTP_DOTS_CHUNK,
		.is_normalising = is_normalising };
}

/* From index i on: is every LF behind a CR, every CR before an LF, no NUL, no leading dot? The
 * index of the first byte that breaks this, seen together with the byte before it. */
static size_t find_awkward(const char *at, size_t length, bool is_chunk)
{
	const lanes dot = (lanes){ 0 } + (uint8_t)(is_chunk ? '\n' : '.');
	size_t i = 1;
	for (; i + 64 <= length; i += 64) {
		lanes hit = { 0 };
		for (size_t k = 0; k < 64; k += 16) {
			lanes here = load(at + i + k), before = load(at + i + k - 1);
			hit |= (lanes)((here == '\n') ^ (before == '\r'));
			hit |= (lanes)(here == dot) & (lanes)(before == '\n');
			hit |= (lanes)(here == 0);
		}
		if (is_any(hit))
			break;
	}
	for (; i < length; i++) {
		char c = at[i], before = at[i - 1];
		if ((c == '\n') != (before == '\r') || c == '\0' ||
			(c == '.' && before == '\n' && !is_chunk))
			break;
	}
	return i;
}

/* How much of the front of input is whole, innocent content, seen from LINE_START or IN_LINE. */
static size_t clean_length(const struct smtp_dots_decoder *d, struct str input)
{
	char first = input.at[0];
	if (first == '\n' || first == '\0' || (first == '.' && d->state == LINE_START && !d->is_chunk))
		return 0;
	size_t end = find_awkward(input.at, input.length, d->is_chunk);
	/* a CR at the end is not decided yet, or is the bare one that stopped us */
	return input.at[end - 1] == '\r' ? end - 1 : end;
}

static void note_line(struct smtp_dots_decoder *d, uint64_t line_bytes)
{
	if (line_bytes > d->maximum_line)
		d->faults |= SMTP_DOTS_LONG_LINE;
}

/* Bookkeeping for a clean span: how long are its lines, and where does it leave us? */
static void pass_clean(struct smtp_dots_decoder *d, struct str span)
{
	const char *at = span.at, *end = span.at + span.length;
	const char *last = memrchr(at, '\n', span.length);
	/* only a span longer than the limit allows can hold a line longer than the limit */
	if (d->line_bytes + span.length > d->maximum_line) {
		const char *lf;
		while (at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
			note_line(d, d->line_bytes + (uint64_t)(lf + 1 - at));
			d->line_bytes = 0;
			at = lf + 1;
		}
		note_line(d, d->line_bytes + (uint64_t)(end - at));
	}
	if (last)
		d->line_bytes = (uint64_t)(end - last - 1);
	else
		d->line_bytes += span.length;
	d->state = end[-1] == '\n' ? LINE_START : IN_LINE;
}

static struct str give(struct smtp_dots_decoder *d, struct str span)
{
	d->content_bytes += span.length;
	return span;
}

static struct str end_line(struct smtp_dots_decoder *d, enum state next)
{
	note_line(d, d->line_bytes + 2);
	d->line_bytes = 0;
	d->state = (uint8_t)next;
	return give(d, STR("\r\n"));
}

/* A bare CR or LF. Normalised it ends a line for the reader, but what follows is not at the start
 * of a line for the protocol: a "." there is content and never part of an end (SMTP smuggling). */
static struct str bare(struct smtp_dots_decoder *d, enum smtp_dots_fault fault)
{
	if (d->is_normalising)
		return end_line(d, IN_LINE);
	d->faults |= (uint8_t)fault;
	d->state = IN_LINE;
	d->line_bytes++;
	return give(d, fault == SMTP_DOTS_BARE_LF ? STR("\n") : STR("\r"));
}

/* One byte that needs thought. True when it was taken off input; *ret_span may be empty. */
static bool take_awkward(struct smtp_dots_decoder *d, char c, struct str *ret_span)
{
	*ret_span = STR("");
	switch ((enum state)d->state) {
	case AFTER_CR:
		if (c != '\n') { /* c itself is looked at again */
			*ret_span = bare(d, SMTP_DOTS_BARE_CR);
			return false;
		}
		*ret_span = end_line(d, LINE_START);
		return true;
	case AFTER_DOT:
		d->state = c == '\r' ? AFTER_DOT_CR : IN_LINE;
		return c == '\r';
	case AFTER_DOT_CR: /* LF, the end, is the caller's */
		*ret_span = bare(d, SMTP_DOTS_BARE_CR);
		return false;
	case LINE_START:
		if (c == '.' && !d->is_chunk) {
			d->state = AFTER_DOT;
			return true;
		}
		break;
	case IN_LINE:
		break;
	}
	if (c == '\r') {
		d->state = AFTER_CR;
	} else if (c == '\n') {
		*ret_span = bare(d, SMTP_DOTS_BARE_LF);
	} else {
		assert(c == '\0');
		d->faults |= SMTP_DOTS_NUL;
		d->state = IN_LINE;
		note_line(d, ++d->line_bytes);
		*ret_span = give(d, STR("\0"));
	}
	return true;
}

enum smtp_dots_step smtp_dots_decode(struct smtp_dots_decoder *d, struct str *input,
	struct str *ret_span)
{
	while (input->length) {
		if (d->state == LINE_START || d->state == IN_LINE) {
			size_t clean = clean_length(d, *input);
			if (clean) {
				*ret_span = give(d, str_head(*input, clean));
				*input = str_skip(*input, clean);
				pass_clean(d, *ret_span);
				return SMTP_DOTS_SPAN;
			}
		}
		char c = input->at[0];
		if (d->state == AFTER_DOT_CR && c == '\n') {
			*input = str_skip(*input, 1);
			return SMTP_DOTS_END;
		}
		if (take_awkward(d, c, ret_span))
			*input = str_skip(*input, 1);
		if (ret_span->length)
			return SMTP_DOTS_SPAN;
	}
	return SMTP_DOTS_MORE;
}

struct str smtp_dots_decode_finish(struct smtp_dots_decoder *d)
{
	assert(d->is_chunk);
	if (d->state == AFTER_CR && !d->is_normalising)
		d->faults |= SMTP_DOTS_BARE_CR;
	if (d->state == LINE_START || (d->state == IN_LINE && !d->line_bytes))
		return STR("");
	return end_line(d, LINE_START);
}
