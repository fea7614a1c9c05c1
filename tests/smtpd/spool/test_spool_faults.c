/* One scenario, again and again: each disk call of it fails once in each way there is, and power
 * is lost at each call. Afterwards, and after a start: what was acknowledged is there, byte for
 * byte; what failed is not; what was settled durably stays so; no id returns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fakes/fake_disk.h"
#include "tests/smtpd/spool/spool_fixture.h"

enum { SENT_MOST = 200, SEGMENT_BYTES = 96 * 1024 };

struct sent {
	uint64_t id;
	uint64_t seed;
	size_t length;
	uint32_t recipients;
	uint32_t final;		/* bits: settled for good */
	uint32_t final_durable; /* of those, surely on disk */
	bool is_gone;		/* known to be: not looked for any more */
	struct fixture_done done;
};

struct model {
	struct fixture f; /* first */
	struct fake_disk *disk;
	struct sent sent[SENT_MOST];
	size_t count;
	uint64_t highest_id; /* told to anybody */
	uint64_t seed;
	const char *words; /* what is being tried */
	unsigned long long point;
};

#define CHECK(model, condition, ...)                                                               \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			print_error("%s at call %llu: ", (model)->words, (model)->point);          \
			print_error(__VA_ARGS__);                                                  \
			print_error(" [%s]\n", (model)->f.last_trouble.text);                      \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

static bool is_dead(struct fixture *f)
{
	return !fake_disk_has_power(((struct model *)f)->disk);
}

static bool is_on(const struct model *m)
{
	return fake_disk_has_power(m->disk);
}

static struct sent *send(struct model *m, size_t length, uint32_t recipients)
{
	assert_true(m->count < SENT_MOST);
	struct sent *s = &m->sent[m->count++];
	*s = (struct sent){ .seed = m->seed++, .length = length, .recipients = recipients };
	s->id = fixture_send(&m->f, s->seed, length, recipients, &s->done);
	return s;
}

static void settle(struct model *m, struct sent *s, uint32_t recipient)
{
	if (!s->done.is_durable)
		return;
	fixture_settle_one(&m->f, s->id, recipient, SPOOL_RECIPIENT_DELIVERED);
	s->final |= 1u << recipient;
}

static void settle_all(struct model *m, struct sent *s)
{
	for (uint32_t i = 0; i < s->recipients; i++)
		settle(m, s, i);
}

/* Two seconds: what was written is synced, what a fault held up was tried again. */
static void rest(struct model *m)
{
	struct spool_summary summary;
	fixture_pass_ms(&m->f, 3500);
	if (!is_on(m))
		return;
	spool_summarise(m->f.spool, &summary);
	for (size_t i = 0; i < m->count && summary.is_accepting; i++)
		m->sent[i].final_durable = m->sent[i].final;
}

static void read_all(struct model *m, struct sent *s)
{
	struct str piece;
	struct spool_reader *r = s->done.is_durable ? spool_read(m->f.spool, s->id, NULL) : NULL;
	while (r && spool_reader_next(r, &piece, NULL) == 0 && piece.length)
		;
	spool_reader_free(&r);
}

static void abandon_one(struct model *m)
{
	struct buf body = { 0 };
	struct spool_writer *w = spool_begin(m->f.spool, NULL);
	fixture_fill(&body, 99, 100000);
	if (w)
		spool_write(w, buf_str(&body), NULL);
	buf_release(&body);
	fixture_pass_ms(&m->f, 0);
	spool_abandon(&w);
}

/* A fault may come while opening: then it must work when tried again. */
static bool open_spool(struct model *m)
{
	struct err err = { 0 };
	for (int again = 0; again < 5; again++) {
		if (fixture_open(&m->f, &err) == 0)
			return true;
	}
	CHECK(m, !is_on(m), "cannot open: %s", err.text);
	return false;
}

