#include "smtpd/control/control_spool.h"

#include <stdlib.h>
#include <time.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"

enum { LIFE_MS = 1000, PIN_MS_MOST = 4 * 3600 * 1000 };

struct pins {
	struct spool_pin **pins;
	size_t count;
	size_t shard;   /* told up to here */
	size_t segment; /* and here: 0 is the shard itself */
	int64_t until_ms;
};

/* Of the machine, so that posternctl can compare. */
static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void log_pins(const char *event, const struct pins *p)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, event);
	log_number(&l, "shards", (int64_t)p->count);
	log_text(&l, "by", "operator");
	log_end(&l);
}

static void end_pins(void *state)
{
	struct pins *p = state;
	log_pins("spool-unpinned", p);
	for (size_t i = 0; i < p->count; i++)
		spool_unpin(&p->pins[i]);
	free(p->pins);
	free(p);
}

static void put_one(struct pins *p, struct buf *out)
{
	const struct spool_pinned *pinned = spool_pin_look(p->pins[p->shard]);
	if (p->segment == 0) {
		control_put_begin(out, "shard");
		control_put_number(out, "number", pinned->shard);
		control_put_text(out, "directory", str_of(pinned->directory));
		control_put_number(out, "next_id", (int64_t)pinned->next_id);
		control_put_number(out, "open", pinned->is_open);
	} else {
		const struct spool_pinned_segment *segment = &pinned->segments[p->segment - 1];
		control_put_begin(out, "segment");
		control_put_number(out, "number", segment->number);
		control_put_number(out, "end", segment->end);
	}
	control_put_end(out);
	if (p->segment++ == pinned->count) {
		p->segment = 0;
		p->shard++;
	}
}

static bool is_in_the_way(const struct pins *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (spool_pin_is_in_the_way(p->pins[i]))
			return true;
	return false;
}

static void step_pins(void *state, struct control_answer *answer)
{
	struct pins *p = state;
	struct buf *out = control_answer_out(answer);
	while (p->shard < p->count && out->length < CONTROL_SLICE_BYTES)
		put_one(p, out);
	if (p->shard < p->count)
		return;
	if (is_in_the_way(p)) {
		control_answer_error(answer, "the spool's disk got full: its segments are given back");
	} else if (now_ms() > p->until_ms) {
		control_answer_error(answer, "segments are kept for four hours, not longer");
	} else {
		control_put_begin(out, "pinned");
		control_put_number(out, "at", now_ms());
		control_put_end(out);
		control_answer_pause(answer, LIFE_MS);
	}
}

void control_spool_pin(struct control_answer *answer, const struct control_rooms *rooms)
{
	struct pins *p = mem_zero(sizeof(*p));
	struct err err;
	p->until_ms = now_ms() + PIN_MS_MOST;
	for (size_t i = 0; control_rooms_spool(rooms, i); i++) {
		struct spool_pin *pin = spool_pin(control_rooms_spool(rooms, i), &err);
		if (!pin) {
			control_answer_error(answer, "%s", err.text);
			end_pins(p);
			return;
		}
		p->pins = mem_resize_array(p->pins, p->count + 1, sizeof(struct spool_pin *));
		p->pins[p->count++] = pin;
	}
	log_pins("spool-pinned", p);
	control_answer_more(answer, step_pins, end_pins, p);
}
