#include "policy/sts/sts_cache_file.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"

enum {
	SCHEMA_VERSION = 1,
	APPLICATION_ID = 0x50535453, /* "PSTS" */
	BUSY_MS = 100,		     /* somebody else's write lock; it should be nobody's */
	WORDS_BYTES = 400,
	DOMAIN_MOST = 255,
};

struct sts_cache_file {
	char *path;
	sqlite3 *db;
	sqlite3_stmt *put;
	sqlite3_stmt *remove;
	struct sts_cache_file_events events;
	void *ctx;
	int last_result;
	bool is_replaced;
};

#define COLUMNS                                                                                    \
	"domain, id, policy, fetched_s, failed_s, failed_id, failures, reason, failure, used_s, crc"
static const char create_sql[] =
	"CREATE TABLE entry (domain TEXT PRIMARY KEY NOT NULL, id TEXT NOT NULL, policy BLOB, "
	"fetched_s INTEGER NOT NULL, failed_s INTEGER NOT NULL, failed_id TEXT NOT NULL, "
	"failures INTEGER NOT NULL, reason INTEGER NOT NULL, failure TEXT NOT NULL, "
	"used_s INTEGER NOT NULL, crc INTEGER NOT NULL)";
static const char select_sql[] = "SELECT " COLUMNS " FROM entry";
static const char select_back_sql[] = "SELECT " COLUMNS " FROM entry ORDER BY rowid DESC";
static const char put_sql[] = "INSERT OR REPLACE INTO entry (" COLUMNS
			      ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
static const char remove_sql[] = "DELETE FROM entry WHERE domain = ?1";

/* --- rows ---------------------------------------------------------------------------------------- */

/* SQLite's own check sees torn pages, not a changed letter in a policy. */
static uint32_t row_crc(const char *domain, const struct sts_cache_entry *e, struct str policy)
{
	struct buf row = { 0 };
	buf_printf(&row, "%s\n%s\n%lld %lld %s %u %d %lld\n%s\n%d\n", domain, e->id,
		(long long)e->fetched_s, (long long)e->failed_s, e->failed_id, e->failures,
		(int)e->failure_reason, (long long)e->used_s, e->failure, policy.at != NULL);
	uint32_t crc = codec_crc32c(0, buf_str(&row).at, row.length);
	buf_release(&row);
	return policy.at ? codec_crc32c(crc, policy.at, policy.length) : crc;
}

static bool read_text(sqlite3_stmt *row, int column, char *into, size_t capacity)
{
	const void *text = sqlite3_column_text(row, column);
	size_t length = (size_t)sqlite3_column_bytes(row, column);
	return text && !memchr(text, '\0', length) &&
		str_copy(str_from(text, length), into, capacity);
}

/* False: not what was written. */
static bool read_row(sqlite3_stmt *row, char domain[DOMAIN_MOST + 1], struct sts_cache_entry *ret)
{
	struct sts_cache_entry e = { 0 };
	struct str policy = { NULL, 0 };
	if (!read_text(row, 0, domain, DOMAIN_MOST + 1) ||
		!read_text(row, 1, e.id, sizeof(e.id)) ||
		!read_text(row, 5, e.failed_id, sizeof(e.failed_id)) ||
		!read_text(row, 8, e.failure, sizeof(e.failure)))
		return false;
	e.fetched_s = sqlite3_column_int64(row, 3);
	e.failed_s = sqlite3_column_int64(row, 4);
	e.failures = (unsigned)sqlite3_column_int64(row, 6);
	e.failure_reason = (enum policy_reason)sqlite3_column_int(row, 7);
	e.used_s = sqlite3_column_int64(row, 9);
	if (sqlite3_column_type(row, 2) != SQLITE_NULL) {
		const void *blob = sqlite3_column_blob(row, 2);
		policy = str_from(blob ? blob : "", (size_t)sqlite3_column_bytes(row, 2));
	}
	if (sqlite3_column_int64(row, 10) != (sqlite3_int64)row_crc(domain, &e, policy))
		return false;
	if (policy.at && !(e.policy = sts_policy_parse(policy, NULL)))
		return false;
	*ret = e;
	return true;
}

/* An SQLite result; ret_bad counts the rows left out. */
static int read_rows(sqlite3 *db, const char *sql, const struct sts_cache_file_events *events,
	void *ctx, unsigned *ret_bad)
{
	sqlite3_stmt *rows = NULL;
	int result = sqlite3_prepare_v2(db, sql, -1, &rows, NULL);
	if (result != SQLITE_OK)
		return result;
	while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
		char domain[DOMAIN_MOST + 1];
		struct sts_cache_entry entry;
		if (read_row(rows, domain, &entry))
			events->on_row(ctx, domain, &entry);
		else
			(*ret_bad)++;
	}
	sqlite3_finalize(rows);
	return result == SQLITE_DONE ? SQLITE_OK : result;
}

/* Every row that can still be read and fits its CRC is as good as ever: a policy that enforces must
 * not be lost because some other page is torn. Reading stops at a torn page: so from both ends. */