/* Messages come and go, over several segments, some of them long, some never delivered. */
static void live(struct model *m)
{
	struct sent *first[6];
	struct sent *last = NULL;
	for (int i = 0; i < 6; i++)
		first[i] = send(m, 3000 + (size_t)i * 1000, 3);
	fixture_pass_ms(&m->f, 1);
	struct sent *large = send(m, 150000, 2);
	fixture_pass_ms(&m->f, 1);
	settle_all(m, first[0]);
	settle(m, first[1], 1);
	settle_all(m, first[2]);
	abandon_one(m);
	rest(m);
	for (int i = 0; i < 24 && is_on(m); i++) {
		struct sent *next = send(m, 35000, 1);
		/* one here and there stays: its segment is emptied by copying */
		if (i % 5 == 1)
			send(m, 2000, 2);
		fixture_pass_ms(&m->f, i % 4 * 200);
		if (last)
			settle_all(m, last);
		last = next;
		/* enough of them that its envelope is written anew */
		for (int k = 0; k < 2; k++)
			fixture_settle_one(&m->f, first[3]->id, (uint32_t)k % 2, 0);
	}
	read_all(m, large);
	settle(m, large, 0);
	rest(m);
	send(m, 100, 1);
	settle_all(m, first[4]);
	fixture_pass_ms(&m->f, 1);
}

/* Few stay of many: what stays is copied, its segments are given back. */
static void thin_out(struct model *m)
{
	struct sent *first = NULL, *large = send(m, 100000, 2);
	fixture_pass_ms(&m->f, 1);
	for (int i = 0; i < 13 && is_on(m); i++) {
		struct sent *stays = send(m, 3000, 2);
		struct sent *goes = send(m, 60000, 1);
		fixture_pass_ms(&m->f, 1);
		settle_all(m, goes);
		settle(m, stays, 1);
		if (i == 1)
			first = stays;
	}
	rest(m);
	/* moved, then gone: its old records must stay dead */
	if (first)
		settle_all(m, first);
	read_all(m, large);
	settle(m, large, 1);
	rest(m);
}

/* ---- judging --------------------------------------------------------------------------------- */

static struct sent *find(struct model *m, uint64_t id)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->sent[i].id == id)
			return &m->sent[i];
	}
	return NULL;
}

static uint32_t final_bits(struct model *m, const struct sent *s)
{
	struct spool_reader *r = spool_read(m->f.spool, s->id, NULL);
	uint32_t bits = 0;
	assert_non_null(r);
	for (uint32_t i = 0; i < s->recipients; i++) {
		if (spool_reader_envelope(r)->recipients[i].state != SPOOL_RECIPIENT_WAITING)
			bits |= 1u << i;
	}
	spool_reader_free(&r);
	return bits;
}

static void judge_absent(struct model *m, struct sent *s)
{
	uint32_t all = (1u << s->recipients) - 1;
	CHECK(m, !s->done.is_durable || s->final == all, "message %llu of %zu bytes is lost",
		(unsigned long long)s->id, s->length);
	s->is_gone = true;
}

static void judge_present(struct model *m, struct sent *s, bool had_power)
{
	struct err err = { 0 };
	uint32_t all = (1u << s->recipients) - 1, known = had_power ? s->final : s->final_durable;
	bool has_failed = s->done.is_done && !s->done.is_durable;
	CHECK(m, !s->is_gone, "message %llu came back", (unsigned long long)s->id);
	CHECK(m, !has_failed, "a failed message is there: %s", s->done.error.text);
	CHECK(m, s->final_durable != all && known != all, "message %llu, settled, came back",
		(unsigned long long)s->id);
	CHECK(m, fixture_was_told(&m->f, s->id), "message %llu was not told", (unsigned long long)s->id);
	CHECK(m, fixture_is_intact(&m->f, s->id, s->seed, s->length, s->recipients, &err),
		"message %llu is not what it was: %s", (unsigned long long)s->id, err.text);
	uint32_t bits = final_bits(m, s);
	CHECK(m, (bits & known) == known, "message %llu forgot outcomes (%x of %x)",
		(unsigned long long)s->id, (unsigned)bits, (unsigned)known);
	/* from here on this is what it is */
	s->final = bits;
	s->final_durable = bits;
	s->done.is_durable = true;
}

