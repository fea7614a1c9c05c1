#include "smtpd/posternctl_spool_print.h"

#include "smtpd/control/control_print.h"

/* ---- words ------------------------------------------------------------------------------------ */

static const char *const state_names[] = { [SPOOL_RECIPIENT_WAITING] = "waiting",
	[SPOOL_RECIPIENT_DELIVERED] = "delivered", [SPOOL_RECIPIENT_FAILED] = "failed",
	[SPOOL_RECIPIENT_REMOVED] = "removed", [SPOOL_RECIPIENT_HELD] = "held" };
static const char *const fault_names[] = { [SPOOL_CHECK_BODY] = "body",
	[SPOOL_CHECK_ENVELOPE] = "envelope", [SPOOL_CHECK_HISTORY] = "history" };
static const char *const end_names[] = { [SPOOL_CHECK_EMPTY] = "empty",
	[SPOOL_CHECK_CLOSED] = "closed", [SPOOL_CHECK_OPEN] = "open",
	[SPOOL_CHECK_TORN] = "torn" };

static const char *type_name(const struct spool_check_place *place)
{
	static const char *const names[] = { [0] = "unknown", [SPOOL_RECORD_MARK] = "mark",
		[SPOOL_RECORD_CHUNK] = "piece", [SPOOL_RECORD_COMMIT] = "envelope",
		[SPOOL_RECORD_SETTLE] = "outcome", [SPOOL_RECORD_DONE] = "done",
		[SPOOL_RECORD_END] = "end", [SPOOL_RECORD_IN_USE] = "segments-in-use",
		[SPOOL_RECORD_GIVEN_BACK] = "segments-given-back" };
	if (place->is_header)
		return "header";
	return place->type < sizeof(names) / sizeof(names[0]) ? names[place->type] : names[0];
}

static void put_size(struct buf *to, uint64_t bytes)
{
	control_print_size(to, (int64_t)bytes);
}

