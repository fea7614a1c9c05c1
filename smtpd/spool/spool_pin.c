/* While somebody copies the segments they stay as they are: none is given back, none used again. */
#include "smtpd/spool/spool_inside.h"

#include <stdlib.h>

#include "libtlsio/base/mem.h"

struct spool_pin {
	struct spool *spool;
	struct spool_pinned pinned;
};

static bool is_short_of_room(const struct spool *spool)
{
	return spool->is_full || spool->has_no_segment || spool->log.is_stuck;
}

static int check(struct spool *spool, struct err *err)
{
	if (!spool->is_replayed)
		return err_set(err, ERR_SYSTEM, "the spool is not replayed yet");
	if (spool->is_broken)
		return err_set(err, ERR_SYSTEM, "the spool has stopped after a failed sync");
	if (is_short_of_room(spool))
		return err_set(err, ERR_LIMIT, "the disk of the spool is full");
	return spool_log_flush(&spool->log, err);
}

/* Those on their way out are dead, and the log is durable beyond what says so. */
static void list(struct spool_pin *pin)
{
	struct spool *spool = pin->spool;
	struct spool_pinned *pinned = &pin->pinned;
	pinned->segments =
		mem_array(spool->segments.count + 1, sizeof(struct spool_pinned_segment));
	LIST_EACH(node, &spool->segments.in_order) {
		const struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (!segment->is_releasing)
			pinned->segments[pinned->count++] =
				(struct spool_pinned_segment){ segment->number, segment->end };
		pinned->is_open = !segment->is_sealed;
	}
}

struct spool_pin *spool_pin(struct spool *spool, struct err *err)
{
	if (check(spool, err) < 0)
		return NULL;
	struct spool_pin *pin = mem_zero(sizeof(*pin));
	pin->spool = spool;
	pin->pinned.directory = spool->directory;
	pin->pinned.shard = spool->shard;
	pin->pinned.next_id = spool->segments.next_id;
	list(pin);
	spool->pins++;
	return pin;
}

const struct spool_pinned *spool_pin_look(const struct spool_pin *pin)
{
	return &pin->pinned;
}

bool spool_pin_is_in_the_way(const struct spool_pin *pin)
{
	return pin->spool->is_broken || is_short_of_room(pin->spool);
}

void spool_unpin(struct spool_pin **pin_p)
{
	struct spool_pin *pin = *pin_p;
	if (!pin)
		return;
	*pin_p = NULL;
	pin->spool->pins--;
	pin->spool->segments.needs_review = true;
	spool_request_turn(pin->spool);
	free(pin->pinned.segments);
	free(pin);
}