static void salvage(sqlite3 *db, const struct sts_cache_file_events *events, void *ctx)
{
	unsigned bad = 0;
	/* This way SQLite opens what is shorter than its header says, too. */
	sqlite3_exec(db, "PRAGMA writable_schema = ON", NULL, NULL, NULL);
	read_rows(db, select_sql, events, ctx, &bad);
	read_rows(db, select_back_sql, events, ctx, &bad);
}

static void warn_of_rows(const char *path, const struct sts_cache_file_events *events, void *ctx,
	unsigned bad)
{
	char words[WORDS_BYTES];
	if (bad == 0)
		return;
	snprintf(words, sizeof(words),
		"%s: %u damaged entr%s left out; those policies are fetched again", path, bad,
		bad == 1 ? "y was" : "ies were");
	events->on_warning(ctx, words);
}

/* --- the file ------------------------------------------------------------------------------------ */

/* A pragma's first column, -1 where there is none. */
static sqlite3_int64 number_of(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement = NULL;
	sqlite3_int64 number = -1;
	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
		sqlite3_step(statement) == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return number;
}

static int check_whole(sqlite3 *db)
{
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	bool is_good = result == SQLITE_ROW &&
		strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
	sqlite3_finalize(statement);
	if (result == SQLITE_ROW)
		return is_good ? SQLITE_OK : SQLITE_CORRUPT;
	return result;
}

