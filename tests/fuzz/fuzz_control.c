/* What a worker reads from a client of its control socket, and posternctl from a worker; and the
 * bundle a worker gets from its supervisor. First byte: which. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/control/control_print.h"
#include "smtpd/control/control_protocol.h"
#include "smtpd/supervise/supervise_bundle.h"
#include "smtpd/supervise/supervise_channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_request(struct str bytes)
{
	static struct control_request request;
	struct buf again = { 0 };
	const char *words[CONTROL_WORDS_MOST];
	if (control_request_parse(bytes, &request, NULL) < 0)
		return;
	for (size_t i = 0; i < request.count; i++)
		words[i] = request.words[i].at;
	/* what was understood can be said again, and means the same */
	bool fits = control_request_format(words, request.count, &again);
	if (fits)
		assert(control_request_parse(str_head(buf_str(&again), again.length - 1), &request,
			       NULL) == 0);
	buf_release(&again);
}

static void read_answer(struct str bytes)
{
	struct control_reader reader = { 0 };
	struct buf out = { 0 };
	enum control_item item = CONTROL_MORE;
	while (!reader.is_over && (item != CONTROL_MORE || bytes.length)) {
		if (item == CONTROL_MORE) { /* in pieces, as a socket gives them */
			size_t length = bytes.length < 7 ? bytes.length : 7;
			control_reader_feed(&reader, str_head(bytes, length));
			bytes = str_skip(bytes, length);
		}
		item = control_reader_next(&reader);
		buf_clear(&out);
		if (item == CONTROL_RECORD) {
			control_print_json(&out, &reader.record, false);
			control_print_queue_message(&out, &reader.record);
			control_print_queue_recipient(&out, &reader.record);
			control_print_show(&out, &reader.record);
			control_print_worker(&out, &reader.record, 1000);
		} else if (item == CONTROL_ERROR)
			control_print_safe(&out, reader.data);
	}
	control_reader_clear(&reader);
	buf_release(&out);
}

static void read_bundle(struct str bytes)
{
	struct buf again = { 0 };
	struct supervise_bundle *bundle = supervise_bundle_decode(bytes, NULL);
	if (!bundle)
		return;
	supervise_bundle_encode(bundle, &again);
	assert(str_equal(buf_str(&again), bytes));
	supervise_bundle_free(&bundle);
	buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct supervise_message message;
	if (size == 0)
		return 0;
	struct str bytes = str_from(data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		read_request(bytes);
		break;
	case 1:
		read_answer(bytes);
		break;
	case 2:
		read_bundle(bytes);
		break;
	default:
		supervise_message_decode(bytes, &message);
	}
	return 0;
}
