#include "smtpd/relay/relay_maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/file.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

#define THREADS 4
#define PIECE_BYTES (256 * 1024)
#define FOLDED_BYTES_MOST 200

/* Belongs to the loop or to a thread, in turns: whoever is to act next. */
struct relay_maildir {
	struct relay_maildirs *maildirs;
	struct list link; /* queue or finished steps */
	char *path;
	char *name; /* of the file */
	int fd;	    /* in tmp/; -1 not yet, or no more */
	struct buf piece;
	bool is_last;
	bool has_failed, is_full;
	struct err error;
	/* the loop's only */
	struct spool_reader *reader;
	bool has_held_cr;
	bool is_at_thread;
	bool is_cancelled;
	relay_maildir_done on_done;
	void *ctx;
};

struct relay_maildirs {
	struct tlsio_loop *loop;
	struct tlsio_wake wake;
	pthread_t threads[THREADS];
	size_t thread_count;
	unsigned counter;
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	bool is_stopping;
	struct list queue;
	struct list finished;
};

/* ---- paths ----------------------------------------------------------------------------------- */

static void append_folded(struct buf *path, struct str local)
{
	for (size_t i = 0; i < local.length; i++) {
		char c = str_lower(local.at[i]);
		bool is_safe = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
			c == '_' || c == '+' || c == '=' || (c == '.' && i > 0);
		if (is_safe)
			buf_append_byte(path, c);
		else
			buf_printf(path, "%%%02X", (unsigned char)c);
	}
	if (local.length == 0)
		buf_append_byte(path, '_');
}

char *relay_maildir_path(const char *path, struct str address)
{
	struct str local = str_head(address, str_find_last(address, '@'));
	struct buf folded = { 0 };
	struct buf filled = { 0 };
	append_folded(&folded, local);
	bool is_too_long = false;
	for (const char *at = path; *at; at++) {
		if (at[0] == '%' && at[1] == 'u') {
			buf_append_str(&filled, buf_str(&folded));
			is_too_long = folded.length > FOLDED_BYTES_MOST;
			at++;
		} else {
			buf_append_byte(&filled, *at);
			at += at[0] == '%' && at[1] == '%';
		}
	}
	buf_release(&folded);
	if (is_too_long)
		buf_release(&filled);
	return is_too_long ? NULL : buf_take(&filled);
}

/* "seconds.MmicrosecondsPpidQcounter.host", as the maildir convention wants it. */
static char *unique_name(struct relay_maildirs *m, const char *hostname)
{
	struct timespec now;
	struct buf name = { 0 };
	clock_gettime(CLOCK_REALTIME, &now);
	buf_printf(&name, "%lld.M%06ldP%ldQ%u.", (long long)now.tv_sec, now.tv_nsec / 1000,
		(long)getpid(), m->counter++);
	for (const char *at = hostname; *at; at++) {
		if (*at == '/' || *at == ':')
			buf_printf(&name, "\\%03o", (unsigned)*at);
		else
			buf_append_byte(&name, *at);
	}
	return buf_take(&name);
}

/* ---- in a thread ----------------------------------------------------------------------------- */

static char *sub_path(const struct relay_maildir *d, const char *directory, const char *name)
{
	struct buf path = { 0 };
	buf_printf(&path, "%s/%s%s%s", d->path, directory, name ? "/" : "", name ? name : "");
	return buf_take(&path);
}

static int fail(struct relay_maildir *d, int error, const char *what)
{
	d->has_failed = true;
	d->is_full = error == ENOSPC || error == EDQUOT;
	return err_system(&d->error, error, "maildir %.120s: %s", d->path, what);
}

static int sync_directory(struct relay_maildir *d, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(d, errno, "open directory");
	int rc = fsync(fd);
	int error = errno;
	close(fd);
	return rc < 0 ? fail(d, error, "fsync directory") : 0;
}

