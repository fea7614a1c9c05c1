/* store_file: plans as the bytes of a file. Pure.
 *
 * For:     store.
 * Form:    a head of STORE_HEAD_BYTES: "PSTPLANS", u32 format, digest, i64 when it was written, u32
 *          plans, u64 bytes behind the head, u32 CRC32C of all that. Then the plans, last used
 *          first: u32 length, u32 CRC32C, body: kind, port and evidence of the question, the plan as
 *          a frame of door_wire, what policy_plan_whole holds besides the rule. Numbers little-endian.
 * Promise: what does not fit its checksum, its length or its limits is not read; nothing else is
 *          touched by it, as long as lengths can be followed. Fuzz target: fuzz_store_file.
 */
#ifndef POLICY_STORE_STORE_FILE_H
#define POLICY_STORE_STORE_FILE_H

#include "policy/door/door_wire.h"
#include "policy/plan/plan_service.h"

enum {
	STORE_FORMAT = 2,
	STORE_HEAD_BYTES = 8 + 4 + 32 + 8 + 4 + 8 + 4,
	STORE_FILE_BYTES_MOST = 128 * 1024 * 1024,
	STORE_PLANS_MOST = 1000000,
};

struct store_head {
	uint8_t digest[32]; /* of what plans are made by */
	int64_t written_s;  /* wall clock */
	uint32_t count;
	uint64_t bytes; /* behind the head */
};

void store_file_put_head(const struct store_head *head, char into[STORE_HEAD_BYTES]);
/* bytes: the whole file; its length must be what the head says. */
int store_file_read_head(struct str bytes, struct store_head *ret, struct err *err);

/* Appends a plan. False, and nothing is appended: it is too large to be kept. */
bool store_file_put(struct buf *into, const struct plan_service_kept *kept);
/* From the front of bytes: the next body and how many bytes it takes here. False: no more, or the
 * length is nonsense. ret_is_whole: the checksum fits. */
bool store_file_split(struct str bytes, struct str *ret_body, size_t *ret_bytes, bool *ret_is_whole);
/* ret->plan gives; its whole lacks what the rule says. -1 with words, and no plan. */
int store_file_read(struct str body, const struct door_authorities *authorities,
	struct plan_service_kept *ret, struct err *err);

#endif
