#include "tests/fakes/fake_spool.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

#define PIECE_BYTES 65536

struct message {
	struct list link; /* in durable or waiting */
	struct arena arena;
	struct spool_envelope envelope;
	struct buf content;
	void (*on_done)(void *ctx, uint64_t id, const struct err *error);
	void *done_ctx;
};

struct spool_writer {
	struct spool *spool;
	uint64_t id;
	struct buf content;
};

struct spool {
	struct tlsio_loop *loop;
	const struct spool_events *events;
	void *ctx;
	struct tlsio_turn turn;
	struct list durable;
	struct list waiting;
	uint64_t next_id;
	size_t open_writers;
	uint64_t commits;
	bool is_held;
	unsigned pins;
	enum err_kind fails[3];
	size_t write_after_bytes;
};

struct spool_reader {
	const struct message *message;
	size_t at;
};

/* ---- made by tests ---------------------------------------------------------------------------- */

static void on_end_of_turn(void *ctx);

struct spool *fake_spool_new(struct tlsio_loop *loop, const struct spool_events *events, void *ctx)
{
	struct spool *s = mem_zero(sizeof(*s));
	s->loop = loop;
	s->events = events;
	s->ctx = ctx;
	s->next_id = 0x1000;
	list_init(&s->durable);
	list_init(&s->waiting);
	tlsio_turn_init(&s->turn, loop, on_end_of_turn, s);
	return s;
}

struct spool *spool_open(struct tlsio_loop *loop, const char *directory, unsigned shard,
	const struct spool_settings *settings, struct spool_disk *disk,
	const struct spool_events *events, void *ctx, struct err *err)
{
	(void)directory;
	(void)shard;
	(void)settings;
	(void)disk;
	(void)err;
	return fake_spool_new(loop, events, ctx);
}

int spool_replay(struct spool *spool, struct err *err)
{
	(void)spool;
	(void)err;
	return 0;
}

static void free_message(struct message *m)
{
	arena_clear(&m->arena);
	buf_release(&m->content);
	free(m);
}

void spool_close(struct spool **spool)
{
	struct spool *s = *spool;
	if (!s)
		return;
	assert(!s->open_writers);
	tlsio_turn_cancel(&s->turn);
	LIST_EACH_SAFE (node, &s->durable)
		free_message(LIST_OWNER(node, struct message, link));
	LIST_EACH_SAFE (more, &s->waiting)
		free_message(LIST_OWNER(more, struct message, link));
	free(s);
	*spool = NULL;
}

void fake_spool_fail(struct spool *spool, enum fake_spool_step step, enum err_kind kind,
	size_t after_bytes)
{
	spool->fails[step] = kind;
	if (step == FAKE_SPOOL_WRITE)
		spool->write_after_bytes = after_bytes;
}

void fake_spool_hold(struct spool *spool)
{
	spool->is_held = true;
}

void fake_spool_release(struct spool *spool)
{
	spool->is_held = false;
	if (!list_is_empty(&spool->waiting))
		tlsio_turn_request(&spool->turn);
}

static int fail(const struct spool *spool, enum fake_spool_step step, struct err *err)
{
	static const char *const steps[] = { "begin", "write", "commit" };
	return err_set(err, spool->fails[step], "the fake spool was told to fail at %s",
		steps[step]);
}

/* ---- a message comes in ----------------------------------------------------------------------- */

struct spool_writer *spool_begin(struct spool *spool, struct err *err)
{
	if (spool->fails[FAKE_SPOOL_BEGIN] != ERR_NONE) {
		fail(spool, FAKE_SPOOL_BEGIN, err);
		return NULL;
	}
	struct spool_writer *w = mem_zero(sizeof(*w));
	w->spool = spool;
	w->id = spool->next_id++;
	spool->open_writers++;
	return w;
}

struct spool_writer *spool_begin_report(struct spool *spool, struct err *err)
{
	return spool_begin(spool, err);
}

uint64_t spool_writer_id(const struct spool_writer *w)
{
	return w->id;
}

int spool_write(struct spool_writer *w, struct str bytes, struct err *err)
{
	const struct spool *s = w->spool;
	buf_append_str(&w->content, bytes);
	if (s->fails[FAKE_SPOOL_WRITE] != ERR_NONE && w->content.length > s->write_after_bytes)
		return fail(s, FAKE_SPOOL_WRITE, err);
	return 0;
}

