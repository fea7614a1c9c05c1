#include "libtlsio/tlsio_certwatch.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

struct watched {
	struct list link;
	struct stat last; /* zeroed = it was not there */
	char *path;
};

struct tlsio_certwatch {
	struct tlsio_timer timer;
	int64_t interval_ms;
	void (*on_change)(void *ctx);
	void *ctx;
	struct list files;
	bool has_changed; /* and was not reported yet: waits for quiet */
};

static struct stat look(const char *path)
{
	struct stat now;
	if (stat(path, &now) < 0)
		return (struct stat){ 0 };
	return now;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void on_due(void *ctx)
{
	struct tlsio_certwatch *w = ctx;
	bool is_quiet = true;
	LIST_EACH(node, &w->files)
	{
		struct watched *file = LIST_OWNER(node, struct watched, link);
		struct stat now = look(file->path);
		if (is_same(&now, &file->last))
			continue;
		file->last = now;
		is_quiet = false;
	}
	tlsio_timer_start(&w->timer, w->interval_ms);
	bool is_to_report = is_quiet && w->has_changed;
	w->has_changed = !is_quiet;
	/* Last: the owner may clear, add or free in it. */
	if (is_to_report)
		w->on_change(w->ctx);
}

struct tlsio_certwatch *tlsio_certwatch_new(
	struct tlsio_loop *loop, int64_t interval_ms, void (*on_change)(void *ctx), void *ctx)
{
	struct tlsio_certwatch *w = mem_zero(sizeof(*w));
	w->interval_ms = interval_ms;
	w->on_change = on_change;
	w->ctx = ctx;
	list_init(&w->files);
	tlsio_timer_init(&w->timer, loop, on_due, w);
	tlsio_timer_start(&w->timer, interval_ms);
	return w;
}

void tlsio_certwatch_add(struct tlsio_certwatch *w, const char *path)
{
	struct watched *file = mem_zero(sizeof(*file));
	file->path = mem_dup(path);
	file->last = look(path);
	list_push_back(&w->files, &file->link);
}

void tlsio_certwatch_clear(struct tlsio_certwatch *w)
{
	LIST_EACH_SAFE(node, &w->files)
	{
		struct watched *file = LIST_OWNER(node, struct watched, link);
		list_remove(node);
		free(file->path);
		free(file);
	}
	w->has_changed = false;
}

void tlsio_certwatch_free(struct tlsio_certwatch **certwatch)
{
	struct tlsio_certwatch *w = *certwatch;
	*certwatch = NULL;
	if (!w)
		return;
	tlsio_timer_stop(&w->timer);
	tlsio_certwatch_clear(w);
	free(w);
}