/* The maildir with its three directories, durably, where there is none. */
static int make_maildir(struct relay_maildir *d)
{
	static const char *const parts[] = { "tmp", "new", "cur" };
	struct stat st;
	char *cur = sub_path(d, "cur", NULL); /* made last: there when all are */
	int rc = stat(cur, &st);
	free(cur);
	if (rc == 0)
		return 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *path = sub_path(d, parts[i], NULL);
		rc = file_make_directories(path, 0700, &d->error);
		int error = errno;
		free(path);
		if (rc < 0)
			return fail(d, error, "cannot be made");
	}
	char *parent = mem_dup(d->path);
	char *slash = strrchr(parent, '/');
	if (slash && slash > parent)
		*slash = '\0';
	rc = sync_directory(d, d->path) < 0 || sync_directory(d, parent) < 0 ? -1 : 0;
	free(parent);
	return rc;
}

static int open_file(struct relay_maildir *d)
{
	if (make_maildir(d) < 0)
		return -1;
	char *path = sub_path(d, "tmp", d->name);
	d->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int error = errno;
	free(path);
	return d->fd < 0 ? fail(d, error, "open a file in tmp/") : 0;
}

static int write_piece(struct relay_maildir *d)
{
	while (d->piece.length > 0) {
		struct str bytes = buf_str(&d->piece);
		ssize_t count = write(d->fd, bytes.at, bytes.length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return fail(d, errno, "write");
		buf_consume(&d->piece, (size_t)count);
	}
	return 0;
}

static int close_file(struct relay_maildir *d)
{
	int fd = d->fd;
	if (fsync(fd) < 0)
		return fail(d, errno, "fsync");
	char *from = sub_path(d, "tmp", d->name);
	char *to = sub_path(d, "new", d->name);
	char *directory = sub_path(d, "new", NULL);
	int rc = rename(from, to) < 0 ? fail(d, errno, "rename into new/") : 0;
	if (rc == 0) {
		/* From here the file stays: were the directory's sync to fail, the next try would
		 * deliver it twice, which is better than not at all. */
		close(fd);
		d->fd = -1;
		rc = sync_directory(d, directory);
	}
	free(from);
	free(to);
	free(directory);
	return rc;
}

/* Nothing of a delivery that failed stays behind. */
static void clean_up(struct relay_maildir *d)
{
	if (d->fd < 0)
		return;
	char *path = sub_path(d, "tmp", d->name);
	unlink(path);
	free(path);
	close(d->fd);
	d->fd = -1;
}

static void do_step(struct relay_maildir *d)
{
	if (d->has_failed || (d->fd < 0 && open_file(d) < 0) || write_piece(d) < 0 ||
		(d->is_last && close_file(d) < 0))
		clean_up(d);
}

static void *run_thread(void *ctx)
{
	struct relay_maildirs *m = ctx;
	pthread_mutex_lock(&m->lock);
	while (!m->is_stopping) {
		struct list *node = list_first(&m->queue);
		if (!node) {
			pthread_cond_wait(&m->has_work, &m->lock);
			continue;
		}
		list_remove(node);
		pthread_mutex_unlock(&m->lock);
		do_step(LIST_OWNER(node, struct relay_maildir, link));
		pthread_mutex_lock(&m->lock);
		list_push_back(&m->finished, node);
		tlsio_wake_send(&m->wake);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* ---- in the loop ----------------------------------------------------------------------------- */

static void start_thread(struct relay_maildirs *m)
{
	sigset_t all, old;
	if (m->thread_count == THREADS)
		return;
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&m->threads[m->thread_count], NULL, run_thread, m) == 0)
		m->thread_count++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Lines end in LF in a maildir. A CR at the end of a piece waits for what follows. */
static void append_lines(struct relay_maildir *d, struct str piece)
{
	while (piece.length > 0) {
		if (d->has_held_cr) {
			d->has_held_cr = false;
			if (piece.at[0] != '\n')
				buf_append_byte(&d->piece, ' '); /* alone: never stored so */
		}
		size_t length = str_find(piece, '\r');
		buf_append_str(&d->piece, str_head(piece, length));
		d->has_held_cr = length < piece.length;
		piece = str_skip(piece, length + d->has_held_cr);
	}
}

/* Up to PIECE_BYTES more of the message. */
static int fill(struct relay_maildir *d)
{
	struct str piece;
	while (d->piece.length < PIECE_BYTES && !d->is_last) {
		if (spool_reader_next(d->reader, &piece, &d->error) < 0)
			return -1;
		d->is_last = piece.length == 0;
		append_lines(d, piece);
	}
	return 0;
}

static void hand_over(struct relay_maildir *d)
{
	struct relay_maildirs *m = d->maildirs;
	d->is_at_thread = true;
	pthread_mutex_lock(&m->lock);
	bool is_busy = !list_is_empty(&m->queue) || m->thread_count == 0;
	list_push_back(&m->queue, &d->link);
	pthread_cond_signal(&m->has_work);
	pthread_mutex_unlock(&m->lock);
	if (is_busy)
		start_thread(m);
	if (m->thread_count > 0)
		return;
	list_remove(&d->link); /* no thread at all: nobody else looks at the queue */
	fail(d, EAGAIN, "no thread can be started");
	list_push_back(&m->finished, &d->link);
	tlsio_wake_send(&m->wake);
}

static void free_delivery(struct relay_maildir *d)
{
	clean_up(d); /* cancelled midway */
	buf_release(&d->piece);
	free(d->path);
	free(d->name);
	free(d);
}

static void take_back(struct relay_maildir *d)
{
	d->is_at_thread = false;
	if (d->is_cancelled) {
		free_delivery(d);
		return;
	}
	if (!d->has_failed && !d->is_last) {
		if (fill(d) == 0) {
			hand_over(d);
			return;
		}
		d->has_failed = true;
	}
	d->on_done(d->ctx, d->has_failed ? &d->error : NULL, d->is_full);
	free_delivery(d);
}

static void on_wake(void *ctx)
{
	struct relay_maildirs *m = ctx;
	for (;;) {
		pthread_mutex_lock(&m->lock);
		struct list *node = list_first(&m->finished);
		if (node)
			list_remove(node);
		pthread_mutex_unlock(&m->lock);
		if (!node)
			return;
		take_back(LIST_OWNER(node, struct relay_maildir, link));
	}
}

struct relay_maildir *relay_maildir_deliver(struct relay_maildirs *maildirs, const char *path,
	struct spool_reader *reader, struct str recipient, const char *hostname,
	relay_maildir_done on_done, void *ctx)
{
	struct relay_maildir *d = mem_zero(sizeof(*d));
	d->maildirs = maildirs;
	d->path = mem_dup(path);
	d->name = unique_name(maildirs, hostname);
	d->fd = -1;
	d->reader = reader;
	d->on_done = on_done;
	d->ctx = ctx;
	buf_printf(&d->piece, "Return-Path: <%.*s>\nDelivered-To: %.*s\n",
		STR_ARGS(spool_reader_envelope(reader)->sender), STR_ARGS(recipient));
	d->has_failed = fill(d) < 0; /* told later, as everything */
	hand_over(d);
	return d;
}

void relay_maildir_cancel(struct relay_maildir **delivery)
{
	struct relay_maildir *d = *delivery;
	if (!d)
		return;
	*delivery = NULL;
	if (d->is_at_thread)
		d->is_cancelled = true;
	else
		free_delivery(d);
}

struct relay_maildirs *relay_maildirs_new(struct tlsio_loop *loop)
{
	struct relay_maildirs *m = mem_zero(sizeof(*m));
	m->loop = loop;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->has_work, NULL);
	list_init(&m->queue);
	list_init(&m->finished);
	tlsio_wake_start(&m->wake, loop, on_wake, m);
	return m;
}

static void free_all(struct list *deliveries)
{
	struct list *node;
	while ((node = list_first(deliveries)) != NULL) {
		list_remove(node);
		free_delivery(LIST_OWNER(node, struct relay_maildir, link));
	}
}

void relay_maildirs_free(struct relay_maildirs **maildirs)
{
	struct relay_maildirs *m = *maildirs;
	if (!m)
		return;
	*maildirs = NULL;
	pthread_mutex_lock(&m->lock);
	m->is_stopping = true;
	pthread_cond_broadcast(&m->has_work);
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < m->thread_count; i++)
		pthread_join(m->threads[i], NULL);
	tlsio_wake_stop(&m->wake);
	free_all(&m->queue);
	free_all(&m->finished);
	pthread_cond_destroy(&m->has_work);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
