#include "smtpd/spool/spool_envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void make(struct spool_envelope *e, struct spool_recipient recipients[2])
{
	recipients[0] = (struct spool_recipient){ .address = STR("a@example.org"),
		.notify = SPOOL_NOTIFY_NEVER, .due_s = 17 };
	recipients[1] = (struct spool_recipient){ .address = STR("\"b c\"@example.org"),
		.orcpt = STR("rfc822;b+20c@example.org"),
		.notify = SPOOL_NOTIFY_SUCCESS | SPOOL_NOTIFY_DELAY,
		.state = SPOOL_RECIPIENT_HELD, .attempts = 65535, .due_s = INT64_MIN,
		.reason = STR("550 5.1.1 no such user"), .cause = SPOOL_CAUSE_POLICY,
		.told = SPOOL_TOLD_DELAY,
		.via = STR("smtp mx.example.org:25") };
	*e = (struct spool_envelope){ .id = 5, .received_s = 1234567890123, .size_bytes = 99,
		.sender = STR("s@example.net"), .envid = STR("QQ+2B"), .ret = SPOOL_RET_HDRS,
		.flags = SPOOL_FLAG_SMTPUTF8 | SPOOL_FLAG_BOUNCE, .client = STR("2001:db8::1"),
		.recipients = recipients, .recipient_count = 2 };
}

static void decodes_what_it_encoded(void **state)
{
	struct spool_recipient recipients[2];
	struct spool_envelope e, back;
	struct buf bytes = { 0 }, again = { 0 };
	struct arena arena = { 0 };
	(void)state;
	make(&e, recipients);
	spool_envelope_encode(&e, &bytes);
	assert_int_equal(spool_envelope_decode(buf_str(&bytes), &arena, &back, NULL), 0);
	assert_int_equal(back.received_s, e.received_s);
	assert_int_equal(back.ret, e.ret);
	assert_int_equal(back.flags, e.flags);
	assert_true(str_equal(back.sender, e.sender));
	assert_true(str_equal(back.envid, e.envid));
	assert_true(str_equal(back.client, e.client));
	assert_int_equal(back.recipient_count, 2);
	for (int i = 0; i < 2; i++) {
		const struct spool_recipient *r = &recipients[i], *b = &back.recipients[i];
		assert_true(str_equal(b->address, r->address));
		assert_true(str_equal(b->orcpt, r->orcpt));
		assert_true(str_equal(b->reason, r->reason));
		assert_int_equal(b->notify, r->notify);
		assert_int_equal(b->state, r->state);
		assert_int_equal(b->attempts, r->attempts);
		assert_int_equal(b->due_s, r->due_s);
		assert_int_equal(b->cause, r->cause);
		assert_int_equal(b->told, r->told);
		assert_true(str_equal(b->via, r->via));
	}
	spool_envelope_encode(&back, &again);
	assert_true(str_equal(buf_str(&again), buf_str(&bytes)));
	arena_clear(&arena);
	buf_release(&bytes);
	buf_release(&again);
}

static void refuses_every_cut_and_every_extra_byte(void **state)
{
	struct spool_recipient recipients[2];
	struct spool_envelope e, back;
	struct buf bytes = { 0 };
	struct arena arena = { 0 };
	(void)state;
	make(&e, recipients);
	spool_envelope_encode(&e, &bytes);
	for (size_t length = 0; length < bytes.length; length++) {
		/* a block of its own, so that reading beyond it is seen */
		char *cut = malloc(length ? length : 1);
		memcpy(cut, bytes.data, length);
		assert_int_equal(
			spool_envelope_decode(str_from(cut, length), &arena, &back, NULL), -1);
		free(cut);
	}
	buf_append_byte(&bytes, 0);
	assert_int_equal(spool_envelope_decode(buf_str(&bytes), &arena, &back, NULL), -1);
	arena_clear(&arena);
	buf_release(&bytes);
}

static void refuses_what_no_encoder_writes(void **state)
{
	static const struct {
		size_t at;
		char byte;
	} changes[] = {
		{ 0, 3 },	       /* version */
		{ 1, 3 },	       /* ret */
		{ 3, 1 },	       /* reserved */
		{ 12, 3 },	       /* recipients: one too many */
		{ 15, 127 },	       /* millions of them */
		{ 16, (char)200 },     /* sender's length */
	};
	struct spool_recipient recipients[2];
	struct spool_envelope e, back;
	struct arena arena = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct buf bytes = { 0 };
		struct err err = { 0 };
		make(&e, recipients);
		spool_envelope_encode(&e, &bytes);
		bytes.data[changes[i].at] = changes[i].byte;
		assert_int_equal(spool_envelope_decode(buf_str(&bytes), &arena, &back, &err), -1);
		assert_int_equal(err.kind, ERR_INPUT);
		buf_release(&bytes);
	}
	assert_true(arena.used_bytes < 4096);
	arena_clear(&arena);
}

/* As version 1 wrote it: a queue must outlive an upgrade. */
static void reads_version_1(void **state)
{
	static const char bytes[] = "\1\2\4\0" "\5\0\0\0\0\0\0\0" "\1\0\0\0" "\0\0" "\0\0" "\2\0cl"
		"\1\0\3\0" "\7\0\0\0\0\0\0\0" "\3\0a@b" "\0\0" "\3\0why";
	struct spool_envelope e;
	struct arena arena = { 0 };
	(void)state;
	assert_int_equal(spool_envelope_decode(str_from(bytes, sizeof(bytes) - 1), &arena, &e, NULL), 0);
	assert_int_equal(e.received_s, 5);
	assert_int_equal(e.recipient_count, 1);
	assert_int_equal(e.recipients[0].attempts, 3);
	assert_true(str_equal(e.recipients[0].address, STR("a@b")));
	assert_true(str_equal(e.recipients[0].reason, STR("why")));
	assert_int_equal(e.recipients[0].cause, SPOOL_CAUSE_NONE);
	assert_int_equal(e.recipients[0].told, 0);
	assert_int_equal(e.recipients[0].via.length, 0);
	arena_clear(&arena);
}

static void is_settled_when_nobody_waits(void **state)
{
	struct spool_recipient recipients[2];
	struct spool_envelope e;
	(void)state;
	make(&e, recipients);
	assert_false(spool_envelope_is_settled(&e));
	recipients[0].state = SPOOL_RECIPIENT_REMOVED;
	assert_false(spool_envelope_is_settled(&e)); /* the other one is held */
	recipients[1].state = SPOOL_RECIPIENT_FAILED;
	assert_true(spool_envelope_is_settled(&e));
}

static void ids_read_as_they_were_written(void **state)
{
	static const uint64_t ids[] = { 0, 1, 0x0123456789abcdef, UINT64_MAX };
	char text[17];
	uint64_t id;
	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_true(spool_id_parse(str_of(spool_id_format(ids[i], text)), &id));
		assert_int_equal(id, ids[i]);
	}
	assert_string_equal(spool_id_format(0xabc, text), "0000000000000abc");
	static const char *const wrong[] = { "", "0", "000000000000000", "00000000000000000",
		"000000000000000g", " 000000000000001", "00:00:00:00:00:1" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(spool_id_parse(str_of(wrong[i]), &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_what_it_encoded),
		cmocka_unit_test(refuses_every_cut_and_every_extra_byte),
		cmocka_unit_test(refuses_what_no_encoder_writes),
		cmocka_unit_test(reads_version_1),
		cmocka_unit_test(is_settled_when_nobody_waits),
		cmocka_unit_test(ids_read_as_they_were_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
