/* What decodes must encode to the same bytes again; what is of version 1, to bytes that do. */
#include <stdint.h>
#include <stdlib.h>

#include "smtpd/spool/spool_envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes, encodes again; false: it is no envelope. */
static bool once_more(struct str bytes, struct arena *arena, struct buf *ret)
{
	struct spool_envelope envelope;
	if (spool_envelope_decode(bytes, arena, &envelope, NULL) < 0)
		return false;
	spool_envelope_encode(&envelope, ret);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct buf now = { 0 }, again = { 0 };
	struct str bytes = str_from(data, size);
	if (once_more(bytes, &arena, &now)) {
		if (data[0] != 1 && !str_equal(buf_str(&now), bytes))
			abort();
		if (!once_more(buf_str(&now), &arena, &again) ||
			!str_equal(buf_str(&again), buf_str(&now)))
			abort();
	}
	buf_release(&now);
	buf_release(&again);
	arena_clear(&arena);
	return 0;
}
