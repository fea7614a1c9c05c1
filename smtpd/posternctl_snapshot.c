#include "smtpd/posternctl_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "smtpd/control/control_client.h"
#include "smtpd/control/control_print.h"
#include "smtpd/posternctl_spool_dirs.h"
#include "smtpd/posternctl_target.h"
#include "smtpd/spool/spool_copy.h"

enum { WELL = 0, FAILED = 1, WRONG = 2, SLICE_MS = 900 };

struct segment {
	uint32_t number;
	uint64_t end; /* 0: all of the file */
};
struct shard {
	char *directory;
	unsigned number;
	bool is_open;
	uint64_t next_id;
	struct segment *segments;
	size_t count;
};

struct snapshot {
	struct posternctl_target target;
	struct spool_disk_read_only disk;
	struct shard *shards; /* of this worker, or all when none runs */
	size_t shard_count;
	size_t shard;   /* being copied */
	size_t segment; /* of it */
	bool is_copying; /* `copy` has begun */
	struct spool_copy copy;
	struct buf path; /* where its shard is written */
	char *like;	 /* a shard's old directory */
	int64_t copied_ms;
	bool is_confirmed;
	bool has_failed;
	bool has_unasked; /* a worker could not be asked: */
	struct err unasked;
	uint64_t bytes, of_bytes;
	uint64_t all_bytes, all_segments;
	bool has_progress;
};

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void end_progress(struct snapshot *s)
{
	if (s->has_progress)
		fprintf(stderr, "\r\033[K");
	s->has_progress = false;
}

static void show_progress(struct snapshot *s)
{
	if (!isatty(STDERR_FILENO) || s->of_bytes == 0)
		return;
	s->has_progress = true;
	fprintf(stderr, "\rcopying shard %u: %u %% ", s->shards[s->shard].number,
		(unsigned)(s->bytes * 100 / s->of_bytes));
}

static void fail(struct snapshot *s, const struct err *err)
{
	struct buf safe = { 0 };
	end_progress(s);
	control_print_safe(&safe, str_of(err->text));
	fprintf(stderr, "posternctl: %s\n", buf_text(&safe));
	buf_release(&safe);
	s->has_failed = true;
}

/* ---- copying ------------------------------------------------------------------------------------ */

static struct shard *add_shard(struct snapshot *s)
{
	s->shards = mem_resize_array(s->shards, s->shard_count + 1, sizeof(s->shards[0]));
	struct shard *shard = &s->shards[s->shard_count++];
	*shard = (struct shard){ 0 };
	return shard;
}

static void add_segment(struct snapshot *s, uint32_t number, uint64_t end)
{
	struct shard *shard = &s->shards[s->shard_count - 1];
	shard->segments = mem_resize_array(
		shard->segments, shard->count + 1, sizeof(shard->segments[0]));
	shard->segments[shard->count++] = (struct segment){ number, end };
	s->of_bytes += end;
}

static void forget_shards(struct snapshot *s)
{
	if (s->is_copying)
		spool_copy_stop(&s->copy);
	for (size_t i = 0; i < s->shard_count; i++) {
		free(s->shards[i].directory);
		free(s->shards[i].segments);
	}
	free(s->shards);
	s->shards = NULL;
	s->shard_count = s->shard = s->segment = 0;
	s->bytes = s->of_bytes = 0;
	s->is_copying = s->is_confirmed = false;
	s->copied_ms = 0;
}

static int begin_segment(struct snapshot *s, struct err *err)
{
	const struct shard *shard = &s->shards[s->shard];
	const struct segment *segment = &shard->segments[s->segment];
	struct spool_mark mark = { .shard = shard->number, .next_id = shard->next_id };
	bool is_end = shard->is_open && s->segment + 1 == shard->count;
	if (spool_copy_begin(&s->copy, &s->disk.calls, shard->directory, spool_disk_system(),
		    buf_text(&s->path), segment->number, segment->end, is_end ? &mark : NULL,
		    err) < 0)
		return -1;
	s->is_copying = true;
	return 0;
}

