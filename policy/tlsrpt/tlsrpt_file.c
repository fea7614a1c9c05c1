#include "policy/tlsrpt/tlsrpt_file.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "policy/tlsrpt/tlsrpt_session.h"

enum {
	SCHEMA_VERSION = 1,
	APPLICATION_ID = 0x5054524c, /* "PTRL" */
	BUSY_MS = 100,
	PAGE_BYTES = 4096,
	WORDS_BYTES = 400,
};

enum statement { GET, COUNT, EACH, PUT, STATEMENTS };

struct tlsrpt_file {
	char *path;
	uint64_t bytes_most;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	struct tlsrpt_file_events events;
	void *ctx;
	int last_result;
};

#define COLUMNS "id, day, domain, record, policy, ok, failed, unlisted, failures, crc"
static const char create_sql[] =
	"CREATE TABLE tally (id BLOB PRIMARY KEY NOT NULL, day INTEGER NOT NULL, domain TEXT NOT NULL, "
	"record TEXT NOT NULL, policy TEXT NOT NULL, ok INTEGER NOT NULL, failed INTEGER NOT NULL, "
	"unlisted INTEGER NOT NULL, failures TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID; "
	"CREATE INDEX tally_day ON tally (day, domain); CREATE INDEX tally_domain ON tally (domain, day)";
static const char *const sql_of[STATEMENTS] = {
	[GET] = "SELECT " COLUMNS " FROM tally WHERE id = ?1",
	[COUNT] = "SELECT count(*) FROM tally WHERE day = ?1",
	[EACH] = "SELECT " COLUMNS " FROM tally WHERE domain = ?1 ORDER BY day",
	[PUT] = "INSERT OR REPLACE INTO tally (" COLUMNS
		") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
};
static const char look_sql[] = "SELECT " COLUMNS " FROM tally WHERE (?1 IS NULL OR domain = ?1) AND "
			       "(?2 < 0 OR day = ?2) ORDER BY day, domain, record, policy";

/* ---- rows ------------------------------------------------------------------------------------- */

/* SQLite's own check sees torn pages, not a changed digit. */
static uint32_t row_crc(const struct tlsrpt_row *row, struct str failures)
{
	struct buf all = { 0 };
	buf_printf(&all, "%" PRId64 "\n%s\n%s\n%s\n%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", row->day,
		row->domain, row->record, row->policy, row->ok, row->failed, row->unlisted);
	uint32_t crc = codec_crc32c(0, buf_str(&all).at, all.length);
	buf_release(&all);
	return codec_crc32c(crc, failures.at, failures.length);
}

static struct str text_column(sqlite3_stmt *s, int column)
{
	const void *text = sqlite3_column_text(s, column);
	return text ? str_from(text, (size_t)sqlite3_column_bytes(s, column)) : STR("");
}

/* False: not what was written. */
static bool read_row(sqlite3_stmt *s, struct tlsrpt_row *ret)
{
	enum policy_report_type type;
	struct str domain, lines, policy = text_column(s, 4), failures = text_column(s, 8);
	tlsrpt_row_init(ret, sqlite3_column_int64(s, 1), text_column(s, 2), text_column(s, 3), policy);
	ret->ok = (uint64_t)sqlite3_column_int64(s, 5);
	ret->failed = (uint64_t)sqlite3_column_int64(s, 6);
	ret->unlisted = (uint64_t)sqlite3_column_int64(s, 7);
	bool is_good = sqlite3_column_int64(s, 9) == (sqlite3_int64)row_crc(ret, failures) &&
		tlsrpt_policy_read(policy, &type, &domain, &lines) &&
		tlsrpt_row_read_tuples(ret, failures);
	if (!is_good)
		tlsrpt_row_clear(ret);
	return is_good;
}

/* An SQLite result. */
static int each_row(sqlite3_stmt *s, void (*on_row)(void *ctx, const struct tlsrpt_row *row), void *ctx,
	size_t *ret_bad)
{
	int result;
	while ((result = sqlite3_step(s)) == SQLITE_ROW) {
		struct tlsrpt_row row;
		if (!read_row(s, &row)) {
			(*ret_bad)++;
			continue;
		}
		on_row(ctx, &row);
		tlsrpt_row_clear(&row);
	}
	return result == SQLITE_DONE ? SQLITE_OK : result;
}