/* After a start without faults. had_power: nothing but the fault happened since the last. */
static void judge(struct model *m, bool had_power)
{
	uint64_t id = 0;
	bool is_present[SENT_MOST] = { 0 };
	CHECK(m, m->f.troubles == 0, "trouble at replay");
	while ((id = spool_next_id(m->f.spool, id)) != 0) {
		struct sent *s = find(m, id);
		CHECK(m, s, "a message nobody committed is there: %llu", (unsigned long long)id);
		is_present[s - m->sent] = true;
		judge_present(m, s, had_power);
	}
	for (size_t i = 0; i < m->count; i++) {
		if (!is_present[i] && m->sent[i].id)
			judge_absent(m, &m->sent[i]);
		if ((m->sent[i].done.is_durable || is_present[i]) &&
			m->sent[i].id > m->highest_id)
			m->highest_id = m->sent[i].id;
	}
	struct spool_writer *w = spool_begin(m->f.spool, NULL);
	CHECK(m, w, "does not accept after a start");
	CHECK(m, spool_writer_id(w) > m->highest_id, "an id returned");
	spool_abandon(&w);
}

static void reopen_and_judge(struct model *m, bool had_power)
{
	fixture_close(&m->f);
	fake_disk_fail_at(m->disk, 0, FAKE_DISK_EIO);
	fake_disk_power_off_at(m->disk, 0);
	CHECK(m, open_spool(m), "cannot open");
	judge(m, had_power);
}

static void begin(struct model *m, const char *words, uint64_t point)
{
	memset(m, 0, sizeof(*m));
	m->words = words;
	m->point = point;
	m->disk = fake_disk_new(point);
	m->seed = 1;
	fixture_begin(&m->f, fake_disk_calls(m->disk), SEGMENT_BYTES);
	m->f.is_dead = is_dead;
}

static void end(struct model *m)
{
	fixture_end(&m->f);
	fake_disk_free(&m->disk);
}

/* ---- the tries ------------------------------------------------------------------------------- */

static struct model model;

static void (*const scenarios[])(struct model *m) = { live, thin_out };
enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };

static void run(struct model *m, int scenario)
{
	fixture_pass_ms(&m->f, 1);
	scenarios[scenario](m);
	rest(m);
}

/* How many calls the scenario makes when nothing fails. */
static uint64_t count_calls(int scenario)
{
	struct model *m = &model;
	begin(m, "no fault", 0);
	assert_true(open_spool(m));
	run(m, scenario);
	uint64_t count = fake_disk_count(m->disk);
	assert_int_equal(m->f.troubles, 0);
	/* it would try little if nothing were moved and given back */
	assert_true(fake_disk_file_count(m->disk, ".segment") < (scenario ? 9 : 12));
	reopen_and_judge(m, true);
	end(m);
	return count;
}

static void try_fault(struct model *m, int scenario, uint64_t at, enum fake_disk_fault fault)
{
	begin(m, fake_disk_fault_name(fault), at);
	fake_disk_fail_at(m->disk, at, fault);
	assert_true(open_spool(m));
	run(m, scenario);
	CHECK(m, fake_disk_failures(m->disk) == 1, "the fault did not come");
	reopen_and_judge(m, true);
	if (at % 4 == 0) {
		run(m, scenario);
		CHECK(m, m->f.troubles == 0, "trouble afterwards");
		reopen_and_judge(m, true);
	}
	end(m);
}

static void every_call_may_fail_once(void **state)
{
	unsigned long long points = 0, calls = 0;
	(void)state;
	for (int scenario = 0; scenario < SCENARIOS; scenario++) {
		uint64_t most = count_calls(scenario);
		calls += most;
		for (uint64_t i = 0; i < most * FAKE_DISK_POWER; i++, points++)
			try_fault(&model, scenario, 1 + i / FAKE_DISK_POWER,
				(enum fake_disk_fault)(i % FAKE_DISK_POWER));
	}
	print_message("%llu faults tried, at %llu calls\n", points, calls);
}

