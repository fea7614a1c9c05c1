#include "smtpd/sched/sched.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "smtpd/sched/sched_heap.h"
#include "smtpd/sched/sched_job.h"

/* How much a destination is trusted to give a slot back soon. */
enum sched_rank {
	RANK_WORKS,    /* succeeded since it last failed */
	RANK_UNTESTED, /* neither yet */
	RANK_FAILS,    /* failed last: probed by one job */
	RANK_COUNT,
};
/* New mail and mail that was put off take turns: neither starves the other. */
enum { FRESH, RETRIED, READY_LISTS };

/* Jobs started without a look at the loop's other events: those that end at once would otherwise
 * follow each other through the whole queue within one turn. */
enum { BURST_MOST = 64 };

/* Destinations with something to start: FIRST has nothing running yet, MORE has. */
enum turn {
	TURN_FIRST_WORKS,
	TURN_FIRST_UNTESTED,
	TURN_MORE_WORKS,
	TURN_MORE_UNTESTED,
	TURN_FAILS,
	TURN_COUNT
};
/* When slots are short they go round like this: to destinations that have none before those that
 * want one more, but nobody is left out for ever. */
static const enum turn schedule[] = { TURN_FIRST_WORKS, TURN_FIRST_UNTESTED, TURN_FIRST_WORKS,
	TURN_FIRST_UNTESTED, TURN_MORE_WORKS, TURN_FIRST_WORKS, TURN_FIRST_UNTESTED,
	TURN_MORE_UNTESTED, TURN_FIRST_WORKS, TURN_FIRST_UNTESTED, TURN_FAILS };
enum { SCHEDULE = sizeof(schedule) / sizeof(schedule[0]) };

enum {
	LONGEST_TIMER_MS = 600000, /* so that a wall clock that jumps is noticed */
	/* destinations without jobs, of which we remember how they did */
	IDLE_MOST = 10000,
	IDLE_MS = 3600000,
};

struct sched_destination {
	struct list link; /* on one of sched->turns while a job of it may start, or on sched->idle */
	struct list ready[READY_LISTS];
	struct list waiting;
	struct sched_heap_node pause; /* due: monotonic ms */
	int64_t pause_ms;	      /* the last one; 0: none since success */
	uint32_t job_count;
	uint32_t running;
	uint32_t concurrency;
	uint8_t rank;
	uint8_t turn;	   /* the list that link is on */
	uint8_t next_list; /* whose turn it is, FRESH or RETRIED */
	bool is_idle;
	int64_t idle_since_ms;
	UT_hash_handle hh;
	uint32_t key_length;
	char key[];
};

struct sched {
	struct tlsio_loop *loop;
	const struct sched_settings *settings;
	const struct sched_events *events;
	void *ctx;
	bool is_stopped;
	struct sched_destination *destinations;
	struct list turns[TURN_COUNT]; /* of destinations; in rotation */
	unsigned next_turn;	       /* index in schedule */
	struct list idle;	       /* destinations without jobs, longest first */
	uint32_t idle_count;
	uint32_t running[RANK_COUNT];
	uint32_t running_all;
	uint32_t burst; /* started since the timer last ran */
	struct idtable jobs;
	struct sched_heap waiting; /* jobs by due second */
	struct sched_heap paused;  /* destinations */
	struct tlsio_timer timer;
	struct tlsio_turn turn;
};

/* ---- destinations ---------------------------------------------------------------------------- */

static bool has_ready(const struct sched_destination *d)
{
	return !list_is_empty(&d->ready[FRESH]) || !list_is_empty(&d->ready[RETRIED]);
}

static enum turn turn_of(const struct sched_destination *d)
{
	if (d->rank == RANK_FAILS)
		return TURN_FAILS;
	if (d->rank == RANK_WORKS)
		return d->running ? TURN_MORE_WORKS : TURN_FIRST_WORKS;
	return d->running ? TURN_MORE_UNTESTED : TURN_FIRST_UNTESTED;
}