/* Every row that can still be read is as good as ever. Reading stops at a torn page: so from both ends. */
static void salvage(struct tlsrpt_file *f)
{
	static const char *const ways[] = { "SELECT " COLUMNS " FROM tally",
		"SELECT " COLUMNS " FROM tally ORDER BY id DESC" };
	/* This way SQLite opens what is shorter than its header says, too. */
	sqlite3_exec(f->db, "PRAGMA writable_schema = ON", NULL, NULL, NULL);
	for (size_t i = 0; i < 2; i++) {
		sqlite3_stmt *s = NULL;
		struct tlsrpt_row row;
		if (sqlite3_prepare_v2(f->db, ways[i], -1, &s, NULL) != SQLITE_OK)
			continue;
		while (sqlite3_step(s) == SQLITE_ROW)
			if (read_row(s, &row))
				f->events.on_saved(f->ctx, &row);
		sqlite3_finalize(s);
	}
}

/* ---- the file --------------------------------------------------------------------------------- */

/* The first column of the first row, `otherwise` where there is none. */
static sqlite3_int64 number_of(sqlite3 *db, const char *sql, sqlite3_int64 otherwise)
{
	sqlite3_stmt *s = NULL;
	sqlite3_int64 number = otherwise;
	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW &&
		sqlite3_column_type(s, 0) == SQLITE_INTEGER)
		number = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return number;
}

static int check_whole(sqlite3 *db)
{
	sqlite3_stmt *s = NULL;
	int result = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_step(s);
	bool is_good = result == SQLITE_ROW &&
		strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
	sqlite3_finalize(s);
	if (result == SQLITE_ROW)
		return is_good ? SQLITE_OK : SQLITE_CORRUPT;
	return result;
}

/* Ours, of this version, and whole; or new: then it is made. */
static int check_or_make(sqlite3 *db)
{
	char sql[900];
	int result = check_whole(db);
	if (result != SQLITE_OK)
		return result;
	sqlite3_int64 tables = number_of(db, "SELECT count(*) FROM sqlite_schema", -1);
	if (tables > 0)
		return number_of(db, "PRAGMA application_id", -1) == APPLICATION_ID &&
				number_of(db, "PRAGMA user_version", -1) == SCHEMA_VERSION
			? SQLITE_OK
			: SQLITE_CORRUPT;
	snprintf(sql, sizeof(sql),
		"BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d; %s; COMMIT",
		APPLICATION_ID, SCHEMA_VERSION, create_sql);
	return tables == 0 ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_CORRUPT;
}

static bool is_damage(int result)
{
	int primary = result & 0xff;
	return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_FORMAT ||
		primary == SQLITE_MISMATCH || primary == SQLITE_SCHEMA;
}

static void close_database(struct tlsrpt_file *f)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(f->statements[i]);
		f->statements[i] = NULL;
	}
	sqlite3_close(f->db);
	f->db = NULL;
}

/* An SQLite result. */
static int open_database(struct tlsrpt_file *f)
{
	char sql[300];
	int result = sqlite3_open_v2(f->path, &f->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL);
	snprintf(sql, sizeof(sql),
		"PRAGMA page_size = %d; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
		"PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA max_page_count = %" PRIu64,
		PAGE_BYTES, f->bytes_most / PAGE_BYTES);
	if (result == SQLITE_OK)
		result = sqlite3_busy_timeout(f->db, BUSY_MS);
	if (result == SQLITE_OK)
		result = sqlite3_exec(f->db, sql, NULL, NULL, NULL);
	if (result == SQLITE_OK)
		result = check_or_make(f->db);
	for (size_t i = 0; i < STATEMENTS && result == SQLITE_OK; i++)
		result = sqlite3_prepare_v3(f->db, sql_of[i], -1, SQLITE_PREPARE_PERSISTENT,
			&f->statements[i], NULL);
	/* A table of ours without a column of ours cannot be prepared for. */
	return result == SQLITE_ERROR ? SQLITE_CORRUPT : result;
}