static void try_kill(struct model *m, int scenario, uint64_t at, uint64_t behind)
{
	static const enum fake_disk_fault faults[] = { FAKE_DISK_EIO, FAKE_DISK_SHORT_ENOSPC };
	begin(m, "fault, then kill,", at);
	fake_disk_fail_at(m->disk, at, faults[(at + behind / 2) % 2]);
	fake_disk_power_off_at(m->disk, at + behind);
	if (open_spool(m))
		run(m, scenario);
	fixture_close(&m->f);
	fake_disk_power_on(m->disk, FAKE_DISK_KEEP_ALL);
	reopen_and_judge(m, false);
	end(m);
}

/* The process is killed soon after a fault: what it undid must be undone on disk by then. */
static void a_kill_may_follow_a_fault(void **state)
{
	unsigned long long points = 0, calls = 0;
	(void)state;
	for (int scenario = 0; scenario < SCENARIOS; scenario++) {
		uint64_t most = count_calls(scenario);
		calls += most;
		for (uint64_t at = 1; at <= most; at++) {
			for (uint64_t behind = 1; behind <= 7; behind += 2, points++)
				try_kill(&model, scenario, at, behind);
		}
	}
	print_message("%llu kills tried, at %llu calls\n", points, calls);
}

static void lose_power(struct model *m, int scenario, uint64_t at, enum fake_disk_keep keep)
{
	begin(m, "power loss", at);
	fake_disk_fail_at(m->disk, at, FAKE_DISK_POWER);
	if (open_spool(m))
		run(m, scenario);
	fixture_close(&m->f);
	CHECK(m, !is_on(m), "power stayed");
	fake_disk_power_on(m->disk, keep);
	reopen_and_judge(m, false);
	/* and once more, somewhere in what follows: leftovers of the first loss must not appear */
	m->words = "second power loss";
	uint64_t before = fake_disk_count(m->disk);
	fake_disk_fail_at(m->disk, before + 1 + at * 7919 % 150, FAKE_DISK_POWER);
	run(m, scenario);
	fixture_close(&m->f);
	bool had_power = is_on(m);
	if (!had_power)
		fake_disk_power_on(m->disk, (enum fake_disk_keep)(at % 3));
	reopen_and_judge(m, had_power);
	reopen_and_judge(m, true);
	end(m);
}

static void power_may_be_lost_at_every_call(void **state)
{
	unsigned long long points = 0, calls = 0;
	(void)state;
	for (int scenario = 0; scenario < SCENARIOS; scenario++) {
		uint64_t most = count_calls(scenario);
		calls += most;
		for (uint64_t at = 1; at <= most; at++) {
			for (int keep = 0; keep <= FAKE_DISK_KEEP_SOME; keep++, points += 2)
				lose_power(&model, scenario, at, (enum fake_disk_keep)keep);
		}
	}
	print_message("%llu power losses tried, at %llu calls\n", points, calls);
}

/* After a failed sync the kernel holds what it could not write, and shows it to the next process:
 * that must not take it for durable, let go of older copies, and lose power then. */
static void lose_power_after_restart(struct model *m, int scenario, uint64_t at)
{
	begin(m, "fault, restart, then power loss,", at);
	fake_disk_fail_at(m->disk, at, FAKE_DISK_EIO);
	assert_true(open_spool(m));
	run(m, scenario);
	reopen_and_judge(m, true);
	/* nothing new but what it does by itself */
	fixture_pass_ms(&m->f, 1000 + (int64_t)(at % 3) * 2000);
	fake_disk_power_off(m->disk);
	fixture_close(&m->f);
	fake_disk_power_on(m->disk, (enum fake_disk_keep)(at % 3));
	reopen_and_judge(m, false);
	end(m);
}

static void power_may_be_lost_after_a_restart_after_a_fault(void **state)
{
	unsigned long long points = 0;
	(void)state;
	for (int scenario = 0; scenario < SCENARIOS; scenario++) {
		uint64_t most = count_calls(scenario);
		for (uint64_t at = 1; at <= most; at++, points++)
			lose_power_after_restart(&model, scenario, at);
	}
	print_message("%llu power losses after a restart tried\n", points);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_may_fail_once),
		cmocka_unit_test(a_kill_may_follow_a_fault),
		cmocka_unit_test(power_may_be_lost_at_every_call),
		cmocka_unit_test(power_may_be_lost_after_a_restart_after_a_fault),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
