#include "smtpd/control/control_queue.h"

#include <stdlib.h>
#include <time.h>

#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_routes.h"
#include "smtpd/spool/spool.h"

#define SLICE_NS 2000000
/* one field of a record: a line must stay under CONTROL_LINE_BYTES when every byte is encoded */
#define FIELD_BYTES 1000

struct walk {
	const struct control_rooms *rooms;
	int64_t now_s;
	bool is_list;		     /* all messages, waiting recipients only */
	size_t shard;
	uint64_t after;
	struct spool_reader *reader; /* the message under way */
	uint32_t recipient;	     /* its next one */
};

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void end_walk(void *state)
{
	struct walk *w = state;
	spool_reader_free(&w->reader);
	free(w);
}

static void put(struct buf *out, const char *key, struct str text)
{
	if (text.length)
		control_put_text(out, key,
			str_head(text, text.length < FIELD_BYTES ? text.length : FIELD_BYTES));
}

/* ---- records ------------------------------------------------------------------------------------------ */

static const char *const state_names[] = { [SPOOL_RECIPIENT_WAITING] = "waiting",
	[SPOOL_RECIPIENT_DELIVERED] = "delivered", [SPOOL_RECIPIENT_FAILED] = "failed",
	[SPOOL_RECIPIENT_REMOVED] = "removed", [SPOOL_RECIPIENT_HELD] = "held" };

static void put_message(struct buf *out, const struct spool_envelope *e, const struct walk *w)
{
	static const char *const ret_names[] = { [SPOOL_RET_NONE] = "", [SPOOL_RET_FULL] = "full",
		[SPOOL_RET_HDRS] = "hdrs" };
	char id[17];
	uint32_t waiting = 0;
	for (uint32_t i = 0; i < e->recipient_count; i++)
		waiting += spool_recipient_is_open(e->recipients[i].state);
	control_put_begin(out, "message");
	control_put_text(out, "id", str_of(spool_id_format(e->id, id)));
	control_put_number(out, "received", e->received_s);
	control_put_number(out, "age", w->now_s > e->received_s ? w->now_s - e->received_s : 0);
	control_put_number(out, "size", (int64_t)e->size_bytes);
	control_put_text(out, "sender",
		str_head(e->sender, e->sender.length < FIELD_BYTES ? e->sender.length : FIELD_BYTES));
	control_put_number(out, "recipient_count", e->recipient_count);
	control_put_number(out, "waiting_count", waiting);
	put(out, "client", e->client);
	put(out, "envid", e->envid);
	if (e->ret <= SPOOL_RET_HDRS)
		put(out, "ret", str_of(ret_names[e->ret]));
	if (e->flags & SPOOL_FLAG_BOUNCE)
		control_put_number(out, "bounce", 1);
	if (e->flags & SPOOL_FLAG_SMTPUTF8)
		control_put_number(out, "smtputf8", 1);
	control_put_end(out);
}

static void put_destination(struct buf *out, const struct config *config, struct str address,
	int64_t now_s)
{
	size_t at = str_find_last(address, '@');
	struct str domain = at < address.length ? str_skip(address, at + 1) : STR("");
	struct relay_destination *d =
		relay_routes_find(config->routes, config->rules, domain, now_s);
	char *words = relay_destination_words(d);
	put(out, "destination", str_of(words));
	free(words);
	relay_destination_unref(&d);
}

static void put_recipient(struct buf *out, const struct walk *w, const struct spool_recipient *r)
{
	bool is_waiting = r->state == SPOOL_RECIPIENT_WAITING;
	control_put_begin(out, "recipient");
	put(out, "address", r->address);
	control_put_text(out, "state",
		str_of(r->state <= SPOOL_RECIPIENT_HELD ? state_names[r->state] : "unknown"));
	control_put_number(out, "attempts", r->attempts);
	if (is_waiting) {
		control_put_number(out, "due", r->due_s);
		control_put_number(out, "due_in",
			r->due_s > w->now_s ? r->due_s - w->now_s : 0);
		put_destination(out, w->rooms->config(w->rooms->ctx), r->address, w->now_s);
	}
	if (spool_recipient_is_open(r->state) && r->cause != SPOOL_CAUSE_NONE)
		put(out, "cause", str_of(spool_cause_name(r->cause)));
	put(out, "reason", r->reason);
	put(out, "via", r->via);
	put(out, "orcpt", r->orcpt);
	control_put_end(out);
}