static void put_count(struct buf *to, uint64_t count, const char *one, const char *many)
{
	buf_printf(to, "%llu %s", (unsigned long long)count, count == 1 ? one : many);
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static void begin_json(const struct posternctl_spool_page *page, const char *kind)
{
	buf_printf(page->to, "{\"kind\":\"%s\",\"directory\":", kind);
	control_print_json_text(page->to, str_of(page->directory));
}

static void json_number(struct buf *to, const char *key, uint64_t value)
{
	buf_printf(to, ",\"%s\":%llu", key, (unsigned long long)value);
}

static void json_bool(struct buf *to, const char *key, bool value)
{
	buf_printf(to, ",\"%s\":%s", key, value ? "true" : "false");
}

static void json_word(struct buf *to, const char *key, const char *word)
{
	buf_printf(to, ",\"%s\":\"%s\"", key, word);
}

static void json_segment_number(struct buf *to, uint32_t number)
{
	buf_printf(to, ",\"segment\":\"%08x\"", (unsigned)number);
}

static void json_id(struct buf *to, uint64_t id)
{
	char name[17];
	if (id)
		json_word(to, "message", spool_id_format(id, name));
	else
		buf_append_text(to, ",\"message\":null");
}

/* ---- segments and places ----------------------------------------------------------------------- */

static void segment_json(const struct posternctl_spool_page *page,
	const struct spool_check_segment *s)
{
	struct buf *to = page->to;
	begin_json(page, "segment");
	json_segment_number(to, s->number);
	json_bool(to, "missing", s->is_missing);
	json_bool(to, "unreadable", s->is_unreadable);
	json_number(to, "file_bytes", s->file_bytes);
	json_number(to, "used_bytes", s->used_bytes);
	json_number(to, "live_bytes", s->live_bytes);
	json_number(to, "records", s->records);
	json_number(to, "damaged_places", s->places);
	json_number(to, "damaged_bytes", s->damaged_bytes);
	buf_append_text(to, "}\n");
}

void posternctl_spool_put_segment(
	const struct posternctl_spool_page *page, const struct spool_check_segment *s)
{
	struct buf *to = page->to;
	if (page->is_json) {
		segment_json(page, s);
		return;
	}
	buf_printf(to, "  segment %08x: ", (unsigned)s->number);
	if (s->is_missing) {
		buf_printf(to,
			"MISSING: it was in use when segment %08x began, and was not given back "
			"since; mail that was only in it is lost\n",
			(unsigned)s->told_by);
		return;
	}
	put_count(to, s->records, "record, ", "records, ");
	put_size(to, s->used_bytes);
	buf_append_text(to, " of ");
	put_size(to, s->file_bytes);
	buf_append_text(to, " used, ");
	put_size(to, s->live_bytes);
	buf_append_text(to, " needed");
	if (s->is_unreadable) {
		buf_append_text(to, ": UNREADABLE\n");
	} else if (s->places) {
		buf_append_text(to, ": DAMAGED in ");
		put_count(to, s->places, "place", "places");
		buf_printf(to, " (%llu bytes)\n", (unsigned long long)s->damaged_bytes);
	} else {
		buf_append_text(to, ": whole\n");
	}
}

static void place_json(
	const struct posternctl_spool_page *page, const struct spool_check_place *p)
{
	struct buf *to = page->to;
	begin_json(page, "place");
	json_segment_number(to, p->segment);
	json_number(to, "from", p->from);
	json_number(to, "to", p->to);
	json_word(to, "what", type_name(p));
	json_id(to, p->id);
	json_bool(to, "guess", p->is_guess);
	json_bool(to, "malformed", p->is_malformed);
	buf_append_text(to, "}\n");
}

void posternctl_spool_put_place(
	const struct posternctl_spool_page *page, const struct spool_check_place *p)
{
	static const char *const words[] = { [0] = "what stood there cannot be told",
		[SPOOL_RECORD_MARK] = "a mark (no mail in it)",
		[SPOOL_RECORD_CHUNK] = "a piece of a body",
		[SPOOL_RECORD_COMMIT] = "an envelope: sender and recipients",
		[SPOOL_RECORD_SETTLE] = "what became of recipients",
		[SPOOL_RECORD_DONE] = "that a message is done with",
		[SPOOL_RECORD_END] = "the end of the segment",
		[SPOOL_RECORD_IN_USE] = "the list of segments (no mail in it)",
		[SPOOL_RECORD_GIVEN_BACK] = "which segments went (no mail in it)" };
	char name[17];
	struct buf *to = page->to;
	if (page->is_json) {
		place_json(page, p);
		return;
	}
	buf_printf(to, "    bytes %u to %u: ", (unsigned)p->from, (unsigned)p->to);
	if (p->is_header)
		buf_append_text(to, "the header of the segment (no mail in it)");
	else if (p->is_guess && p->type)
		buf_printf(to, "probably %s", words[p->type]);
	else
		buf_append_text(to, words[p->type]);
	if (p->id)
		buf_printf(to, ", of message %s", spool_id_format(p->id, name));
	buf_append_text(to, p->is_malformed ? ": it makes no sense\n" : "\n");
}

/* ---- messages ---------------------------------------------------------------------------------- */

static void message_json(const struct posternctl_spool_page *page,
	const struct spool_check_message *m)
{
	struct buf *to = page->to;
	const struct spool_envelope *e = m->envelope;
	begin_json(page, "message");
	json_id(to, m->id);
	json_word(to, "fault", fault_names[m->fault]);
	json_bool(to, "guess", m->is_guess);
	json_number(to, "pieces", m->pieces);
	json_number(to, "lost_pieces", m->lost_pieces);
	if (e) {
		buf_printf(to, ",\"received\":%lld", (long long)e->received_s);
		json_number(to, "size", e->size_bytes);
		buf_append_text(to, ",\"sender\":");
		control_print_json_text(to, e->sender);
	} else {
		buf_append_text(to, ",\"sender\":null");
	}
	buf_append_text(to, ",\"recipients\":[");
	for (uint32_t i = 0; e && i < e->recipient_count; i++) {
		buf_append_text(to, i ? ",{\"address\":" : "{\"address\":");
		control_print_json_text(to, e->recipients[i].address);
		json_word(to, "state", state_names[e->recipients[i].state]);
		buf_append_byte(to, '}');
	}
	buf_append_text(to, "]}\n");
}

static void put_people(struct buf *to, const struct spool_check_message *m)
{
	const struct spool_envelope *e = m->envelope;
	if (!e) {
		buf_append_text(to, "    sender and recipients are not known\n");
		return;
	}
	buf_append_text(to, m->is_guess ? "    as far as it can be read, from <" : "    from <");
	control_print_safe(to, e->sender);
	buf_append_text(to, ">\n");
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		const struct spool_recipient *r = &e->recipients[i];
		buf_append_text(to, "    to <");
		control_print_safe(to, r->address);
		buf_printf(to, ">%s%s\n", r->state == SPOOL_RECIPIENT_WAITING ? "" : " ",
			r->state == SPOOL_RECIPIENT_WAITING ? "" : state_names[r->state]);
	}
}