static int end_shard(struct snapshot *s, struct err *err)
{
	struct spool_disk *disk = spool_disk_system();
	const struct shard *shard = &s->shards[s->shard];
	if (posternctl_target_own(buf_text(&s->path), shard->directory, err) < 0)
		return -1;
	if (disk->sync_directory(disk, buf_text(&s->path)) < 0)
		return err_set(err, ERR_SYSTEM, "cannot sync %s", buf_text(&s->path));
	s->shard++;
	s->segment = 0;
	return 0;
}

/* 1: there is more; 0: all shards are copied. */
static int copy_step(struct snapshot *s, struct err *err)
{
	if (s->shard == s->shard_count)
		return 0;
	const struct shard *shard = &s->shards[s->shard];
	if (s->segment == 0 && !s->is_copying &&
		posternctl_target_add(&s->target, shard->number, &s->path, err) < 0)
		return -1;
	if (s->segment == shard->count)
		return end_shard(s, err) < 0 ? -1 : 1;
	if (!s->is_copying && begin_segment(s, err) < 0)
		return -1;
	uint64_t before = s->copy.at;
	int result = spool_copy_step(&s->copy, err);
	s->bytes += s->copy.at - before;
	s->all_bytes += s->copy.at - before;
	if (result == 0) {
		s->is_copying = false;
		s->segment++;
		s->all_segments++;
		if (s->segment == shard->count && end_shard(s, err) < 0)
			return -1;
	}
	return result < 0 ? -1 : 1;
}

/* For so long, or until all is copied. True: it is. */
static bool copy_for(struct snapshot *s, int64_t ms)
{
	int64_t until_ms = now_ms() + ms;
	struct err err;
	int result = 1;
	while (result > 0 && now_ms() < until_ms)
		result = copy_step(s, &err);
	if (result < 0)
		fail(s, &err);
	else if (result > 0)
		show_progress(s);
	return result == 0;
}

/* ---- while posternd runs ------------------------------------------------------------------------ */

static void on_record(void *ctx, const struct control_record *record)
{
	struct snapshot *s = ctx;
	if (s->is_confirmed)
		forget_shards(s); /* the next worker begins */
	if (str_equal(record->name, STR("shard"))) {
		struct str directory = control_record_text(record, "directory");
		struct shard *shard = add_shard(s);
		shard->directory = mem_dup_bytes(directory.at, directory.length);
		shard->number = (unsigned)control_record_number(record, "number");
		shard->next_id = (uint64_t)control_record_number(record, "next_id");
		shard->is_open = control_record_number(record, "open") != 0;
		free(s->like);
		s->like = mem_dup(shard->directory);
	} else if (str_equal(record->name, STR("segment")) && s->shard_count) {
		add_segment(s, (uint32_t)control_record_number(record, "number"),
			(uint64_t)control_record_number(record, "end"));
	} else if (str_equal(record->name, STR("pinned")) && s->copied_ms == 0) {
		/* a part at each sign of life, so that they do not pile up */
		if (copy_for(s, SLICE_MS))
			s->copied_ms = now_ms();
	} else if (str_equal(record->name, STR("pinned"))) {
		/* said after the last byte was read: until then nothing was given back */
		s->is_confirmed = control_record_number(record, "at") > s->copied_ms;
	}
}

static bool is_enough(void *ctx)
{
	const struct snapshot *s = ctx;
	return s->is_confirmed || s->has_failed;
}

static void on_data(void *ctx, struct str bytes)
{
	(void)ctx;
	(void)bytes;
}

static void on_failed(void *ctx, const char *socket, const struct err *why)
{
	struct snapshot *s = ctx;
	struct err err = *why;
	err_prefix(&err, "%s", socket);
	/* perhaps a socket that a posternd left behind; whether none runs, the spool's lock tells */
	if (s->target.count == 0) {
		s->has_unasked = true;
		s->unasked = err;
		return;
	}
	fail(s, &err);
}

