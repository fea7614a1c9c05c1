#include "policy/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "policy/store/store_file.h"

enum { WORDS_BYTES = 600, NEW_PART = 10 };

/* A file being written. */
struct writing {
	int fd; /* -1: none */
	struct plan_service_kept *plans; /* share theirs; the last of the array first */
	size_t count, left;
	struct store_head head;
	struct buf slice;
};

struct store {
	struct tlsio_loop *loop;
	struct plan_service *service;
	char *path, *path_new;
	uint8_t digest[32];
	void (*on_warning)(void *ctx, const char *words);
	void *ctx;
	struct tlsio_timer timer; /* look, or the next slice */
	struct writing writing;
	uint64_t made; /* by the service, when it was last written */
	int64_t written_ms;
	bool is_wanted;	    /* the file that is there is of no use */
	bool is_in_trouble; /* said already */
	struct store_counts counts;
};

__attribute__((format(printf, 2, 3))) static void warn(const struct store *s, const char *format, ...)
{
	char words[WORDS_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	if (s->on_warning)
		s->on_warning(s->ctx, words);
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* 1: there is a file of ours; 0: there is none. Others could have written what they like there. */
static int open_file(const struct store *s, int *ret_fd, struct err *err)
{
	struct stat st;
	int fd = open(s->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	*ret_fd = fd;
	if (fd < 0)
		return errno == ENOENT ? 0 : err_system(err, errno, "it cannot be opened");
	if (fstat(fd, &st) < 0)
		return err_system(err, errno, "it cannot be looked at");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INPUT, "it is no regular file");
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(err, ERR_INPUT, "others than the user of this program may write it");
	return 1;
}

static void take(struct store *s, struct str body, bool is_whole,
	const struct door_authorities *authorities)
{
	struct plan_service_kept kept;
	if (!is_whole || store_file_read(body, authorities, &kept, NULL) < 0) {
		s->counts.bad++;
		return;
	}
	switch (plan_service_restore(s->service, &kept)) {
	case PLAN_RESTORED:
		s->counts.read++;
		break;
	case PLAN_OVER:
	case PLAN_OTHER:
		s->counts.over++;
		break;
	case PLAN_ODD:
		s->counts.bad++;
		break;
	}
	policy_plan_unref(&kept.plan);
}

/* From the last to the first, which was used last, and so counts as used last again. */
static void take_all(struct store *s, struct str bytes, uint32_t count,
	const struct door_authorities *authorities)
{
	struct {
		struct str body;
		bool is_whole;
	} *all = mem_array(count ? count : 1, sizeof(*all));
	size_t found = 0, used;
	while (found < count &&
		store_file_split(bytes, &all[found].body, &used, &all[found].is_whole)) {
		bytes = str_skip(bytes, used);
		found++;
	}
	s->counts.bad += count - found;
	if (found == count && bytes.length > 0)
		s->counts.bad++;
	while (found-- > 0)
		take(s, all[found].body, all[found].is_whole, authorities);
	free(all);
}

/* -1: the file is of no use, and words say why. */
static int read_file(struct store *s, struct str bytes, const struct door_authorities *authorities,
	struct err *err)
{
	struct store_head head;
	if (store_file_read_head(bytes, &head, err) < 0)
		return -1;
	if (head.written_s > tlsio_loop_time_s(s->loop))
		return err_set(err, ERR_INPUT, "it was written %lld s from now: the clock was set back",
			(long long)(head.written_s - tlsio_loop_time_s(s->loop)));
	/* In the order of things: the configuration was changed, or the program. */
	if (memcmp(head.digest, s->digest, sizeof(head.digest)) != 0) {
		s->counts.over += head.count;
		s->is_wanted = true;
		return 0;
	}
	take_all(s, str_skip(bytes, STORE_HEAD_BYTES), head.count, authorities);
	return 0;
}

static void load(struct store *s, const struct door_authorities *authorities)
{
	struct buf bytes = { 0 };
	struct err err;
	int fd, result = open_file(s, &fd, &err);
	if (result > 0)
		result = file_read_fd(fd, s->path, STORE_FILE_BYTES_MOST, &bytes, &err);
	if (fd >= 0)
		close(fd);
	if (result == 0 && fd >= 0)
		result = read_file(s, buf_str(&bytes), authorities, &err);
	buf_release(&bytes);
	if (result < 0)
		warn(s, "the plans kept in %s are not used: %s; domains are asked anew", s->path,
			err.text);
	else if (s->counts.bad > 0)
		warn(s, "%s: %zu of %zu kept plans are damaged and left out; those domains are asked "
			"anew", s->path, s->counts.bad,
			s->counts.bad + s->counts.read + s->counts.over);
	s->is_wanted |= result < 0 || s->counts.bad > 0;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void end_writing(struct store *s)
{
	struct writing *w = &s->writing;
	for (size_t i = 0; i < w->left; i++)
		policy_plan_unref(&w->plans[i].plan);
	free(w->plans);
	buf_release(&w->slice);
	if (w->fd >= 0)
		close(w->fd);
	*w = (struct writing){ .fd = -1 };
}

static void give_up(struct store *s)
{
	if (s->writing.fd >= 0)
		unlink(s->path_new);
	end_writing(s);
}

static void fail(struct store *s, const char *what)
{
	int error = errno;
	give_up(s);
	if (!s->is_in_trouble)
		warn(s, "%s %s: %s; after a restart domains would be asked anew", s->path_new, what,
			strerror(error));
	s->is_in_trouble = s->is_wanted = true;
}

static int write_all(int fd, struct str bytes)
{
	while (bytes.length > 0) {
		ssize_t count = write(fd, bytes.at, bytes.length);
		if (count < 0 && errno != EINTR)
			return -1;
		bytes = str_skip(bytes, count > 0 ? (size_t)count : 0);
	}
	return 0;
}

static void note(void *ctx, const struct plan_service_kept *kept)
{
	struct writing *w = ctx;
	w->plans[w->count] = *kept;
	w->plans[w->count++].plan = policy_plan_ref(kept->plan);
}

static int begin_writing(struct store *s)
{
	struct writing *w = &s->writing;
	struct plan_service_counts counts;
	static const char nothing[STORE_HEAD_BYTES];
	plan_service_count(s->service, &counts);
	s->made = counts.made;
	s->written_ms = tlsio_loop_now_ms(s->loop);
	unlink(s->path_new);
	w->fd = open(s->path_new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0 || write_all(w->fd, str_from(nothing, sizeof(nothing))) < 0) {
		fail(s, "cannot be written");
		return -1;
	}
	w->plans = mem_array(counts.kept ? counts.kept : 1, sizeof(*w->plans));
	plan_service_each(s->service, note, w);
	w->left = w->count;
	w->head.written_s = tlsio_loop_time_s(s->loop);
	memcpy(w->head.digest, s->digest, sizeof(w->head.digest));
	return 0;
}

/* -1: it failed, and there is nothing to write any more. */
static int write_slice(struct store *s)
{
	struct writing *w = &s->writing;
	buf_clear(&w->slice);
	for (size_t i = 0; i < STORE_SLICE_PLANS && w->left > 0; i++) {
		struct plan_service_kept *kept = &w->plans[w->left - 1];
		bool has_room = w->head.bytes + w->slice.length < STORE_FILE_BYTES_MOST / 2 &&
			w->head.count < STORE_PLANS_MOST;
		if (has_room && kept->plan->expires_s > w->head.written_s)
			w->head.count += store_file_put(&w->slice, kept);
		policy_plan_unref(&kept->plan);
		w->left--;
	}
	w->head.bytes += w->slice.length;
	if (write_all(w->fd, buf_str(&w->slice)) == 0)
		return 0;
	fail(s, "cannot be written");
	return -1;
}

static void finish(struct store *s)
{
	struct writing *w = &s->writing;
	char head[STORE_HEAD_BYTES];
	store_file_put_head(&w->head, head);
	if (pwrite(w->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head)) {
		fail(s, "cannot be written");
	} else if (rename(s->path_new, s->path) < 0) {
		fail(s, "cannot be renamed");
	} else {
		s->counts.written++;
		s->is_in_trouble = s->is_wanted = false;
	}
	end_writing(s);
}

/* ---- when ------------------------------------------------------------------------------------- */

static bool has_new(const struct store *s, bool is_end)
{
	struct plan_service_counts counts;
	plan_service_count(s->service, &counts);
	uint64_t fresh = counts.made - s->made;
	if (is_end || tlsio_loop_now_ms(s->loop) - s->written_ms >= STORE_LATEST_MS)
		return fresh > 0 || s->is_wanted;
	return fresh * NEW_PART >= counts.kept && fresh > 0;
}

static void on_due(void *ctx)
{
	struct store *s = ctx;
	bool is_writing = s->writing.fd >= 0 || (has_new(s, false) && begin_writing(s) == 0);
	if (is_writing && write_slice(s) == 0 && s->writing.left == 0)
		finish(s);
	tlsio_timer_start(&s->timer, s->writing.fd >= 0 ? 1 : STORE_LOOK_MS);
}

struct store *store_new(const struct store_setup *setup)
{
	struct store *s = mem_zero(sizeof(*s));
	struct buf path = { 0 };
	s->loop = setup->loop;
	s->service = setup->service;
	s->path = mem_dup(setup->path);
	buf_printf(&path, "%s.new", setup->path);
	s->path_new = buf_take(&path);
	memcpy(s->digest, setup->digest, sizeof(s->digest));
	s->on_warning = setup->on_warning;
	s->ctx = setup->ctx;
	s->writing.fd = -1;
	s->written_ms = tlsio_loop_now_ms(s->loop);
	load(s, &setup->authorities);
	tlsio_timer_init(&s->timer, s->loop, on_due, s);
	tlsio_timer_start(&s->timer, STORE_LOOK_MS);
	return s;
}

void store_set_digest(struct store *s, const uint8_t digest[32])
{
	memcpy(s->digest, digest, sizeof(s->digest));
	give_up(s);
	s->is_wanted = true;
	tlsio_timer_start(&s->timer, STORE_LOOK_MS);
}

void store_save(struct store *s)
{
	bool is_writing = s->writing.fd >= 0;
	give_up(s); /* what is new since should be in it */
	if ((!is_writing && !has_new(s, true)) || begin_writing(s) < 0)
		return;
	while (s->writing.left > 0)
		if (write_slice(s) < 0)
			return;
	finish(s);
}

void store_count(const struct store *s, struct store_counts *ret)
{
	*ret = s->counts;
}

void store_free(struct store **store)
{
	struct store *s = *store;
	*store = NULL;
	if (!s)
		return;
	give_up(s);
	tlsio_timer_stop(&s->timer);
	free(s->path);
	free(s->path_new);
	free(s);
}