/* Puts it into or out of the rotation, as its state says. Call after every change. */
static void place_destination(struct sched *sched, struct sched_destination *d)
{
	bool may_start = has_ready(d) && d->pause.place == 0 && d->running < d->concurrency;
	assert(!d->is_idle);
	if (may_start && d->turn != turn_of(d))
		list_remove(&d->link);
	if (may_start && !list_is_linked(&d->link)) {
		d->turn = (uint8_t)turn_of(d);
		list_push_back(&sched->turns[d->turn], &d->link);
		tlsio_turn_request(&sched->turn);
	} else if (!may_start) {
		list_remove(&d->link);
	}
}

static struct sched_destination *find_destination(struct sched *sched, struct str key)
{
	struct sched_destination *d;
	HASH_FIND(hh, sched->destinations, key.at, key.length, d);
	return d;
}

static struct sched_destination *get_destination(struct sched *sched, struct str key)
{
	struct sched_destination *d = find_destination(sched, key);
	if (d && d->is_idle) {
		list_remove(&d->link);
		d->is_idle = false;
		sched->idle_count--;
	}
	if (d)
		return d;
	d = mem_zero(sizeof(*d) + key.length + 1);
	memcpy(d->key, key.at, key.length);
	d->key_length = (uint32_t)key.length;
	for (int i = 0; i < READY_LISTS; i++)
		list_init(&d->ready[i]);
	list_init(&d->waiting);
	d->concurrency = (uint32_t)sched->settings->concurrency_start;
	d->rank = RANK_UNTESTED;
	HASH_ADD_KEYPTR(hh, sched->destinations, d->key, d->key_length, d);
	return d;
}

static void forget_idle(struct sched *sched)
{
	int64_t now_ms = tlsio_loop_now_ms(sched->loop);
	struct list *node;
	while ((node = list_first(&sched->idle)) != NULL) {
		struct sched_destination *d = LIST_OWNER(node, struct sched_destination, link);
		if (sched->idle_count <= IDLE_MOST && now_ms - d->idle_since_ms < IDLE_MS)
			return;
		list_remove(node);
		sched->idle_count--;
		HASH_DELETE(hh, sched->destinations, d);
		free(d);
	}
}

/* Without jobs it is remembered for a while: whether it works is worth knowing. */
static void rest_if_idle(struct sched *sched, struct sched_destination *d)
{
	if (d->job_count || d->pause.place)
		return;
	list_remove(&d->link);
	list_push_back(&sched->idle, &d->link);
	d->is_idle = true;
	d->idle_since_ms = tlsio_loop_now_ms(sched->loop);
	sched->idle_count++;
	forget_idle(sched);
}

static void set_rank(struct sched *sched, struct sched_destination *d, enum sched_rank rank)
{
	list_remove(&d->link);
	d->rank = (uint8_t)rank;
	place_destination(sched, d);
}

static void succeed(struct sched *sched, struct sched_destination *d)
{
	long most = sched->settings->concurrency_most;
	sched_heap_remove(&sched->paused, &d->pause);
	d->pause_ms = 0;
	if (d->rank == RANK_FAILS)
		d->concurrency = (uint32_t)sched->settings->concurrency_start;
	else if ((long)d->concurrency < most)
		d->concurrency++;
	set_rank(sched, d, RANK_WORKS);
}

static void fail(struct sched *sched, struct sched_destination *d)
{
	/* those that were under way when it was found dead tell nothing new */
	if (d->pause.place)
		return;
	d->pause_ms = d->pause_ms ? d->pause_ms * 2 : sched->settings->pause_ms;
	if (d->pause_ms > sched->settings->longest_ms)
		d->pause_ms = sched->settings->longest_ms;
	d->concurrency = 1;
	sched_heap_add(
		&sched->paused, &d->pause, tlsio_loop_now_ms(sched->loop) + d->pause_ms);
	set_rank(sched, d, RANK_FAILS);
}