/* ---- while it does not -------------------------------------------------------------------------- */

static void on_name(void *ctx, const char *name)
{
	struct snapshot *s = ctx;
	unsigned number;
	char end;
	if (strlen(name) == 16 && sscanf(name, "%8x.segmen%c", &number, &end) == 2 && end == 't')
		add_segment(s, number, 0);
}

static int copy_still(struct snapshot *s, struct posternctl_spool_dirs *dirs, struct err *err)
{
	struct spool_disk *disk = &s->disk.calls;
	for (size_t i = 0; i < dirs->count; i++) {
		if (posternctl_spool_dir_lock(&dirs->items[i], err) < 0)
			return -1;
		struct shard *shard = add_shard(s);
		shard->directory = mem_dup(dirs->items[i].path);
		shard->number = dirs->items[i].number;
		if (disk->list(disk, shard->directory, on_name, s) < 0)
			return err_set(err, ERR_SYSTEM, "cannot list %s", dirs->items[i].path);
	}
	s->like = mem_dup(dirs->items[0].path);
	while (!s->has_failed && !copy_for(s, SLICE_MS))
		;
	return 0;
}

static void take_still(struct snapshot *s, const char *directory)
{
	struct posternctl_spool_dirs dirs;
	struct err err;
	if (posternctl_spool_dirs_find(directory, NULL, &dirs, &err) < 0) {
		fail(s, &s->unasked);
		fail(s, &err);
	} else if (copy_still(s, &dirs, &err) < 0) {
		fail(s, &s->unasked);
		fail(s, &err);
	}
	posternctl_spool_dirs_clear(&dirs);
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static void tell(const struct snapshot *s, const struct posternctl_spool *options,
	const char *directory)
{
	struct buf out = { 0 };
	if (options->is_json) {
		buf_append_text(&out, "{\"kind\":\"snapshot\",\"to\":");
		control_print_json_text(&out, str_of(directory));
		buf_printf(&out, ",\"shards\":%zu,\"segments\":%llu,\"bytes\":%llu}\n",
			s->target.count, (unsigned long long)s->all_segments,
			(unsigned long long)s->all_bytes);
	} else {
		buf_printf(&out, "written to %s: %zu shard%s, %llu segment%s, ", directory,
			s->target.count, s->target.count == 1 ? "" : "s",
			(unsigned long long)s->all_segments, s->all_segments == 1 ? "" : "s");
		control_print_size(&out, (int64_t)s->all_bytes);
		buf_append_byte(&out, '\n');
	}
	fputs(buf_text(&out), stdout);
	buf_release(&out);
}

int posternctl_snapshot(const struct posternctl_spool *options, const char *directory)
{
	static const char *const words[] = { "pin" };
	const struct control_client_events events = { .record = on_record, .data = on_data,
		.failed = on_failed, .is_enough = is_enough };
	struct snapshot s = { 0 };
	struct err err;
	spool_disk_read_only_init(&s.disk, spool_disk_system());
	if (posternctl_target_begin(&s.target, directory, &err) < 0) {
		fprintf(stderr, "posternctl: %s\n", err.text);
		return WRONG;
	}
	if (control_client_ask(options->run_directory, words, 1, &events, &s, &s.unasked) < 0 ||
		(s.has_unasked && s.target.count == 0))
		take_still(&s, options->directory);
	else if (s.has_unasked)
		fail(&s, &s.unasked);
	end_progress(&s);
	if (!s.has_failed && posternctl_target_finish(&s.target, s.like, &err) < 0)
		fail(&s, &err);
	if (s.has_failed && s.target.count)
		fprintf(stderr, "posternctl: %s is not complete: remove it\n", directory);
	if (!s.has_failed)
		tell(&s, options, directory);
	forget_shards(&s);
	buf_release(&s.path);
	free(s.like);
	return s.has_failed ? FAILED : WELL;
}
