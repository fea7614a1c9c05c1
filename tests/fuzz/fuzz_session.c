/* A whole conversation: bytes in pieces into the machine, which acts on nothing. Byte 0 chooses the
 * listener and the settings, byte 1 the size of the pieces. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/session/session_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct session_machine machine;
	size_t replies;
	bool is_writing;
	bool is_asking;
	bool fails;
};

static void reply(void *ctx, const char *bytes, size_t length)
{
	struct world *w = ctx;
	assert(length >= 5 && bytes[0] >= '2' && bytes[0] <= '5');
	assert(bytes[length - 2] == '\r' && bytes[length - 1] == '\n');
	for (size_t i = 0; i < length; i++)
		assert((bytes[i] >= ' ' && bytes[i] <= '~') || bytes[i] == '\r' || bytes[i] == '\n');
	w->replies++;
}

static bool may_send(void *ctx, struct str domain, struct session_refusal *ret)
{
	(void)ctx;
	*ret = (struct session_refusal){ .code = 550, .enhanced = "5.7.1", .text = "no" };
	assert(str_is_ascii(domain));
	return domain.length != 7;
}

static bool ask_sender(void *ctx, struct str domain)
{
	struct world *w = ctx;
	assert(!w->is_asking && domain.length && str_is_ascii(domain));
	w->is_asking = domain.length % 4 != 0;
	return w->is_asking;
}

static void forget_question(void *ctx)
{
	struct world *w = ctx;
	assert(w->is_asking);
	w->is_asking = false;
}

static bool may_receive(void *ctx, struct str recipient, struct str domain,
	struct session_refusal *ret)
{
	(void)ctx;
	*ret = (struct session_refusal){ .code = 550, .enhanced = "5.7.1", .text = "no" };
	assert(recipient.length && str_is_ascii(domain));
	return str_starts(domain, STR("o"));
}

static bool has_tls(void *ctx)
{
	(void)ctx;
	return true;
}

static int store_begin(void *ctx, struct err *err)
{
	struct world *w = ctx;
	assert(!w->is_writing && w->machine.transaction->recipient_count);
	if (w->fails)
		return err_set(err, ERR_LIMIT, "full");
	w->is_writing = true;
	return 0;
}

static int store_write(void *ctx, struct str content, struct err *err)
{
	struct world *w = ctx;
	(void)err;
	assert(w->is_writing && content.length);
	return 0;
}

static void store_commit(void *ctx)
{
	struct world *w = ctx;
	assert(w->is_writing);
	w->is_writing = false;
}

static void store_abandon(void *ctx)
{
	struct world *w = ctx;
	assert(w->is_writing);
	w->is_writing = false;
}

static void note_refusal(void *ctx, enum smtp_verb verb, struct str argument,
	const struct session_refusal *refusal)
{
	(void)ctx;
	(void)verb;
	(void)argument;
	assert(refusal->code >= 400 && refusal->code <= 599);
}

static const struct session_actions actions = { reply, may_send, ask_sender, forget_question,
	may_receive, has_tls, store_begin, store_write, store_commit, store_abandon, note_refusal };

/* Whatever the machine waits for happens at once. */
static void serve(struct world *w, size_t leftover_bytes)
{
	struct session_machine *m = &w->machine;
	struct err why = { .kind = ERR_SYSTEM };
	if (m->phase == SESSION_PHASE_UPGRADING) {
		session_machine_upgrade(m, leftover_bytes);
		if (m->phase == SESSION_PHASE_UPGRADING)
			session_machine_secured(m);
	} else if (m->phase == SESSION_PHASE_ASKING) {
		struct session_refusal no = { .code = 550, .enhanced = "5.7.27", .text = "no" };
		bool is_refused = m->transaction->sender.length % 2;
		assert(w->is_asking);
		w->is_asking = false;
		session_machine_answered(m, is_refused ? &no : NULL);
	} else if (m->phase == SESSION_PHASE_COMMITTING) {
		session_machine_stored(m, 7, m->accepted % 3 == 2 ? &why : NULL);
	} else if (m->phase == SESSION_PHASE_DELAYED) {
		session_machine_resume(m);
	} else if (m->phase == SESSION_PHASE_HANDSHAKE) {
		session_machine_secured(m);
	}
}

static void converse(struct world *w, const uint8_t *data, size_t size, size_t piece)
{
	size_t begin = 0, end = 0;
	while (end < size && w->machine.phase != SESSION_PHASE_ENDED) {
		end = size - end < piece ? size : end + piece;
		for (;;) {
			struct str input = str_from(data + begin, end - begin);
			size_t used = session_machine_input(&w->machine, input);
			assert(used <= input.length);
			begin += used;
			bool is_waiting = session_machine_is_waiting(&w->machine);
			serve(w, end - begin);
			if (!used && !is_waiting)
				break;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char hostname[] = "mx.example";
	if (size < 2)
		return 0;
	struct session_settings settings = { .hostname = hostname,
		.command_bytes = 512,
		.line_bytes = 1000,
		.message_bytes = 4096,
		.recipients = 3,
		.messages = 20,
		.errors_soft = 10,
		.errors_hard = 20,
		.hops = 2,
		.refuse_null_mx_senders = data[0] & 32,
		.bare_newlines = data[0] & 1 ? SESSION_BARE_NORMALISE : SESSION_BARE_REFUSE };
	struct session_listener listener = { .tls = (enum session_tls_mode)((data[0] >> 1) % 3),
		.requires_tls = data[0] & 8 };
	struct world w = { .fails = data[0] & 16 };
	session_machine_init(&w.machine, &settings, &listener, &actions, &w);
	session_machine_start(&w.machine);
	serve(&w, 0);
	converse(&w, data + 2, size - 2, (size_t)data[1] + 1);
	assert(w.replies > 0);
	session_machine_clear(&w.machine);
	assert(!w.is_writing && !w.is_asking && !w.machine.transaction);
	return 0;
}
