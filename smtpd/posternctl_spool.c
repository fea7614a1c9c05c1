#include "smtpd/posternctl_spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libtlsio/base/process.h"
#include "smtpd/posternctl_snapshot.h"
#include "smtpd/posternctl_spool_dirs.h"
#include "smtpd/posternctl_spool_print.h"
#include "smtpd/posternctl_target.h"

enum { WELL = 0, DAMAGED = 1, UNREADABLE = 2, DESCRIPTORS = 65536 };

struct work {
	const struct posternctl_spool *options;
	struct posternctl_spool_page page;
	struct buf out;
	const char *doing; /* for the progress line */
	bool has_progress; /* a line of it is on the terminal */
	struct posternctl_target target;
	int status;
};

/* ---- the terminal ------------------------------------------------------------------------------- */

static void show_progress(void *ctx, uint64_t done, uint64_t of)
{
	struct work *w = ctx;
	if (!isatty(STDERR_FILENO) || of == 0)
		return;
	w->has_progress = true;
	fprintf(stderr, "\r%s %s: %u %% ", w->doing, w->page.directory,
		(unsigned)((done < of ? done : of) * 100 / of));
}

static void end_progress(struct work *w)
{
	if (w->has_progress)
		fprintf(stderr, "\r\033[K");
	w->has_progress = false;
}

static void flush_out(struct work *w)
{
	struct str out = buf_str(&w->out);
	end_progress(w);
	if (fwrite(out.at, 1, out.length, stdout) != out.length || fflush(stdout) != 0) {
		perror("posternctl: standard output");
		exit(EXIT_FAILURE);
	}
	buf_clear(&w->out);
}

static void worsen(struct work *w, int status)
{
	if (w->status < status)
		w->status = status;
}

static void fail(struct work *w, const struct err *err)
{
	flush_out(w);
	fprintf(stderr, "posternctl: %s\n", err->text);
	worsen(w, UNREADABLE);
}

static int usage_error(const char *words)
{
	fprintf(stderr, "posternctl: %s; see `posternctl help`\n", words);
	return UNREADABLE;
}

/* ---- check ------------------------------------------------------------------------------------- */

static void on_segment(void *ctx, const struct spool_check_segment *segment)
{
	struct work *w = ctx;
	posternctl_spool_put_segment(&w->page, segment);
}

static void on_place(void *ctx, const struct spool_check_place *place)
{
	struct work *w = ctx;
	posternctl_spool_put_place(&w->page, place);
}

static void on_message(void *ctx, const struct spool_check_message *message)
{
	struct work *w = ctx;
	posternctl_spool_put_message(&w->page, message);
	flush_out(w);
}

static void repair(struct work *w, struct spool_check *check)
{
	unsigned shard = spool_check_totals(check)->shard;
	struct spool_repaired repaired;
	struct buf path = { 0 };
	struct err err;
	char final[4096];
	w->doing = "repairing";
	snprintf(final, sizeof(final), "%s/%u", w->target.directory, shard);
	if (posternctl_target_add(&w->target, shard, &path, &err) < 0 ||
		spool_repair(check, NULL, buf_text(&path), show_progress, w, &repaired, &err) < 0 ||
		posternctl_target_own(buf_text(&path), w->page.directory, &err) < 0)
		fail(w, &err);
	else
		posternctl_spool_put_repaired(&w->page, final, &repaired);
	buf_release(&path);
}

static void check_one(struct work *w, const struct posternctl_spool_dir *dir)
{
	static const struct spool_check_events events = { show_progress, on_segment, on_place,
		on_message };
	struct err err;
	w->page.directory = dir->path;
	w->doing = "checking";
	if (!w->options->is_json)
		buf_printf(&w->out, "%s\n", dir->path);
	struct spool_check *check =
		spool_check_new(NULL, dir->path, dir->number, &events, w, &err);
	if (!check) {
		buf_clear(&w->out);
		fail(w, &err);
		return;
	}
	const struct spool_check_totals *totals = spool_check_totals(check);
	if (spool_check_found_damage(totals))
		worsen(w, DAMAGED);
	posternctl_spool_put_totals(&w->page, totals);
	flush_out(w);
	if (w->options->repair && w->status != UNREADABLE)
		repair(w, check);
	flush_out(w);
	spool_check_free(&check);
}

/* What is repaired must stand still: mail that goes out meanwhile would go out again. */
static int prepare_repair(struct work *w, const struct posternctl_spool_dirs *dirs)
{
	struct err err;
	for (size_t i = 0; i < dirs->count; i++) {
		if (posternctl_spool_dir_lock(&dirs->items[i], &err) < 0) {
			fail(w, &err);
			return -1;
		}
	}
	if (posternctl_target_begin(&w->target, w->options->repair, &err) < 0) {
		fail(w, &err);
		return -1;
	}
	return 0;
}

static int run_check(const struct posternctl_spool *options, const char *directory)
{
	struct work w = { .options = options };
	struct posternctl_spool_dirs dirs;
	struct err err;
	w.page = (struct posternctl_spool_page){ .to = &w.out, .is_json = options->is_json };
	if (posternctl_spool_dirs_find(directory, options->shard, &dirs, &err) < 0) {
		fail(&w, &err);
	} else if (!options->repair || prepare_repair(&w, &dirs) == 0) {
		for (size_t i = 0; i < dirs.count; i++)
			check_one(&w, &dirs.items[i]);
		if (options->repair && w.status != UNREADABLE &&
			posternctl_target_finish(&w.target, dirs.items[0].path, &err) < 0)
			fail(&w, &err);
		else if (options->repair && w.status == UNREADABLE)
			fprintf(stderr, "posternctl: %s is not complete: remove it\n",
				options->repair);
	}
	posternctl_spool_dirs_clear(&dirs);
	buf_release(&w.out);
	return w.status;
}

int posternctl_spool(const struct posternctl_spool *options, int argc, char **argv)
{
	process_raise_descriptors(DESCRIPTORS);
	if (argc >= 1 && strcmp(argv[0], "check") == 0) {
		if (argc > 2)
			return usage_error("`spool check` is followed by one directory at most");
		return run_check(options, argc == 2 ? argv[1] : options->directory);
	}
	if (argc >= 1 && strcmp(argv[0], "snapshot") == 0) {
		if (argc != 2)
			return usage_error("`spool snapshot` is followed by a new directory");
		return posternctl_snapshot(options, argv[1]);
	}
	return usage_error("`spool` is followed by `check [DIR]` or `snapshot DIR`");
}