/* The file, its log and its index: renamed, so that somebody may look at them. */
static int set_aside(const struct tlsrpt_file *f, struct err *err)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	char words[WORDS_BYTES];
	long long now_s = (long long)time(NULL);
	int result = 0;
	for (size_t i = 0; i < 3 && result == 0; i++) {
		struct buf from = { 0 }, to = { 0 };
		buf_printf(&from, "%s%s", f->path, endings[i]);
		buf_printf(&to, "%s.damaged-%lld%s", f->path, now_s, endings[i]);
		if (rename(buf_text(&from), buf_text(&to)) != 0 && errno != ENOENT)
			result = err_system(err, errno, "cannot set %s aside", buf_text(&from));
		buf_release(&from);
		buf_release(&to);
	}
	if (result == 0) {
		snprintf(words, sizeof(words),
			"%s is damaged, or not a tally of this version: set aside as "
			"%s.damaged-%lld; what could be read of it is kept",
			f->path, f->path, now_s);
		f->events.on_warning(f->ctx, words);
	}
	return result;
}

struct tlsrpt_file *tlsrpt_file_open(const char *path, uint64_t bytes_most,
	const struct tlsrpt_file_events *events, void *ctx, struct err *err)
{
	struct tlsrpt_file *f = mem_zero(sizeof(*f));
	f->path = mem_dup(path);
	f->bytes_most = bytes_most;
	f->events = *events;
	f->ctx = ctx;
	int result = open_database(f);
	bool is_refused = false;
	if (is_damage(result)) {
		salvage(f);
		close_database(f);
		is_refused = set_aside(f, err) < 0;
		if (!is_refused)
			result = open_database(f);
	}
	if (result == SQLITE_OK)
		return f;
	if (!is_refused)
		err_set(err, ERR_SYSTEM, "the TLSRPT tally %s cannot be opened: %s", path,
			sqlite3_errstr(result));
	tlsrpt_file_close(&f);
	return NULL;
}

void tlsrpt_file_close(struct tlsrpt_file **file)
{
	struct tlsrpt_file *f = *file;
	*file = NULL;
	if (!f)
		return;
	close_database(f);
	free(f->path);
	free(f);
}

/* ---- reading ---------------------------------------------------------------------------------- */

int tlsrpt_file_get(struct tlsrpt_file *file, const uint8_t id[TLSRPT_ROW_ID_BYTES],
	struct tlsrpt_row *ret)
{
	sqlite3_stmt *s = file->statements[GET];
	int found = 0;
	if (!file->db)
		return -1;
	sqlite3_bind_blob(s, 1, id, TLSRPT_ROW_ID_BYTES, SQLITE_STATIC);
	file->last_result = sqlite3_step(s);
	if (file->last_result == SQLITE_ROW)
		found = read_row(s, ret) ? 1 : 0;
	else if (file->last_result != SQLITE_DONE)
		found = -1;
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return found;
}