/* ---- slices ------------------------------------------------------------------------------------------- */

/* The next message of the list; false at the end of all shards. */
static bool open_next(struct walk *w, struct buf *out)
{
	const struct spool *spool;
	while ((spool = control_rooms_spool(w->rooms, w->shard)) != NULL) {
		w->after = spool_next_id(spool, w->after);
		if (!w->after) {
			w->shard++;
			continue;
		}
		struct err err;
		char id[17];
		w->recipient = 0;
		w->reader = spool_read(control_rooms_spool(w->rooms, w->shard), w->after, &err);
		if (w->reader) {
			put_message(out, spool_reader_envelope(w->reader), w);
		} else if (err.kind != ERR_INPUT) { /* damaged: say so and go on */
			control_put_begin(out, "damaged");
			control_put_text(out, "id", str_of(spool_id_format(w->after, id)));
			control_put_text(out, "reason", str_of(err.text));
			control_put_end(out);
		}
		return true;
	}
	return false;
}

/* One recipient, or the end of this message. */
static void next_recipient(struct walk *w, struct buf *out)
{
	const struct spool_envelope *e = spool_reader_envelope(w->reader);
	if (w->recipient == e->recipient_count) {
		spool_reader_free(&w->reader);
		return;
	}
	const struct spool_recipient *r = &e->recipients[w->recipient++];
	if (!w->is_list || spool_recipient_is_open(r->state))
		put_recipient(out, w, r);
}

static void step_walk(void *state, struct control_answer *answer)
{
	struct walk *w = state;
	struct buf *out = control_answer_out(answer);
	int64_t until_ns = now_ns() + SLICE_NS;
	while (out->length < CONTROL_SLICE_BYTES && now_ns() < until_ns) {
		if (w->reader) {
			next_recipient(w, out);
		} else if (!w->is_list || !open_next(w, out)) {
			control_answer_ok(answer);
			return;
		}
	}
}

static struct walk *walk_new(const struct control_rooms *rooms, int64_t now_s)
{
	struct walk *w = mem_zero(sizeof(*w));
	w->rooms = rooms;
	w->now_s = now_s;
	return w;
}

void control_queue_list(
	struct control_answer *answer, const struct control_rooms *rooms, int64_t now_s)
{
	struct walk *w = walk_new(rooms, now_s);
	w->is_list = true;
	control_answer_more(answer, step_walk, end_walk, w);
}

void control_queue_show(struct control_answer *answer, const struct control_rooms *rooms,
	struct spool_reader *reader, int64_t now_s)
{
	struct walk *w = walk_new(rooms, now_s);
	w->reader = reader;
	put_message(control_answer_out(answer), spool_reader_envelope(reader), w);
	control_answer_more(answer, step_walk, end_walk, w);
}

/* ---- bytes -------------------------------------------------------------------------------------------- */

static void step_cat(void *state, struct control_answer *answer)
{
	struct str piece;
	struct err err;
	if (spool_reader_next(state, &piece, &err) < 0)
		control_answer_error(answer, "%s", err.text);
	else if (piece.length == 0)
		control_answer_ok(answer);
	else
		control_put_data(control_answer_out(answer), piece);
}

static void end_cat(void *state)
{
	struct spool_reader *reader = state;
	spool_reader_free(&reader);
}

void control_queue_cat(struct control_answer *answer, struct spool_reader *reader)
{
	control_answer_more(answer, step_cat, end_cat, reader);
}
