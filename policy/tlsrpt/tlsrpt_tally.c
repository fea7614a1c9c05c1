#include "policy/tlsrpt/tlsrpt_tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "policy/policy_domain.h"
#include "policy/tlsrpt/tlsrpt_file.h"
#include "policy/tlsrpt/tlsrpt_known.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

enum { NEXT_PIECE_MS = 20, AGAIN_MS = 10000, DAYS_WATCHED = 4, WORDS_BYTES = 300 };

struct entry {
	UT_hash_handle hh;
	uint8_t id[TLSRPT_ROW_ID_BYTES];
	struct tlsrpt_row row;
	struct list dirty; /* on tally->dirty: to be written */
	struct list age;   /* on tally->ages: the longest untouched first */
};

/* How many rows there are of a day that something was counted on lately. */
struct day {
	bool is_used, is_warned;
	int64_t day;
	size_t rows;
};

struct tlsrpt_tally {
	struct tlsio_loop *loop;
	char *path;
	long rows_most, days_kept;
	uint64_t bytes_most;
	enum tlsrpt_tally_mode mode;
	struct tlsrpt_file *file; /* NULL: memory only */
	struct tlsrpt_known *known;
	struct entry *entries;
	struct list dirty, ages;
	size_t dirty_count;
	struct day days[DAYS_WATCHED];
	int64_t pruned_day; /* days before it are gone from the file */
	struct tlsio_timer flush;
	struct buf scratch, failure;
	bool is_in_trouble; /* said already */
	uint64_t counted, dropped;
	void (*on_warning)(void *ctx, const char *words);
	void *ctx;
};

