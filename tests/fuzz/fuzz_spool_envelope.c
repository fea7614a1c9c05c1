/* What decodes must encode to the same bytes again. */
#include <stdint.h>
#include <stdlib.h>

#include "smtpd/spool/spool_envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct buf again = { 0 };
	struct spool_envelope envelope;
	struct str bytes = str_from(data, size);
	if (spool_envelope_decode(bytes, &arena, &envelope, NULL) == 0) {
		spool_envelope_encode(&envelope, &again);
		if (!str_equal(buf_str(&again), bytes))
			abort();
	}
	buf_release(&again);
	arena_clear(&arena);
	return 0;
}
