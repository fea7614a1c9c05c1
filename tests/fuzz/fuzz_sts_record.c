/* fuzz_sts_record: any bytes as the TXT records (one a line) of _mta-sts.<domain>. */
#include <assert.h>
#include <stdint.h>

#include "policy/sts/sts_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = str_from(data, size), texts[16], text;
	char id[STS_ID_BYTES] = "";
	size_t count = 0;
	if (sts_record_parse(all, id))
		assert(sts_record_is_candidate(all) && id[0] && strlen(id) < STS_ID_BYTES);
	else
		assert(id[0] == '\0');
	while (count < 16 && str_split(&all, '\n', &text))
		texts[count++] = text;
	id[0] = '\0';
	bool is_found = sts_record_choose(texts, count, id) == STS_RECORD_FOUND;
	assert(is_found == (id[0] != '\0'));
	return 0;
}