__attribute__((format(printf, 2, 3))) static void warn(struct tlsrpt_tally *t, const char *format, ...)
{
	char words[WORDS_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	t->on_warning(t->ctx, words);
}

/* ---- rows in memory ---------------------------------------------------------------------------- */

static void free_entry(struct tlsrpt_tally *t, struct entry *e)
{
	HASH_DEL(t->entries, e);
	if (list_is_linked(&e->dirty))
		t->dirty_count--;
	list_remove(&e->dirty);
	list_remove(&e->age);
	tlsrpt_row_clear(&e->row);
	free(e);
}

static void mark_dirty(struct tlsrpt_tally *t, struct entry *e)
{
	if (!t->file || list_is_linked(&e->dirty))
		return;
	list_push_back(&t->dirty, &e->dirty);
	t->dirty_count++;
	if (!tlsio_timer_is_active(&t->flush))
		tlsio_timer_start(&t->flush, TLSRPT_TALLY_FLUSH_MS);
}

static struct entry *find(struct tlsrpt_tally *t, const uint8_t id[TLSRPT_ROW_ID_BYTES])
{
	struct entry *e;
	HASH_FIND(hh, t->entries, id, TLSRPT_ROW_ID_BYTES, e);
	return e;
}

/* Takes row. */
static struct entry *put(struct tlsrpt_tally *t, const uint8_t id[TLSRPT_ROW_ID_BYTES],
	const struct tlsrpt_row *row)
{
	struct entry *e = mem_zero(sizeof(*e));
	memcpy(e->id, id, sizeof(e->id));
	e->row = *row;
	HASH_ADD(hh, t->entries, id, TLSRPT_ROW_ID_BYTES, e);
	list_push_back(&t->ages, &e->age);
	return e;
}

/* With a file: what is written already goes, the longest untouched first. Without: old days do. */
static bool make_room(struct tlsrpt_tally *t)
{
	size_t most = t->file ? TLSRPT_TALLY_MEMORY_ROWS : (size_t)t->rows_most;
	if (HASH_COUNT(t->entries) < most)
		return true;
	if (t->file && t->dirty_count >= HASH_COUNT(t->entries))
		return false; /* the disk is in trouble: none can be given up */
	int64_t keep = tlsrpt_row_day(tlsio_loop_time_s(t->loop)) - t->days_kept;
	LIST_EACH_SAFE (node, &t->ages) {
		struct entry *e = LIST_OWNER(node, struct entry, age);
		if (HASH_COUNT(t->entries) < most)
			break;
		if (t->file ? !list_is_linked(&e->dirty) : e->row.day < keep)
			free_entry(t, e);
	}
	return HASH_COUNT(t->entries) < most;
}

static struct day *day_of(struct tlsrpt_tally *t, int64_t day)
{
	struct day *oldest = &t->days[0];
	for (size_t i = 0; i < DAYS_WATCHED; i++) {
		struct day *d = &t->days[i];
		if (d->is_used && d->day == day)
			return d;
		if (!d->is_used || (oldest->is_used && d->day < oldest->day))
			oldest = d;
	}
	*oldest = (struct day){ .is_used = true, .day = day,
		.rows = t->file ? tlsrpt_file_count(t->file, day) : 0 };
	return oldest;
}

static struct entry *refuse(struct tlsrpt_tally *t, struct day *day, const char *why)
{
	t->dropped++;
	if (!day->is_warned)
		warn(t, "TLSRPT: sessions of this day are left out: %s", why);
	day->is_warned = true;
	return NULL;
}

/* NULL: there is no room for it. */
static struct entry *entry_of(struct tlsrpt_tally *t, int64_t day, struct str domain, struct str record,
	struct str policy)
{
	uint8_t id[TLSRPT_ROW_ID_BYTES];
	struct tlsrpt_row row;
	tlsrpt_row_id(day, domain, record, policy, id);
	struct entry *e = find(t, id);
	if (e) {
		list_remove(&e->age);
		list_push_back(&t->ages, &e->age);
		return e;
	}
	struct day *of = day_of(t, day);
	if (!make_room(t))
		return refuse(t, of, "memory holds as many as it may");
	int found = t->file ? tlsrpt_file_get(t->file, id, &row) : 0;
	if (found < 0)
		return refuse(t, of, "the file cannot be read");
	if (found == 0 && of->rows >= (size_t)t->rows_most)
		return refuse(t, of, "rows-per-day are reached");
	if (found == 0) {
		tlsrpt_row_init(&row, day, domain, record, policy);
		of->rows++;
	}
	return put(t, id, &row);
}

/* ---- the file ---------------------------------------------------------------------------------- */

/* Rows of a damaged file. What memory knows is newer. */
static void on_saved(void *ctx, struct tlsrpt_row *row)
{
	struct tlsrpt_tally *t = ctx;
	uint8_t id[TLSRPT_ROW_ID_BYTES];
	tlsrpt_row_id(row->day, str_of(row->domain), str_of(row->record), str_of(row->policy), id);
	if (!find(t, id) && HASH_COUNT(t->entries) < TLSRPT_TALLY_MEMORY_ROWS)
		put(t, id, row);
	else
		tlsrpt_row_clear(row);
}

static void on_file_warning(void *ctx, const char *words)
{
	warn(ctx, "%s", words);
}

static void mark_all_dirty(struct tlsrpt_tally *t)
{
	struct entry *e, *next;
	HASH_ITER (hh, t->entries, e, next)
		mark_dirty(t, e);
}

static void open_file(struct tlsrpt_tally *t)
{
	static const struct tlsrpt_file_events events = { on_saved, on_file_warning };
	struct err err = { 0 };
	t->pruned_day = INT64_MIN;
	memset(t->days, 0, sizeof(t->days));
	if (!t->path || t->mode != TLSRPT_TALLY_READ_WRITE)
		return;
	t->file = tlsrpt_file_open(t->path, t->bytes_most, &events, t, &err);
	if (!t->file)
		warn(t, "%s; TLS sessions are counted in memory only", err.text);
	mark_all_dirty(t);
	if (t->file) /* old days go, whether or not anything is counted */
		tlsio_timer_start(&t->flush, TLSRPT_TALLY_FLUSH_MS);
}

static int write_piece(struct tlsrpt_tally *t, struct err *err)
{
	size_t left = TLSRPT_TALLY_PIECE;
	if (tlsrpt_file_begin(t->file, err) < 0)
		return -1;
	LIST_EACH (node, &t->dirty) {
		const struct entry *e = LIST_OWNER(node, struct entry, dirty);
		if (left-- == 0)
			break;
		if (tlsrpt_file_put(t->file, e->id, &e->row, err) < 0)
			return -1;
	}
	if (tlsrpt_file_commit(t->file, err) < 0)
		return -1;
	for (left = TLSRPT_TALLY_PIECE; left > 0 && !list_is_empty(&t->dirty); left--) {
		list_remove(list_first(&t->dirty));
		t->dirty_count--;
	}
	return 0;
}

/* True: it is worth trying again at once. */
static bool mend(struct tlsrpt_tally *t, const struct err *err)
{
	int64_t before;
	enum tlsrpt_file_undone undone = tlsrpt_file_undo(t->file);
	if (undone == TLSRPT_FILE_REPLACED) {
		mark_all_dirty(t);
		return true;
	}
	before = undone == TLSRPT_FILE_FULL ? tlsrpt_file_second_day(t->file) : INT64_MIN;
	bool has_room = before != INT64_MIN && before <= tlsrpt_row_day(tlsio_loop_time_s(t->loop));
	if (!t->is_in_trouble)
		warn(t, "%s%s", err->text, has_room ? "; its oldest day is removed" : "");
	t->is_in_trouble = true;
	if (!has_room)
		return false;
	while (tlsrpt_file_prune(t->file, before, TLSRPT_TALLY_PIECE))
		;
	return true;
}

/* 1: more is to be done; 0: all is; -1: trouble. */
static int write_some(struct tlsrpt_tally *t)
{
	struct err err = { 0 };
	int64_t keep = tlsrpt_row_day(tlsio_loop_time_s(t->loop)) - t->days_kept;
	if (!list_is_empty(&t->dirty)) {
		if (write_piece(t, &err) < 0 && (!mend(t, &err) || write_piece(t, &err) < 0)) {
			tlsrpt_file_undo(t->file);
			return -1;
		}
		t->is_in_trouble = false;
	}
	if (t->pruned_day < keep && !tlsrpt_file_prune(t->file, keep, TLSRPT_TALLY_PIECE))
		t->pruned_day = keep;
	return !list_is_empty(&t->dirty) || t->pruned_day < keep;
}

static void on_flush(void *ctx)
{
	struct tlsrpt_tally *t = ctx;
	int more = t->file ? write_some(t) : 0;
	if (more != 0)
		tlsio_timer_start(&t->flush, more > 0 ? NEXT_PIECE_MS : AGAIN_MS);
}

bool tlsrpt_tally_flush(struct tlsrpt_tally *t)
{
	int more = 1;
	while (t->file && !list_is_empty(&t->dirty) && more > 0)
		more = write_some(t);
	return list_is_empty(&t->dirty);
}

/* ---- from outside ------------------------------------------------------------------------------- */

static void no_warning(void *ctx, const char *words)
{
	(void)ctx;
	(void)words;
}

static void take_settings(struct tlsrpt_tally *t, const struct tlsrpt_settings *settings)
{
	t->rows_most = settings->rows_most;
	t->days_kept = settings->days;
	t->bytes_most = settings->bytes_most;
	free(t->path);
	t->path = mem_dup(settings->tally);
}

struct tlsrpt_tally *tlsrpt_tally_new(struct tlsio_loop *loop, const struct tlsrpt_settings *settings,
	enum tlsrpt_tally_mode mode, void (*on_warning)(void *ctx, const char *words), void *ctx)
{
	struct tlsrpt_tally *t = mem_zero(sizeof(*t));
	t->loop = loop;
	t->mode = mode;
	t->on_warning = on_warning ? on_warning : no_warning;
	t->ctx = ctx;
	t->known = tlsrpt_known_new(TLSRPT_TALLY_KNOWN_MOST, TLSRPT_TALLY_KNOWN_BYTES_MOST);
	list_init(&t->dirty);
	list_init(&t->ages);
	tlsio_timer_init(&t->flush, loop, on_flush, t);
	take_settings(t, settings);
	open_file(t);
	return t;
}

static void forget_rows(struct tlsrpt_tally *t)
{
	struct entry *e, *next;
	HASH_ITER (hh, t->entries, e, next)
		free_entry(t, e);
}

void tlsrpt_tally_change(struct tlsrpt_tally *t, const struct tlsrpt_settings *settings)
{
	bool is_same = settings->tally && t->path ? strcmp(settings->tally, t->path) == 0
						  : !settings->tally == !t->path;
	is_same = is_same && settings->bytes_most == t->bytes_most;
	if (!is_same) {
		tlsrpt_tally_flush(t);
		tlsrpt_file_close(&t->file);
		tlsio_timer_stop(&t->flush);
		forget_rows(t);
	}
	take_settings(t, settings);
	if (!is_same)
		open_file(t);
	t->pruned_day = INT64_MIN;
}

void tlsrpt_tally_free(struct tlsrpt_tally **tally)
{
	struct tlsrpt_tally *t = *tally;
	*tally = NULL;
	if (!t)
		return;
	tlsrpt_tally_flush(t);
	tlsio_timer_stop(&t->flush);
	tlsrpt_file_close(&t->file);
	forget_rows(t);
	tlsrpt_known_free(&t->known);
	buf_release(&t->scratch);
	buf_release(&t->failure);
	free(t->path);
	free(t);
}

/* ---- counting ----------------------------------------------------------------------------------- */

void tlsrpt_tally_know_text(struct tlsrpt_tally *tally, struct str text)
{
	enum policy_report_type type;
	struct str domain, lines;
	if (tlsrpt_policy_read(text, &type, &domain, &lines))
		tlsrpt_known_put(tally->known, tlsrpt_policy_identity(text), text);
}

static void count_failure(struct tlsrpt_tally *t, struct entry *e, const struct tlsrpt_failure *failure)
{
	buf_clear(&t->failure);
	if (tlsrpt_failure_write(failure, &t->failure))
		tlsrpt_row_add_failure(&e->row, buf_str(&t->failure), 1);
	else
		e->row.unlisted++;
}

/* NULL: no room. */
static struct entry *count_session(struct tlsrpt_tally *t, struct str domain, struct str record,
	struct str policy, bool is_success)
{
	int64_t day = tlsrpt_row_day(tlsio_loop_time_s(t->loop));
	struct entry *e = entry_of(t, day, domain, record, policy);
	if (!e)
		return NULL;
	e->row.ok += is_success;
	e->row.failed += !is_success;
	t->counted++;
	mark_dirty(t, e);
	return e;
}

void tlsrpt_tally_add(struct tlsrpt_tally *t, const struct tlsrpt_session *session)
{
	for (size_t i = 0; i < session->outcome_count; i++) {
		const struct tlsrpt_outcome *o = &session->outcomes[i];
		buf_clear(&t->scratch);
		if (!tlsrpt_policy_write(&o->policy, &t->scratch)) {
			t->dropped++;
			continue;
		}
		struct entry *e = count_session(t, str_of(session->domain), str_of(session->record),
			buf_str(&t->scratch), o->is_success);
		for (size_t f = 0; e && f < o->failure_count; f++)
			count_failure(t, e, &o->failures[f]);
	}
}

struct search {
	struct tlsrpt_tally *tally;
	uint64_t identity;
};

static void look_at_row(void *ctx, const struct tlsrpt_row *row)
{
	const struct search *s = ctx;
	if (tlsrpt_policy_identity(str_of(row->policy)) == s->identity)
		tlsrpt_known_put(s->tally->known, s->identity, str_of(row->policy));
}

/* A worker's plans outlive the process that made them: what was killed since has written the words down
 * with the sessions counted before. */
static struct str words_of(struct tlsrpt_tally *t, const char *domain, uint64_t identity)
{
	struct search search = { t, identity };
	struct str words = tlsrpt_known_find(t->known, identity);
	if (words.at || !t->file)
		return words;
	tlsrpt_file_each(t->file, domain, look_at_row, &search);
	return tlsrpt_known_find(t->known, identity);
}

static void add_part(struct tlsrpt_tally *t, const struct policy_session *session, const char *domain,
	const struct policy_session_part *part)
{
	char sending[NETADDR_TEXT_BYTES] = "", receiving[NETADDR_TEXT_BYTES] = "";
	const struct tlsrpt_policy bare = { .type = part->type, .domain = part->domain };
	struct str policy = words_of(t, domain, part->identity);
	buf_clear(&t->scratch);
	if (!policy.at && tlsrpt_policy_write(&bare, &t->scratch))
		policy = buf_str(&t->scratch);
	if (!policy.at) {
		t->dropped++;
		return;
	}
	struct entry *e = count_session(
		t, str_of(domain), STR(""), policy, part->reason == POLICY_REASON_NONE);
	if (session->sending.family != NETADDR_NONE)
		netaddr_format_ip(&session->sending, sending);
	if (session->receiving.family != NETADDR_NONE)
		netaddr_format_ip(&session->receiving, receiving);
	struct tlsrpt_failure failure = { .result = part->reason, .sending_ip = sending,
		.mx_host = session->host, .helo = "", .receiving_ip = receiving, .additional = "",
		.reason_code = part->why };
	if (e && part->reason != POLICY_REASON_NONE)
		count_failure(t, e, &failure);
	failure.result = part->besides;
	failure.reason_code = "";
	if (e && part->besides != POLICY_REASON_NONE)
		count_failure(t, e, &failure);
}

void tlsrpt_tally_add_named(struct tlsrpt_tally *t, const struct policy_session *session,
	uint32_t lost)
{
	char domain[POLICY_DOMAIN_BYTES];
	if (lost > 0)
		refuse(t, day_of(t, tlsrpt_row_day(tlsio_loop_time_s(t->loop))),
			"posternd could not tell of them in time");
	t->dropped += lost > 0 ? lost - 1 : 0;
	if (policy_domain_parse(str_of(session->domain), domain, NULL) < 0) {
		t->dropped++;
		return;
	}
	for (size_t i = 0; i < session->part_count; i++)
		add_part(t, session, domain, &session->parts[i]);
}

void tlsrpt_tally_count(const struct tlsrpt_tally *t, struct tlsrpt_tally_counts *ret)
{
	*ret = (struct tlsrpt_tally_counts){ .counted = t->counted, .dropped = t->dropped,
		.rows = HASH_COUNT(t->entries), .dirty = t->dirty_count,
		.known = tlsrpt_known_count(t->known) };
}

/* ---- for people --------------------------------------------------------------------------------- */

struct showing {
	uint64_t ok, failed, most; /* most: of the failure told */
	int64_t first_day, last_day;
	char words[TLSRPT_NAME_BYTES_MOST + 60];
};

/* "mode: testing", with any blanks behind the colon (RFC 8461 3.2). */
static bool is_testing(struct str policy)
{
	enum policy_report_type type;
	struct str domain, lines, value, key;
	char kind;
	if (!tlsrpt_policy_read(policy, &type, &domain, &lines) || type != POLICY_REPORT_STS)
		return false;
	while ((kind = tlsrpt_policy_next(&lines, &value)))
		if (kind == 's' && str_split(&value, ':', &key) && str_equal(key, STR("mode")) &&
			value.at)
			return str_equal(str_trim(value), STR("testing"));
	return false;
}

static void show_row(void *ctx, const struct tlsrpt_row *row)
{
	struct showing *s = ctx;
	if (!is_testing(str_of(row->policy)))
		return;
	if (s->ok + s->failed == 0)
		s->first_day = row->day;
	s->ok += row->ok;
	s->failed += row->failed;
	if (row->failed == 0)
		return;
	if (row->day != s->last_day)
		s->most = 0;
	s->last_day = row->day;
	for (size_t i = 0; i < row->tuple_count; i++) {
		struct tlsrpt_failure_read f;
		if (row->tuples[i].count <= s->most ||
			!tlsrpt_failure_read(str_of(row->tuples[i].text), &f))
			continue;
		s->most = row->tuples[i].count;
		snprintf(s->words, sizeof(s->words), "%s at host %.*s", policy_reason_name(f.result),
			STR_ARGS(f.mx_host));
	}
}

static int by_day(struct entry *a, struct entry *b)
{
	return a->row.day < b->row.day ? -1 : a->row.day > b->row.day;
}

static void show_rows(struct tlsrpt_tally *t, const char *domain, struct showing *s)
{
	tlsrpt_tally_flush(t);
	if (t->file)
		tlsrpt_file_each(t->file, domain, show_row, s);
	else if (t->path && t->mode == TLSRPT_TALLY_READ_ONLY)
		tlsrpt_file_look(t->path, domain, -1, show_row, s, NULL, NULL);
	if (t->file)
		return;
	HASH_SORT(t->entries, by_day);
	for (struct entry *e = t->entries; e; e = e->hh.next)
		if (strcmp(e->row.domain, domain) == 0)
			show_row(s, &e->row);
}

void tlsrpt_tally_show(struct tlsrpt_tally *t, const char *domain, struct policy_plan *plan)
{
	char name[POLICY_DOMAIN_BYTES], first[16], last[16];
	struct showing s = { .last_day = INT64_MIN };
	if (policy_domain_parse(str_of(domain), name, NULL) < 0)
		return;
	show_rows(t, name, &s);
	if (s.ok + s.failed == 0)
		return;
	tlsrpt_row_day_text(s.first_day, first);
	if (s.failed > 0)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_TALLY, domain, "testing", -1, -1,
			"since %s %" PRIu64 " sessions would have passed, %" PRIu64
			" failed; most of them on %s: %s",
			first, s.ok, s.failed, tlsrpt_row_day_text(s.last_day, last),
			s.words[0] ? s.words : "details were not kept");
	else
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_TALLY, domain, "testing", -1, -1,
			"since %s %" PRIu64 " sessions would have passed, none failed", first, s.ok);
}
