/* fuzz_dns_message: any bytes as the answer of a name server. The first byte chooses the type asked
 * for, the question is about a.example; the rest of the file is the message. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/arena.h"
#include "policy/dns/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(enum dns_type type, const struct dns_record *record)
{
	if (type == DNS_MX || type == DNS_CNAME) {
		assert(record->name && record->name[0] && strlen(record->name) < 4 * 255);
		for (const char *c = record->name; *c; c++)
			assert(*c > ' ' && *c < 0x7f && !(*c >= 'A' && *c <= 'Z'));
	} else {
		assert(record->data.at);
		assert(type != DNS_A || record->data.length == 4);
		assert(type != DNS_AAAA || record->data.length == 16);
		assert(type != DNS_TLSA || record->data.length >= 3);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_TLSA, DNS_CNAME };
	if (size == 0)
		return 0;
	enum dns_type type = types[data[0] % 6];
	/* a block of just that size, in replays too */
	char *bytes = malloc(size > 1 ? size - 1 : 1);
	memcpy(bytes, data + 1, size - 1);
	struct arena arena = { 0 };
	struct dns_answer answer;
	dns_message_read(str_from(bytes, size - 1), "a.example", type, &arena, &answer);
	free(bytes); /* nothing of the answer is in there */
	assert((answer.result == DNS_FOUND) == (answer.count > 0));
	assert((answer.result == DNS_FAILED) == (answer.why[0] != '\0'));
	assert(answer.count <= DNS_RECORDS_MOST && answer.ttl_s <= DNS_MESSAGE_TTL_MOST_S);
	assert(answer.canonical && answer.security == DNS_INSECURE);
	for (size_t i = 0; i < answer.count; i++) {
		check_record(type, &answer.records[i]);
		assert(i == 0 || answer.records[i - 1].preference <= answer.records[i].preference);
	}
	/* a few times the message, however it lies */
	assert(arena.used_bytes <= 64 * size + 65536);
	arena_clear(&arena);
	return 0;
}
