/* fuzz_relay: a hostile next hop: any bytes as its replies, to a client that has mail for it.
 * First byte: level, LMTP, implicit TLS, size; second: how handshakes end. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "smtpd/relay/relay_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECIPIENTS = 40 };

struct hop {
	struct relay_machine *machine;
	struct relay_transaction transaction;
	struct relay_recipient recipients[RECIPIENTS];
	struct relay_outcome outcomes[RECIPIENTS];
	bool wants_tls, wants_body, wants_mail, is_secured;
	bool must_be_secured;
	int overs;
};

static void act_say(void *ctx, struct str bytes)
{
	const struct hop *h = ctx;
	if (h->overs || bytes.length < 3 || bytes.at[bytes.length - 1] != '\n')
		abort();
	/* the promise this room is built for */
	if (h->must_be_secured && !h->is_secured && str_starts(bytes, STR("MAIL")))
		abort();
}

static void act_start_tls(void *ctx)
{
	struct hop *h = ctx;
	h->wants_tls = true;
}

static void act_ready(void *ctx)
{
	struct hop *h = ctx;
	h->wants_mail = true;
}

static void act_body_wanted(void *ctx, bool doubles_dots)
{
	struct hop *h = ctx;
	(void)doubles_dots;
	h->wants_body = true;
}

static void act_transaction_over(void *ctx)
{
	struct hop *h = ctx;
	for (size_t i = 0; i < h->transaction.count; i++) {
		enum relay_recipient_state state = h->recipients[i].state;
		if (state == RELAY_RECIPIENT_SETTLED ? !h->outcomes[i].enhanced[0] :
						       state != RELAY_RECIPIENT_AGAIN)
			abort();
	}
	h->wants_mail = true;
}

static void act_over(void *ctx, const struct relay_machine_end *end)
{
	struct hop *h = ctx;
	if (!end->outcome.text[0] || end->outcome.kind != RELAY_DEFERRED)
		abort();
	h->overs++;
}

static const struct relay_machine_actions actions = { act_say, act_start_tls, act_ready,
	act_body_wanted, act_transaction_over, act_over };

static void begin(struct hop *h, const struct spool_recipient *who, size_t count)
{
	h->wants_mail = false;
	h->transaction.recipients = h->recipients;
	h->transaction.count = count;
	for (size_t i = 0; i < count; i++)
		h->recipients[i] = (struct relay_recipient){ .who = who, .outcome = &h->outcomes[i] };
	relay_machine_begin(h->machine, &h->transaction);
}

/* What the owner does between two replies. */
static void serve(struct hop *h, const struct spool_recipient *who, size_t count, bool tls_works)
{
	static const struct tlsio_peer peer = { .version = TLSIO_TLS13, .suite = "x",
		.chain_faults = TLSIO_CHAIN_UNTRUSTED };
	while (!h->overs && (h->wants_tls || h->wants_body)) {
		if (h->wants_tls) {
			h->wants_tls = false;
			h->is_secured = tls_works;
			if (tls_works)
				relay_machine_secured(h->machine, &peer);
			else
				relay_machine_tls_failed(h->machine, "no");
		} else {
			h->wants_body = false;
			relay_machine_body_sent(h->machine);
		}
	}
	if (!h->overs && h->wants_mail)
		begin(h, who, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct spool_recipient who = { .address = { "to@y.test", 9 } };
	if (size < 2)
		return 0;
	struct spool_envelope envelope = { .size_bytes = data[0] & 16 ? 100000 : 10 };
	struct policy_requirement demand = { .level = (enum policy_level)(data[0] & 3),
		.source = (char *)"r" };
	struct policy_requirement *r = policy_requirement_new(&demand);
	struct relay_machine_setup setup = { .hostname = "us", .host = "mx",
		.is_lmtp = data[0] & 4, .is_tls_first = data[0] & 8, .requirement = r };
	if (demand.level == POLICY_LEVEL_NONE)
		setup.is_tls_first = false;
	struct hop h = { .transaction.envelope = &envelope, .wants_tls = setup.is_tls_first,
		.must_be_secured = demand.level >= POLICY_LEVEL_ENCRYPT };
	struct str input = str_from(data + 2, size - 2);
	size_t count = 1 + data[1] % RECIPIENTS;
	h.machine = relay_machine_new(&setup, &actions, &h);
	do {
		serve(&h, &who, count, data[1] & 64);
		size_t used = relay_machine_read(h.machine, input);
		input = str_skip(input, used);
	} while (relay_machine_act(h.machine));
	serve(&h, &who, count, data[1] & 64);
	relay_machine_lost(h.machine, "end of input");
	if (h.overs != 1)
		abort();
	relay_machine_free(&h.machine);
	policy_requirement_unref(&r);
	return 0;
}
