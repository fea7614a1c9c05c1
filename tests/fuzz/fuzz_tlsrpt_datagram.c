/* fuzz_tlsrpt_datagram: any bytes as what Postfix says of a delivery. */
#include <assert.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "policy/tlsrpt/tlsrpt_datagram.h"
#include "policy/tlsrpt/tlsrpt_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is taken can be kept, and reads back as it was. */
static void on_session(void *ctx, const struct tlsrpt_session *s)
{
	struct buf text = { 0 }, tuples = { 0 };
	(*(unsigned *)ctx)++;
	assert(s->outcome_count > 0 && s->outcome_count <= TLSRPT_POLICIES_MOST);
	assert(tlsrpt_text_is_clean(str_of(s->record), TLSRPT_RECORD_BYTES_MOST));
	for (size_t i = 0; i < s->outcome_count; i++) {
		const struct tlsrpt_outcome *o = &s->outcomes[i];
		struct tlsrpt_row row, again;
		buf_clear(&text);
		if (!tlsrpt_policy_write(&o->policy, &text))
			continue; /* too long in sum */
		tlsrpt_row_init(&row, 1, str_of(s->domain), str_of(s->record), buf_str(&text));
		tlsrpt_row_init(&again, 1, str_of(s->domain), str_of(s->record), buf_str(&text));
		for (size_t f = 0; f < o->failure_count; f++) {
			buf_clear(&text);
			assert(tlsrpt_failure_write(&o->failures[f], &text));
			tlsrpt_row_add_failure(&row, buf_str(&text), 1);
		}
		buf_clear(&tuples);
		tlsrpt_row_write_tuples(&row, &tuples);
		assert(tlsrpt_row_read_tuples(&again, buf_str(&tuples)));
		assert(again.tuple_count == row.tuple_count);
		tlsrpt_row_clear(&row);
		tlsrpt_row_clear(&again);
	}
	buf_release(&text);
	buf_release(&tuples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	unsigned count = 0;
	int result = tlsrpt_datagram_read(str_from(data, size), on_session, &count, &err);
	assert((result == 0) == (count == 1));
	assert((result < 0) == (err.text[0] != '\0'));
	assert(tlsrpt_text_is_clean(str_of(err.text), sizeof(err.text)));
	return 0;
}