static void end_pause(struct sched *sched, struct sched_destination *d)
{
	sched_heap_remove(&sched->paused, &d->pause);
	place_destination(sched, d);
	rest_if_idle(sched, d);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static struct sched_job *job_in(struct idtable_node *node)
{
	return node ? LIST_OWNER(node, struct sched_job, by_message) : NULL;
}

static struct sched_job *first_job(const struct sched *sched, uint64_t message)
{
	return job_in(idtable_find(&sched->jobs, message));
}

/* Of the same message. */
static struct sched_job *next_job(const struct sched_job *job)
{
	return job_in(idtable_next(&job->by_message));
}

static struct sched_job *job_of(struct sched_heap_node *node)
{
	return LIST_OWNER(node, struct sched_job, timer);
}

static void make_ready(struct sched *sched, struct sched_job *job, int list)
{
	sched_heap_remove(&sched->waiting, &job->timer);
	list_remove(&job->link);
	job->state = SCHED_JOB_READY;
	list_push_back(&job->destination->ready[list], &job->link);
	place_destination(sched, job->destination);
}

/* Wall-clock seconds, as they stand in the spool, to the loop's own milliseconds: whatever happens to
 * the machine's clock while a job waits, the job waits no longer. A due beyond any pause we would
 * make was written under a clock that was ahead. */
static int64_t due_ms_of(const struct sched *sched, int64_t due_s)
{
	int64_t wait_s = due_s - tlsio_loop_time_s(sched->loop);
	int64_t longest_ms = sched->settings->longest_ms + sched->settings->longest_ms / 10 + 1000;
	int64_t wait_ms = wait_s > longest_ms / 1000 ? longest_ms : wait_s * 1000;
	return tlsio_loop_now_ms(sched->loop) + (wait_s > 0 ? wait_ms : 0);
}

/* Ready or waiting, as its due says. */
static void set_due(struct sched *sched, struct sched_job *job, int64_t due_ms, int list)
{
	if (due_ms <= tlsio_loop_now_ms(sched->loop)) {
		make_ready(sched, job, list);
		return;
	}
	sched_heap_remove(&sched->waiting, &job->timer);
	list_remove(&job->link);
	job->state = SCHED_JOB_WAITING;
	list_push_back(&job->destination->waiting, &job->link);
	sched_heap_add(&sched->waiting, &job->timer, due_ms);
	if (sched_heap_first(&sched->waiting) == &job->timer)
		tlsio_turn_request(&sched->turn);
}

static void free_job(struct sched *sched, struct sched_job *job)
{
	struct sched_destination *d = job->destination;
	sched_heap_remove(&sched->waiting, &job->timer);
	list_remove(&job->link);
	idtable_remove(&sched->jobs, &job->by_message);
	free(job);
	d->job_count--;
	place_destination(sched, d);
	rest_if_idle(sched, d);
}

void sched_add(struct sched *sched, uint64_t message, struct str destination, int64_t due_s)
{
	struct sched_destination *d = get_destination(sched, destination);
	int64_t due_ms = due_ms_of(sched, due_s);
	struct sched_job *job = first_job(sched, message);
	while (job && job->destination != d)
		job = next_job(job);
	if (job && job->state == SCHED_JOB_RUNNING) {
		if (!job->is_wanted_again || job->timer.due > due_ms)
			job->timer.due = due_ms;
		job->is_wanted_again = true;
		return;
	}
	if (job) {
		if (job->state == SCHED_JOB_WAITING && due_ms < job->timer.due)
			set_due(sched, job, due_ms, FRESH);
		return;
	}
	job = mem_zero(sizeof(*job));
	job->by_message.id = message;
	job->destination = d;
	d->job_count++;
	idtable_add(&sched->jobs, &job->by_message);
	set_due(sched, job, due_ms, FRESH);
}

uint64_t sched_job_message(const struct sched_job *job)
{
	return job->by_message.id;
}

struct str sched_job_destination(const struct sched_job *job)
{
	return str_from(job->destination->key, job->destination->key_length);
}

void sched_finish(struct sched *sched, struct sched_job *job, enum sched_result result,
	int64_t due_s)
{
	struct sched_destination *d = job->destination;
	assert(job->state == SCHED_JOB_RUNNING && d->running > 0);
	d->running--;
	sched->running[job->rank]--;
	sched->running_all--;
	tlsio_turn_request(&sched->turn);
	if (result == SCHED_UNREACHABLE)
		fail(sched, d);
	else if (result != SCHED_UNTRIED)
		succeed(sched, d);
	if (result == SCHED_SETTLED && !job->is_wanted_again) {
		free_job(sched, job);
		return;
	}
	int64_t due_ms = due_ms_of(sched, due_s);
	if (job->is_wanted_again && (result == SCHED_SETTLED || job->timer.due < due_ms))
		due_ms = job->timer.due;
	job->is_wanted_again = false;
	set_due(sched, job, due_ms, RETRIED);
	place_destination(sched, d);
}

/* ---- starting -------------------------------------------------------------------------------- */

static struct sched_job *take_job(struct sched_destination *d)
{
	int which = d->next_list;
	if (list_is_empty(&d->ready[which]))
		which = 1 - which;
	d->next_list = (uint8_t)(1 - which);
	struct list *node = list_first(&d->ready[which]);
	list_remove(node);
	return LIST_OWNER(node, struct sched_job, link);
}

/* Slots that this rank may have in all. Destinations that fail hold theirs for minutes: a quarter
 * while slots are free, a sixteenth when they are short. Untested ones may turn out so, and leave
 * a quarter to those that work. */
static bool rank_may_start(const struct sched *sched, enum sched_rank rank)
{
	uint32_t most = (uint32_t)sched->settings->running_most;
	uint32_t failing = sched->running[RANK_FAILS];
	if (sched->running_all >= most)
		return false;
	if (rank == RANK_FAILS)
		return failing < (most + 15) / 16 ||
		       (failing < most / 4 && sched->running_all < most * 3 / 4);
	if (rank == RANK_UNTESTED)
		return failing + sched->running[RANK_UNTESTED] < (3 * most + 3) / 4;
	return true;
}

/* A destination with many slots gives way where few are left: each may hold as many as are free,
 * so some always are. */
static bool has_share(const struct sched *sched, const struct sched_destination *d)
{
	uint32_t left = (uint32_t)sched->settings->running_most - sched->running_all;
	return d->running == 0 || d->running < left;
}

static void start(struct sched *sched, struct sched_destination *d)
{
	struct sched_job *job = take_job(d);
	job->state = SCHED_JOB_RUNNING;
	job->rank = d->rank;
	d->running++;
	sched->running[d->rank]++;
	sched->running_all++;
	sched->burst++;
	/* to the back of the rotation */
	list_remove(&d->link);
	place_destination(sched, d);
	sched->events->start(sched->ctx, job);
}

static struct sched_destination *next_of(struct sched *sched, enum turn turn)
{
	/* at FIRST the first will do; of MORE there are no more than slots, since each has one */
	LIST_EACH(node, &sched->turns[turn]) {
		struct sched_destination *d = LIST_OWNER(node, struct sched_destination, link);
		if (!rank_may_start(sched, (enum sched_rank)d->rank))
			return NULL;
		if (has_share(sched, d))
			return d;
	}
	return NULL;
}

static void start_all(struct sched *sched)
{
	unsigned in_vain = 0;
	while (in_vain < SCHEDULE && !sched->is_stopped && sched->burst < BURST_MOST) {
		struct sched_destination *d = next_of(sched, schedule[sched->next_turn]);
		sched->next_turn = (sched->next_turn + 1) % SCHEDULE;
		in_vain = d ? 0 : in_vain + 1;
		if (d)
			start(sched, d);
	}
}

static void wake_due(struct sched *sched)
{
	struct sched_heap_node *node;
	int64_t now_ms = tlsio_loop_now_ms(sched->loop);
	while ((node = sched_heap_first(&sched->waiting)) && node->due <= now_ms)
		make_ready(sched, job_of(node), RETRIED);
	while ((node = sched_heap_first(&sched->paused)) && node->due <= now_ms)
		end_pause(sched, LIST_OWNER(node, struct sched_destination, pause));
}

static void set_timer(struct sched *sched)
{
	struct sched_heap_node *job = sched_heap_first(&sched->waiting);
	struct sched_heap_node *pause = sched_heap_first(&sched->paused);
	int64_t after_ms = LONGEST_TIMER_MS;
	if (sched->burst >= BURST_MOST) { /* on_due goes on, in another turn */
		tlsio_timer_start(&sched->timer, 0);
		return;
	}
	if (!job && !pause) {
		tlsio_timer_stop(&sched->timer);
		return;
	}
	if (job && job->due - tlsio_loop_now_ms(sched->loop) < after_ms)
		after_ms = job->due - tlsio_loop_now_ms(sched->loop);
	if (pause && pause->due - tlsio_loop_now_ms(sched->loop) < after_ms)
		after_ms = pause->due - tlsio_loop_now_ms(sched->loop);
	tlsio_timer_start(&sched->timer, after_ms > 0 ? after_ms : 0);
}

static void on_end_of_turn(void *ctx)
{
	struct sched *sched = ctx;
	wake_due(sched);
	start_all(sched);
	set_timer(sched);
}

static void on_due(void *ctx)
{
	struct sched *sched = ctx;
	sched->burst = 0;
	tlsio_turn_request(&sched->turn);
}

/* ---- the operator ---------------------------------------------------------------------------- */

static size_t flush_waiting(struct sched *sched, struct sched_destination *d)
{
	size_t count = 0;
	bool is_paused = d->pause.place != 0;
	/* also those whose time had come, but not the destination's */
	for (int i = 0; i < READY_LISTS && is_paused; i++) {
		LIST_EACH(node, &d->ready[i])
			count++;
	}
	LIST_EACH_SAFE(node, &d->waiting) {
		make_ready(sched, LIST_OWNER(node, struct sched_job, link), RETRIED);
		count++;
	}
	if (is_paused)
		end_pause(sched, d);
	return count;
}

size_t sched_flush_all(struct sched *sched)
{
	struct sched_destination *d, *next;
	size_t count = 0;
	HASH_ITER(hh, sched->destinations, d, next)
		count += flush_waiting(sched, d);
	return count;
}

size_t sched_flush_destination(struct sched *sched, struct str destination)
{
	struct sched_destination *d = find_destination(sched, destination);
	return d ? flush_waiting(sched, d) : 0;
}

size_t sched_flush_message(struct sched *sched, uint64_t message)
{
	size_t count = 0;
	for (struct sched_job *job = first_job(sched, message); job;
		job = next_job(job)) {
		bool is_held = job->destination->pause.place != 0;
		if (job->state == SCHED_JOB_RUNNING ||
			(job->state == SCHED_JOB_READY && !is_held))
			continue;
		make_ready(sched, job, FRESH);
		/* first in its queue, since it is the one that was asked for */
		list_remove(&job->link);
		list_push_front(&job->destination->ready[FRESH], &job->link);
		if (is_held)
			end_pause(sched, job->destination);
		count++;
	}
	return count;
}

void sched_remove(struct sched *sched, uint64_t message)
{
	struct sched_job *job = first_job(sched, message);
	while (job) {
		struct sched_job *next = next_job(job);
		if (job->state == SCHED_JOB_RUNNING)
			job->is_wanted_again = false;
		else
			free_job(sched, job);
		job = next;
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

struct sched *sched_new(struct tlsio_loop *loop, const struct sched_settings *settings,
	const struct sched_events *events, void *ctx)
{
	struct sched *sched = mem_zero(sizeof(*sched));
	sched->loop = loop;
	sched->settings = settings;
	sched->events = events;
	sched->ctx = ctx;
	for (int i = 0; i < TURN_COUNT; i++)
		list_init(&sched->turns[i]);
	list_init(&sched->idle);
	tlsio_timer_init(&sched->timer, loop, on_due, sched);
	tlsio_turn_init(&sched->turn, loop, on_end_of_turn, sched);
	return sched;
}

static void free_node(struct idtable_node *node)
{
	free(job_in(node));
}

void sched_free(struct sched **sched_p)
{
	struct sched *sched = *sched_p;
	struct sched_destination *d, *next;
	if (!sched)
		return;
	*sched_p = NULL;
	tlsio_timer_stop(&sched->timer);
	tlsio_turn_cancel(&sched->turn);
	idtable_clear(&sched->jobs, free_node);
	HASH_ITER(hh, sched->destinations, d, next) {
		HASH_DELETE(hh, sched->destinations, d);
		free(d);
	}
	sched_heap_clear(&sched->waiting);
	sched_heap_clear(&sched->paused);
	free(sched);
}

void sched_set_settings(struct sched *sched, const struct sched_settings *settings)
{
	sched->settings = settings;
	tlsio_turn_request(&sched->turn);
}

void sched_stop(struct sched *sched)
{
	sched->is_stopped = true;
}

size_t sched_running_count(const struct sched *sched)
{
	return sched->running_all;
}

size_t sched_waiting_count(const struct sched *sched)
{
	return sched->jobs.count - sched->running_all;
}
