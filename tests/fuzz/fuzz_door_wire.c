/* What the two sides of postern-policyd's socket read from each other. First byte: which. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/door/door_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was understood can be said again, and means the same. */
static void read_plan(struct str body)
{
	struct buf first = { 0 }, second = { 0 };
	struct policy_plan *plan = door_wire_read_plan(body, NULL, NULL);
	if (!plan)
		return;
	door_wire_plan(&first, 1, plan);
	policy_plan_unref(&plan);
	plan = door_wire_read_plan(str_skip(buf_str(&first), 9), NULL, NULL);
	assert(plan);
	door_wire_plan(&second, 1, plan);
	assert(str_equal(buf_str(&first), buf_str(&second)));
	policy_plan_unref(&plan);
	buf_release(&first);
	buf_release(&second);
}

static void read_ask(struct str body)
{
	struct policy_question question;
	struct buf again = { 0 };
	if (door_wire_read_ask(body, &question, NULL) < 0)
		return;
	door_wire_ask(&again, 1, &question);
	assert(str_equal(str_skip(buf_str(&again), 9), body));
	buf_release(&again);
}

static void read_stream(struct str bytes)
{
	struct door_frame frame;
	size_t used;
	while (door_wire_split(bytes, DOOR_QUESTION_BYTES_MOST, &frame, &used, NULL) == 1) {
		assert(used <= bytes.length && frame.body.length <= used);
		bytes = str_skip(bytes, used);
	}
}

/* What is understood is said again the same. */
static void read_report(struct str body)
{
	struct policy_session session;
	struct buf again = { 0 };
	struct door_frame frame;
	size_t used;
	if (door_wire_read_report(body, &session, NULL) < 0)
		return;
	assert(door_wire_report(&again, 0, &session));
	assert(door_wire_split(buf_str(&again), DOOR_QUESTION_BYTES_MOST, &frame, &used, NULL) == 1);
	assert(door_wire_read_report(frame.body, &session, NULL) == 0);
	buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char words[400];
	struct door_status status;
	unsigned format;
	int result;
	if (size == 0)
		return 0;
	struct str body = str_from(data + 1, size - 1);
	switch (data[0] % 8) {
	case 0:
		read_stream(body);
		break;
	case DOOR_HELLO:
		door_wire_read_hello(body, &format, NULL);
		break;
	case DOOR_ASK:
		read_ask(body);
		break;
	case DOOR_PLAN:
		read_plan(body);
		break;
	case DOOR_REPORT:
		read_report(body);
		break;
	case DOOR_STATUS:
		door_wire_read_status(body, &status, NULL);
		break;
	default:
		door_wire_read_self_check(body, &result, words, NULL);
	}
	return 0;
}