void posternctl_spool_put_message(
	const struct posternctl_spool_page *page, const struct spool_check_message *m)
{
	char name[17];
	struct buf *to = page->to;
	if (page->is_json) {
		message_json(page, m);
		return;
	}
	buf_printf(to, "  message %s: ", spool_id_format(m->id, name));
	if (m->fault == SPOOL_CHECK_BODY)
		buf_printf(to, "LOST: %u of %u pieces of its body cannot be read\n",
			(unsigned)m->lost_pieces, (unsigned)m->pieces);
	else if (m->fault == SPOOL_CHECK_ENVELOPE)
		buf_append_text(to, "LOST: its envelope cannot be read\n");
	else
		buf_append_text(to,
			"whole, but an outcome of it cannot be read: whom it was delivered to "
			"may get it again\n");
	put_people(to, m);
}

/* ---- all of it --------------------------------------------------------------------------------- */

static void totals_json(
	const struct posternctl_spool_page *page, const struct spool_check_totals *t)
{
	struct buf *to = page->to;
	begin_json(page, "shard");
	json_number(to, "shard", t->shard);
	json_bool(to, "damaged", spool_check_found_damage(t));
	json_number(to, "segments", t->segments);
	json_number(to, "missing_segments", t->missing_segments);
	json_number(to, "file_bytes", t->file_bytes);
	json_number(to, "records", t->records);
	json_number(to, "damaged_places", t->places);
	json_number(to, "damaged_bytes", t->damaged_bytes);
	json_number(to, "living", t->living);
	json_number(to, "living_bytes", t->living_bytes);
	json_number(to, "waiting_recipients", t->waiting_recipients);
	json_number(to, "gone", t->gone);
	json_number(to, "lost_bodies", t->damaged_messages);
	json_number(to, "lost_envelopes", t->lost_messages);
	json_number(to, "lost_outcomes", t->doubtful_messages);
	json_number(to, "moving", t->moving);
	json_word(to, "end", end_names[t->end]);
	if (t->end != SPOOL_CHECK_EMPTY) {
		json_segment_number(to, t->end_at.segment);
		json_number(to, "end_at", t->end_at.offset);
	}
	buf_append_text(to, "}\n");
}

static void put_end(struct buf *to, const struct spool_check_totals *t)
{
	static const char *const words[] = { [SPOOL_CHECK_EMPTY] = "",
		[SPOOL_CHECK_CLOSED] = "closed in order",
		[SPOOL_CHECK_OPEN] = "open: posternd runs, or was killed",
		[SPOOL_CHECK_TORN] = "in the middle of a write that nobody was told of: posternd "
				     "runs, or was killed" };
	if (t->end == SPOOL_CHECK_EMPTY)
		buf_append_text(to, "  there is no log yet\n");
	else
		buf_printf(to, "  the log ends at byte %u of segment %08x, %s\n",
			(unsigned)t->end_at.offset, (unsigned)t->end_at.segment, words[t->end]);
}

void posternctl_spool_put_totals(
	const struct posternctl_spool_page *page, const struct spool_check_totals *t)
{
	struct buf *to = page->to;
	if (page->is_json) {
		totals_json(page, t);
		return;
	}
	put_end(to, t);
	buf_append_text(to, "  ");
	put_count(to, t->living, "message (", "messages (");
	put_size(to, t->living_bytes);
	buf_append_text(to, ") with ");
	put_count(to, t->waiting_recipients, "recipient waiting", "recipients waiting");
	buf_printf(to, ", %llu gone", (unsigned long long)t->gone);
	if (t->moving)
		buf_printf(to, ", %llu delivered or moved while this looked",
			(unsigned long long)t->moving);
	buf_append_byte(to, '\n');
	if (!spool_check_found_damage(t)) {
		buf_append_text(to, "  no damage\n");
		return;
	}
	buf_append_text(to, "  DAMAGE: ");
	put_count(to, t->places, "place, ", "places, ");
	put_count(to, t->missing_segments, "segment missing, ", "segments missing, ");
	put_count(to, t->damaged_messages + t->lost_messages, "message lost, ", "messages lost, ");
	put_count(to, t->doubtful_messages, "message may be delivered twice\n",
		"messages may be delivered twice\n");
}

void posternctl_spool_put_repaired(const struct posternctl_spool_page *page, const char *directory,
	const struct spool_repaired *r)
{
	struct buf *to = page->to;
	if (page->is_json) {
		begin_json(page, "repair");
		buf_append_text(to, ",\"to\":");
		control_print_json_text(to, str_of(directory));
		json_number(to, "messages", r->messages);
		json_number(to, "message_bytes", r->message_bytes);
		json_number(to, "segments", r->segments);
		buf_append_text(to, "}\n");
		return;
	}
	buf_printf(to, "  written to %s: ", directory);
	put_count(to, r->messages, "message, ", "messages, ");
	put_size(to, r->message_bytes);
	buf_append_text(to, "; whatever is called LOST above is not in it\n");
}
