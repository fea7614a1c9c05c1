#include "smtpd/milter/milter_snapshot.h"

#include <pthread.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct milter_snapshot *current;

void milter_snapshot_swap(const struct milter_snapshot *next)
{
	struct milter_snapshot *fresh = NULL, *before;
	if (next) {
		fresh = mem_alloc(sizeof(*fresh));
		*fresh = *next;
		fresh->holders = 1;
	}
	pthread_mutex_lock(&mutex);
	before = current;
	current = fresh;
	pthread_mutex_unlock(&mutex);
	milter_snapshot_release(&before);
}

struct milter_snapshot *milter_snapshot_take(void)
{
	pthread_mutex_lock(&mutex);
	struct milter_snapshot *s = current;
	if (s)
		s->holders++;
	pthread_mutex_unlock(&mutex);
	return s;
}

void milter_snapshot_release(struct milter_snapshot **snapshot)
{
	struct milter_snapshot *s = *snapshot;
	*snapshot = NULL;
	if (!s)
		return;
	pthread_mutex_lock(&mutex);
	bool is_last = --s->holders == 0;
	pthread_mutex_unlock(&mutex);
	if (!is_last)
		return;
	s->on_unused(s->ctx);
	free(s);
}