static struct str copy(struct arena *arena, struct str s)
{
	return s.length ? arena_str(arena, s) : (struct str){ "", 0 };
}

static void copy_envelope(const struct spool_envelope *from, struct message *m)
{
	struct spool_envelope *e = &m->envelope;
	*e = *from;
	e->sender = copy(&m->arena, from->sender);
	e->envid = copy(&m->arena, from->envid);
	e->client = copy(&m->arena, from->client);
	e->recipients = arena_alloc(&m->arena, from->recipient_count * sizeof(*e->recipients) + 1);
	for (uint32_t i = 0; i < from->recipient_count; i++) {
		e->recipients[i] = from->recipients[i];
		e->recipients[i].address = copy(&m->arena, from->recipients[i].address);
		e->recipients[i].orcpt = copy(&m->arena, from->recipients[i].orcpt);
		e->recipients[i].reason = copy(&m->arena, from->recipients[i].reason);
	}
}

void spool_commit(struct spool_writer **w, const struct spool_envelope *envelope,
	void (*on_done)(void *ctx, uint64_t id, const struct err *error), void *ctx)
{
	struct spool *spool = (*w)->spool;
	struct message *m = mem_zero(sizeof(*m));
	copy_envelope(envelope, m);
	m->envelope.id = (*w)->id;
	m->content = (*w)->content;
	m->envelope.size_bytes = m->content.length;
	m->on_done = on_done;
	m->done_ctx = ctx;
	list_push_back(&spool->waiting, &m->link);
	spool->open_writers--;
	free(*w);
	*w = NULL;
	if (!spool->is_held)
		tlsio_turn_request(&spool->turn);
}

static void commit_one(struct spool *spool, struct message *m)
{
	struct err why;
	list_remove(&m->link);
	if (spool->fails[FAKE_SPOOL_COMMIT] != ERR_NONE) {
		fail(spool, FAKE_SPOOL_COMMIT, &why);
		if (m->on_done)
			m->on_done(m->done_ctx, m->envelope.id, &why);
		free_message(m);
		return;
	}
	spool->commits++;
	list_push_back(&spool->durable, &m->link);
	if (spool->events && spool->events->on_message)
		spool->events->on_message(spool->ctx, &m->envelope);
	if (m->on_done)
		m->on_done(m->done_ctx, m->envelope.id, NULL);
}

static void on_end_of_turn(void *ctx)
{
	struct spool *spool = ctx;
	while (!spool->is_held && !list_is_empty(&spool->waiting))
		commit_one(spool, LIST_OWNER(list_first(&spool->waiting), struct message, link));
}

void spool_forget_caller(struct spool *spool, void *ctx)
{
	LIST_EACH (node, &spool->waiting) {
		struct message *m = LIST_OWNER(node, struct message, link);
		if (m->done_ctx == ctx)
			m->on_done = NULL;
	}
}

void spool_abandon(struct spool_writer **w)
{
	if (!*w)
		return;
	(*w)->spool->open_writers--;
	buf_release(&(*w)->content);
	free(*w);
	*w = NULL;
}

/* ---- a message goes out ----------------------------------------------------------------------- */

static struct message *find(const struct spool *spool, uint64_t id)
{
	LIST_EACH (node, &spool->durable) {
		struct message *m = LIST_OWNER(node, struct message, link);
		if (m->envelope.id == id)
			return m;
	}
	return NULL;
}

struct spool_reader *spool_read(struct spool *spool, uint64_t id, struct err *err)
{
	const struct message *m = find(spool, id);
	if (!m) {
		err_set(err, ERR_INPUT, "no such message");
		return NULL;
	}
	struct spool_reader *r = mem_zero(sizeof(*r));
	r->message = m;
	return r;
}

const struct spool_envelope *spool_reader_envelope(const struct spool_reader *r)
{
	return &r->message->envelope;
}

int spool_reader_next(struct spool_reader *r, struct str *ret_piece, struct err *err)
{
	(void)err;
	struct str rest = str_skip(buf_str(&r->message->content), r->at);
	*ret_piece = str_head(rest, rest.length < PIECE_BYTES ? rest.length : PIECE_BYTES);
	r->at += ret_piece->length;
	return 0;
}

void spool_reader_rewind(struct spool_reader *r)
{
	r->at = 0;
}

void spool_reader_free(struct spool_reader **r)
{
	free(*r);
	*r = NULL;
}