size_t tlsrpt_file_count(struct tlsrpt_file *file, int64_t day)
{
	sqlite3_stmt *s = file->statements[COUNT];
	size_t count = 0;
	if (!file->db)
		return 0;
	sqlite3_bind_int64(s, 1, day);
	if (sqlite3_step(s) == SQLITE_ROW)
		count = (size_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return count;
}

void tlsrpt_file_each(struct tlsrpt_file *file, const char *domain,
	void (*on_row)(void *ctx, const struct tlsrpt_row *row), void *ctx)
{
	sqlite3_stmt *s = file->statements[EACH];
	size_t bad = 0;
	if (!file->db)
		return;
	sqlite3_bind_text(s, 1, domain, -1, SQLITE_STATIC);
	each_row(s, on_row, ctx, &bad);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
}

/* A path in a "file:" name: what has a meaning there is written in hexadecimal. */
static void append_escaped(struct buf *name, const char *path)
{
	for (const char *c = path; *c; c++) {
		if (*c == '%' || *c == '?' || *c == '#')
			buf_printf(name, "%%%02x", (unsigned char)*c);
		else
			buf_append_byte(name, *c);
	}
}

/* Without a log there is no writer: SQLite would make a log and an index just to read. With one, its
 * index is used where there is one, and never made. */
static int open_to_look(const char *path, sqlite3 **ret)
{
	struct buf name = { 0 };
	buf_printf(&name, "%s-wal", path);
	bool has_log = access(buf_text(&name), F_OK) == 0;
	buf_clear(&name);
	buf_append_text(&name, "file:");
	append_escaped(&name, path);
	buf_append_text(&name, has_log ? "?mode=ro&readonly_shm=1" : "?mode=ro&immutable=1");
	int result = sqlite3_open_v2(
		buf_text(&name), ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	buf_release(&name);
	return result == SQLITE_OK ? sqlite3_busy_timeout(*ret, BUSY_MS) : result;
}

int tlsrpt_file_look(const char *path, const char *domain, int64_t day,
	void (*on_row)(void *ctx, const struct tlsrpt_row *row), void *ctx, size_t *ret_bad,
	struct err *err)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	size_t bad = 0;
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return 0;
	int result = open_to_look(path, &db);
	if (result == SQLITE_OK)
		result = sqlite3_prepare_v2(db, look_sql, -1, &s, NULL);
	if (result == SQLITE_OK) {
		if (domain)
			sqlite3_bind_text(s, 1, domain, -1, SQLITE_STATIC);
		sqlite3_bind_int64(s, 2, day);
		result = each_row(s, on_row, ctx, &bad);
	}
	sqlite3_finalize(s);
	sqlite3_close(db);
	if (ret_bad)
		*ret_bad = bad;
	if (result == SQLITE_OK)
		return 0;
	return err_set(err, ERR_SYSTEM, "the TLSRPT tally %s cannot be read: %s", path,
		sqlite3_errstr(result));
}

/* ---- writing ---------------------------------------------------------------------------------- */

static int told(struct tlsrpt_file *f, int result, struct err *err)
{
	f->last_result = result;
	if (result == SQLITE_OK || result == SQLITE_DONE)
		return 0;
	return err_set(err, ERR_SYSTEM, "the TLSRPT tally %s cannot be written: %s", f->path,
		sqlite3_errstr(result));
}

static int run(struct tlsrpt_file *f, const char *sql, struct err *err)
{
	if (!f->db)
		return told(f, SQLITE_CANTOPEN, err);
	return told(f, sqlite3_exec(f->db, sql, NULL, NULL, NULL), err);
}

int tlsrpt_file_begin(struct tlsrpt_file *file, struct err *err)
{
	return run(file, "BEGIN IMMEDIATE", err);
}

int tlsrpt_file_commit(struct tlsrpt_file *file, struct err *err)
{
	return run(file, "COMMIT", err);
}

int tlsrpt_file_put(struct tlsrpt_file *file, const uint8_t id[TLSRPT_ROW_ID_BYTES],
	const struct tlsrpt_row *row, struct err *err)
{
	sqlite3_stmt *s = file->statements[PUT];
	struct buf failures = { 0 };
	tlsrpt_row_write_tuples(row, &failures);
	struct str text = buf_str(&failures);
	sqlite3_bind_blob(s, 1, id, TLSRPT_ROW_ID_BYTES, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, row->day);
	sqlite3_bind_text(s, 3, row->domain, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, row->record, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 5, row->policy, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 6, (sqlite3_int64)row->ok);
	sqlite3_bind_int64(s, 7, (sqlite3_int64)row->failed);
	sqlite3_bind_int64(s, 8, (sqlite3_int64)row->unlisted);
	sqlite3_bind_text(s, 9, text.at, (int)text.length, SQLITE_STATIC);
	sqlite3_bind_int64(s, 10, row_crc(row, text));
	int result = sqlite3_step(s);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	buf_release(&failures);
	return told(file, result, err);
}

bool tlsrpt_file_prune(struct tlsrpt_file *file, int64_t day, size_t most)
{
	char sql[200];
	snprintf(sql, sizeof(sql), "DELETE FROM tally WHERE id IN (SELECT id FROM tally WHERE day < %" PRId64
		" LIMIT %zu)", day, most);
	return run(file, sql, NULL) == 0 && (size_t)sqlite3_changes(file->db) == most;
}

int64_t tlsrpt_file_second_day(struct tlsrpt_file *file)
{
	sqlite3_int64 first = file->db ? number_of(file->db, "SELECT min(day) FROM tally", INT64_MIN)
				       : INT64_MIN;
	return first == INT64_MIN ? first : first + 1;
}

enum tlsrpt_file_undone tlsrpt_file_undo(struct tlsrpt_file *file)
{
	int result = file->last_result;
	if (file->db && !sqlite3_get_autocommit(file->db))
		sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
	if (file->db && !is_damage(result))
		return (result & 0xff) == SQLITE_FULL ? TLSRPT_FILE_FULL : TLSRPT_FILE_TROUBLE;
	if (file->db)
		salvage(file);
	close_database(file);
	if (is_damage(result) && set_aside(file, NULL) < 0)
		return TLSRPT_FILE_TROUBLE;
	if (open_database(file) != SQLITE_OK) {
		close_database(file);
		return TLSRPT_FILE_TROUBLE;
	}
	return TLSRPT_FILE_REPLACED;
}
