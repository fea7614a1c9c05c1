/* The real disk, a real process, SIGKILL at any moment, also while it recovers from the last one:
 * what it acknowledged through a pipe is there afterwards, byte for byte; what it settled is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "tests/smtpd/spool/spool_fixture.h"

enum { ROUNDS = 30, SEGMENT_BYTES = 128 * 1024, BATCH = 8, LONGEST_US = 60000 };

enum note_type { ACKNOWLEDGED = 'a', SETTLING = 's', SETTLED = 'd', JUDGED = 'j' };

struct note {
	uint64_t type;
	uint64_t id;
	uint64_t seed;
	uint64_t length;
};

struct known {
	struct note *notes; /* the newest of each message */
	size_t count;
	uint64_t seed;
	uint64_t judged;
};

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 5;
}

/* ---- the process that is killed -------------------------------------------------------------- */

static void tell(int fd, enum note_type type, struct note note)
{
	note.type = type;
	if (write(fd, &note, sizeof(note)) != (ssize_t)sizeof(note))
		_exit(3);
}

static void judge(struct fixture *f, const struct known *known)
{
	struct err err = { 0 };
	for (size_t i = 0; i < known->count; i++) {
		const struct note *n = &known->notes[i];
		bool is_there = fixture_was_told(f, n->id);
		bool is_wrong = (n->type == ACKNOWLEDGED && !is_there) ||
				(n->type == SETTLED && is_there) ||
				(is_there && !fixture_is_intact(f, n->id, n->seed, n->length, 1, &err));
		if (!is_wrong)
			continue;
		fprintf(stderr, "message %llu, noted %c: %s %s\n", (unsigned long long)n->id,
			(int)n->type, is_there ? "there" : "not there", err.text);
		_exit(2);
	}
	if (f->troubles) {
		fprintf(stderr, "trouble: %s\n", f->last_trouble.text);
		_exit(2);
	}
}

static void settle(struct fixture *f, int fd, struct note note)
{
	tell(fd, SETTLING, note);
	fixture_settle_one(f, note.id, 0, SPOOL_RECIPIENT_DELIVERED);
	fixture_pass_ms(f, 10);
	tell(fd, SETTLED, note);
}

static void live(struct fixture *f, int fd, uint64_t seed)
{
	struct fixture_done done[BATCH];
	struct note notes[BATCH];
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			size_t length = next_random() % 8 ? next_random() % 9000 : 150000;
			notes[i] = (struct note){ .seed = seed++, .length = length };
			notes[i].id = fixture_send(f, notes[i].seed, length, 1, &done[i]);
		}
		for (int i = 0; i < BATCH; i++) {
			fixture_wait(f, &done[i].is_done);
			if (!done[i].is_durable)
				_exit(4);
			tell(fd, ACKNOWLEDGED, notes[i]);
		}
		/* one here and there stays, so that segments are emptied by copying */
		for (int i = 0; i < BATCH; i++) {
			if (next_random() % 40)
				settle(f, fd, notes[i]);
		}
		fixture_pass_ms(f, (int64_t)(next_random() % 2000));
	}
}

static void child(const char *directory, int fd, const struct known *known)
{
	struct fixture f;
	struct err err = { 0 };
	fixture_begin(&f, NULL, SEGMENT_BYTES);
	rmdir(f.directory);
	free(f.directory);
	f.directory = mem_dup(directory);
	if (fixture_open(&f, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(5);
	}
	judge(&f, known);
	tell(fd, JUDGED, (struct note){ 0 });
	live(&f, fd, known->seed);
}

/* ---- the one that kills ---------------------------------------------------------------------- */

static void take(struct known *known, const struct note *note)
{
	if (note->type == JUDGED) {
		known->judged++;
		return;
	}
	if (note->seed >= known->seed)
		known->seed = note->seed + 1;
	for (size_t i = known->count; i-- > 0;) {
		if (known->notes[i].id == note->id) {
			known->notes[i] = *note;
			return;
		}
	}
	known->notes = mem_resize_array(known->notes, known->count + 1, sizeof(*note));
	known->notes[known->count++] = *note;
}

static void live_and_die(const char *directory, struct known *known)
{
	int ends[2], status;
	struct note note;
	assert_int_equal(pipe(ends), 0);
	uint64_t after_us = next_random() % LONGEST_US;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child(directory, ends[1], known);
		_exit(6);
	}
	close(ends[1]);
	/* a third of them dies while it opens, the others a while after that */
	bool is_early = next_random() % 3 == 0;
	if (!is_early && read(ends[0], &note, sizeof(note)) == (ssize_t)sizeof(note))
		take(known, &note);
	struct timespec time = { 0, (long)after_us * 1000 };
	nanosleep(&time, NULL);
	kill(pid, SIGKILL);
	while (read(ends[0], &note, sizeof(note)) == (ssize_t)sizeof(note))
		take(known, &note);
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("the process ended with %d", WEXITSTATUS(status));
}

static void nothing_acknowledged_is_lost_by_kill(void **state)
{
	struct known known = { .seed = 1 };
	struct fixture f;
	(void)state;
	fixture_begin(&f, NULL, SEGMENT_BYTES);
	const char *rounds = getenv("SPOOL_KILL_ROUNDS");
	int count = rounds ? atoi(rounds) : ROUNDS;
	for (int i = 0; i < count; i++)
		live_and_die(f.directory, &known);
	print_message("%d kills, %zu messages, judged %llu times\n", count, known.count,
		(unsigned long long)known.judged);
	assert_true(known.count > 0 && known.judged > 0);
	free(known.notes);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_acknowledged_is_lost_by_kill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