void spool_settle(struct spool *spool, uint64_t id, const struct spool_outcome *outcomes,
	size_t count)
{
	struct message *m = find(spool, id);
	for (size_t i = 0; m && i < count; i++) {
		const struct spool_outcome *o = &outcomes[i];
		assert(o->recipient < m->envelope.recipient_count);
		struct spool_recipient *r = &m->envelope.recipients[o->recipient];
		r->state = o->state;
		r->attempts = o->attempts;
		r->due_s = o->due_s;
		r->reason = copy(&m->arena, o->reason);
		r->cause = o->cause;
		r->told = o->told;
		r->via = copy(&m->arena, o->via);
	}
}

/* ---- looking ---------------------------------------------------------------------------------- */

static bool is_waiting(const struct message *m)
{
	for (uint32_t i = 0; i < m->envelope.recipient_count; i++) {
		if (spool_recipient_is_open(m->envelope.recipients[i].state))
			return true;
	}
	return false;
}

void spool_summarise(const struct spool *spool, struct spool_summary *ret)
{
	*ret = (struct spool_summary){ .commits = spool->commits,
		.syncs = spool->commits,
		.is_accepting = spool->fails[FAKE_SPOOL_BEGIN] == ERR_NONE };
	LIST_EACH (node, &spool->durable) {
		const struct message *m = LIST_OWNER(node, struct message, link);
		ret->messages += is_waiting(m);
		ret->message_bytes += is_waiting(m) ? m->content.length : 0;
	}
}

uint64_t spool_next_id(const struct spool *spool, uint64_t after)
{
	LIST_EACH (node, &spool->durable) {
		const struct message *m = LIST_OWNER(node, struct message, link);
		if (m->envelope.id > after && is_waiting(m))
			return m->envelope.id;
	}
	return 0;
}

static const struct message *at_index(const struct spool *spool, size_t index)
{
	LIST_EACH (node, &spool->durable) {
		if (index-- == 0)
			return LIST_OWNER(node, struct message, link);
	}
	return NULL;
}

static size_t length_of(const struct list *head)
{
	size_t length = 0;
	LIST_EACH (node, head)
		length++;
	return length;
}

size_t fake_spool_count(const struct spool *spool)
{
	return length_of(&spool->durable);
}

const struct spool_envelope *fake_spool_envelope(const struct spool *spool, size_t index)
{
	const struct message *m = at_index(spool, index);
	return m ? &m->envelope : NULL;
}

struct str fake_spool_content(const struct spool *spool, size_t index)
{
	const struct message *m = at_index(spool, index);
	return m ? buf_str(&m->content) : (struct str){ "", 0 };
}

size_t fake_spool_waiting(const struct spool *spool)
{
	return length_of(&spool->waiting);
}

size_t fake_spool_open_writers(const struct spool *spool)
{
	return spool->open_writers;
}

/* ---- a copy while it runs ----------------------------------------------------------------------- */

struct spool_pin {
	struct spool *spool;
	struct spool_pinned pinned;
	struct spool_pinned_segment segments[2];
};

struct spool_pin *spool_pin(struct spool *spool, struct err *err)
{
	if (spool->fails[FAKE_SPOOL_BEGIN] != ERR_NONE) {
		fail(spool, FAKE_SPOOL_BEGIN, err);
		return NULL;
	}
	struct spool_pin *pin = mem_zero(sizeof(*pin));
	pin->spool = spool;
	pin->segments[0] = (struct spool_pinned_segment){ 1, 4096 };
	pin->segments[1] = (struct spool_pinned_segment){ 7, 128 };
	pin->pinned = (struct spool_pinned){ .directory = "/spool/0 1", .shard = 3, .next_id = 99,
		.segments = pin->segments, .count = 2, .is_open = true };
	spool->pins++;
	return pin;
}

const struct spool_pinned *spool_pin_look(const struct spool_pin *pin)
{
	return &pin->pinned;
}

bool spool_pin_is_in_the_way(const struct spool_pin *pin)
{
	return pin->spool->fails[FAKE_SPOOL_COMMIT] != ERR_NONE;
}

void spool_unpin(struct spool_pin **pin)
{
	if (*pin)
		(*pin)->spool->pins--;
	free(*pin);
	*pin = NULL;
}

unsigned fake_spool_pins(const struct spool *spool)
{
	return spool->pins;
}
