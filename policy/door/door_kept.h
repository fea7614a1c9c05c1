/* door_kept: the client's memory of plans, by the question's bytes. Internal to the room.
 *
 * Promise: bounded in number and in bytes (of the frames the plans came in); the longest unused
 *          goes first; an expired one is never given, nor one whose time is over by the clock that
 *          nobody sets.
 */
#ifndef POLICY_DOOR_DOOR_KEPT_H
#define POLICY_DOOR_DOOR_KEPT_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"
#include "policy/policy_plan.h"

struct door_kept;

struct door_kept *door_kept_new(size_t plans_most, size_t bytes_most);
void door_kept_free(struct door_kept **kept);
/* Borrowed; NULL: none. */
struct policy_plan *door_kept_find(struct door_kept *kept, struct str key, int64_t now_s,
	int64_t now_ms);
/* Shares the plan, copies the key. */
void door_kept_put(struct door_kept *kept, struct str key, struct policy_plan *plan,
	size_t frame_bytes, int64_t now_s, int64_t now_ms);
void door_kept_clear(struct door_kept *kept);

#endif