/* Ours, of this version, and whole; or new: then it is made. */
static int check_or_make(sqlite3 *db)
{
	char sql[600];
	int result = check_whole(db);
	if (result != SQLITE_OK)
		return result;
	sqlite3_int64 tables = number_of(db, "SELECT count(*) FROM sqlite_schema");
	if (tables > 0)
		return number_of(db, "PRAGMA application_id") == APPLICATION_ID &&
				number_of(db, "PRAGMA user_version") == SCHEMA_VERSION
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

static void close_database(struct sts_cache_file *f)
{
	sqlite3_finalize(f->put);
	sqlite3_finalize(f->remove);
	sqlite3_close(f->db);
	f->put = f->remove = NULL;
	f->db = NULL;
}

/* An SQLite result. */
static int open_database(struct sts_cache_file *f)
{
	unsigned bad = 0;
	int result = sqlite3_open_v2(f->path, &f->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_busy_timeout(f->db, BUSY_MS);
	if (result == SQLITE_OK)
		result = sqlite3_exec(f->db,
			"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
			"PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
			NULL, NULL, NULL);
	if (result == SQLITE_OK)
		result = check_or_make(f->db);
	if (result == SQLITE_OK)
		result = sqlite3_prepare_v3(
			f->db, put_sql, -1, SQLITE_PREPARE_PERSISTENT, &f->put, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_prepare_v3(
			f->db, remove_sql, -1, SQLITE_PREPARE_PERSISTENT, &f->remove, NULL);
	/* A table of ours without a column of ours cannot be prepared for. */
	if (result == SQLITE_ERROR)
		result = SQLITE_CORRUPT;
	if (result == SQLITE_OK)
		result = read_rows(f->db, select_sql, &f->events, f->ctx, &bad);
	if (result == SQLITE_OK)
		warn_of_rows(f->path, &f->events, f->ctx, bad);
	return result;
}

/* The file, its log and its index: renamed, so that somebody may look at them. */
static int set_aside(const struct sts_cache_file *f, struct err *err)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	char words[WORDS_BYTES];
	struct buf from = { 0 }, to = { 0 };
	long long now_s = (long long)time(NULL);
	int result = 0;
	for (size_t i = 0; i < 3 && result == 0; i++) {
		buf_clear(&from);
		buf_clear(&to);
		buf_printf(&from, "%s%s", f->path, endings[i]);
		buf_printf(&to, "%s.damaged-%lld%s", f->path, now_s, endings[i]);
		buf_append_byte(&from, '\0');
		buf_append_byte(&to, '\0');
		if (rename(buf_str(&from).at, buf_str(&to).at) != 0 && errno != ENOENT)
			result = err_system(err, errno, "cannot set %s aside", buf_str(&from).at);
	}
	buf_release(&from);
	buf_release(&to);
	if (result == 0) {
		snprintf(words, sizeof(words),
			"%s is damaged, or not a cache of this version: set aside as "
			"%s.damaged-%lld; policies are fetched anew",
			f->path, f->path, now_s);
		f->events.on_warning(f->ctx, words);
	}
	return result;
}

struct sts_cache_file *sts_cache_file_open(const char *path,
	const struct sts_cache_file_events *events, void *ctx, struct err *err)
{
	struct sts_cache_file *f = mem_zero(sizeof(*f));
	f->path = mem_dup(path);
	f->events = *events;
	f->ctx = ctx;
	int result = open_database(f);
	bool is_refused = false;
	if (is_damage(result)) {
		salvage(f->db, &f->events, f->ctx);
		close_database(f);
		is_refused = set_aside(f, err) < 0;
		f->is_replaced = true;
		if (!is_refused)
			result = open_database(f);
	}
	if (result == SQLITE_OK)
		return f;
	if (!is_refused)
		err_set(err, ERR_SYSTEM, "the MTA-STS cache %s cannot be opened: %s", path,
			sqlite3_errstr(result));
	sts_cache_file_close(&f);
	return NULL;
}

bool sts_cache_file_is_replaced(const struct sts_cache_file *file)
{
	return file->is_replaced;
}

void sts_cache_file_close(struct sts_cache_file **file)
{
	struct sts_cache_file *f = *file;
	*file = NULL;
	if (!f)
		return;
	close_database(f);
	free(f->path);
	free(f);
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

void sts_cache_file_look(const char *path, const struct sts_cache_file_events *events, void *ctx)
{
	struct buf name = { 0 };
	char words[WORDS_BYTES];
	sqlite3 *db = NULL;
	unsigned bad = 0;
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return;
	/* Without a log there is no writer: SQLite would make a log and an index just to read. With
	 * one, its index is used where there is one, and never made. */
	buf_printf(&name, "%s-wal", path);
	buf_append_byte(&name, '\0');
	bool has_log = access(buf_str(&name).at, F_OK) == 0;
	buf_clear(&name);
	buf_append_text(&name, "file:");
	append_escaped(&name, path);
	buf_append_text(&name, has_log ? "?mode=ro&readonly_shm=1" : "?mode=ro&immutable=1");
	buf_append_byte(&name, '\0');
	int result = sqlite3_open_v2(
		buf_str(&name).at, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_busy_timeout(db, BUSY_MS);
	if (result == SQLITE_OK)
		result = read_rows(db, select_sql, events, ctx, &bad);
	if (result == SQLITE_OK) {
		warn_of_rows(path, events, ctx, bad);
	} else {
		snprintf(words, sizeof(words), "the MTA-STS cache %s cannot be read: %s", path,
			sqlite3_errstr(result));
		events->on_warning(ctx, words);
	}
	sqlite3_close(db);
	buf_release(&name);
}

/* --- writing ------------------------------------------------------------------------------------- */

static int told(struct sts_cache_file *f, int result, struct err *err)
{
	f->last_result = result;
	if (result == SQLITE_OK || result == SQLITE_DONE)
		return 0;
	return err_set(err, ERR_SYSTEM, "the MTA-STS cache %s cannot be written: %s", f->path,
		sqlite3_errstr(result));
}

static int run(struct sts_cache_file *f, const char *sql, struct err *err)
{
	if (!f->db)
		return told(f, SQLITE_CANTOPEN, err);
	return told(f, sqlite3_exec(f->db, sql, NULL, NULL, NULL), err);
}

int sts_cache_file_begin(struct sts_cache_file *file, struct err *err)
{
	return run(file, "BEGIN IMMEDIATE", err);
}

int sts_cache_file_commit(struct sts_cache_file *file, struct err *err)
{
	return run(file, "COMMIT", err);
}

int sts_cache_file_put(struct sts_cache_file *file, const char *domain,
	const struct sts_cache_entry *e, struct err *err)
{
	sqlite3_stmt *s = file->put;
	struct str policy = { NULL, 0 };
	if (e->policy)
		policy = str_from(e->policy->text, e->policy->text_bytes);
	sqlite3_bind_text(s, 1, domain, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, e->id, -1, SQLITE_STATIC);
	if (policy.at)
		sqlite3_bind_blob(s, 3, policy.at, (int)policy.length, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, 3);
	sqlite3_bind_int64(s, 4, e->fetched_s);
	sqlite3_bind_int64(s, 5, e->failed_s);
	sqlite3_bind_text(s, 6, e->failed_id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 7, e->failures);
	sqlite3_bind_int(s, 8, (int)e->failure_reason);
	sqlite3_bind_text(s, 9, e->failure, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 10, e->used_s);
	sqlite3_bind_int64(s, 11, row_crc(domain, e, policy));
	int result = sqlite3_step(s);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return told(file, result, err);
}

int sts_cache_file_remove(struct sts_cache_file *file, const char *domain, struct err *err)
{
	sqlite3_bind_text(file->remove, 1, domain, -1, SQLITE_STATIC);
	int result = sqlite3_step(file->remove);
	sqlite3_reset(file->remove);
	sqlite3_clear_bindings(file->remove);
	return told(file, result, err);
}

static void no_row(void *ctx, const char *domain, const struct sts_cache_entry *entry)
{
	struct sts_policy *policy = entry->policy;
	(void)ctx;
	(void)domain;
	sts_policy_unref(&policy);
}

bool sts_cache_file_undo(struct sts_cache_file *file)
{
	int result = file->last_result;
	if (file->db && !sqlite3_get_autocommit(file->db))
		sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
	if (file->db && !is_damage(result))
		return false;
	close_database(file);
	if (is_damage(result) && set_aside(file, NULL) < 0)
		return false;
	/* Memory knows the rows better. */
	file->events.on_row = no_row;
	if (open_database(file) != SQLITE_OK) {
		close_database(file);
		return false;
	}
	return true;
}
