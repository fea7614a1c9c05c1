/* The client dialogue without I/O: replies in, a trace of actions out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtpd/relay/relay_machine.h"
#include "smtpd/relay/relay_outcome.h"

enum { RECIPIENTS = 5 };

/* One dialogue. steps, separated by '\n':
 *	<words	the peer says this line ("\\" joins lines into one packet)
 *	begin N	a transaction of N recipients;  sent, broken	the body went out, could not be read
 *	secured, insecure, tlsfail, lost, quit
 * trace: what came out, line by line. */
struct play {
	const char *name;
	const char *level;
	const char *options; /* words: lmtp, tls-first, in-clear, big, utf8, dsn */
	const char *steps;
	const char *trace;
};

struct player {
	struct relay_machine *machine;
	struct buf trace;
	struct spool_envelope envelope;
	struct spool_recipient who[RECIPIENTS];
	struct relay_recipient recipients[RECIPIENTS];
	struct relay_outcome outcomes[RECIPIENTS];
	struct relay_transaction transaction;
};

static void act_say(void *ctx, struct str bytes)
{
	struct player *p = ctx;
	struct str line;
	assert_true(str_ends_nocase(bytes, STR("\r\n")));
	bytes.length -= 2; /* the last line's end */
	while (str_split(&bytes, '\n', &line)) {
		line.length -= str_ends_nocase(line, STR("\r"));
		buf_printf(&p->trace, ">%.*s\n", STR_ARGS(line));
	}
}

static void act_start_tls(void *ctx)
{
	struct player *p = ctx;
	buf_append_text(&p->trace, "tls\n");
}

static void act_ready(void *ctx)
{
	struct player *p = ctx;
	buf_append_text(&p->trace, "ready\n");
}

static void act_body_wanted(void *ctx, bool doubles_dots)
{
	struct player *p = ctx;
	buf_append_text(&p->trace, doubles_dots ? "body dotted\n" : "body raw\n");
}

static void tell(struct player *p)
{
	static const char *const states[] = { "waiting", "accepted", "again", "settled" };
	for (size_t i = 0; i < p->transaction.count; i++) {
		const struct relay_recipient *r = &p->recipients[i];
		if (r->state != RELAY_RECIPIENT_SETTLED)
			buf_printf(&p->trace, " %zu %s\n", i, states[r->state]);
		else
			buf_printf(&p->trace, " %zu %s %s %s\n", i,
				relay_outcome_name(r->outcome->kind), r->outcome->enhanced,
				r->outcome->text);
	}
}

static void act_transaction_over(void *ctx)
{
	struct player *p = ctx;
	buf_append_text(&p->trace, "done\n");
	tell(p);
	p->transaction.count = 0;
}

static void act_over(void *ctx, const struct relay_machine_end *end)
{
	static const char *const kinds[] = { "quit", "lost", "unusable", "refused", "in-clear" };
	struct player *p = ctx;
	buf_printf(&p->trace, "over %s%s %s %s\n", kinds[end->kind], end->is_stale ? " stale" : "",
		end->outcome.enhanced, end->outcome.text);
	if (p->transaction.count)
		tell(p);
	p->transaction.count = 0;
}

static const struct relay_machine_actions actions = { act_say, act_start_tls, act_ready,
	act_body_wanted, act_transaction_over, act_over };

static void hear(struct player *p, struct str words)
{
	struct buf bytes = { 0 };
	for (size_t i = 0; i < words.length; i++) {
		if (words.at[i] == '\\')
			buf_append_text(&bytes, "\r\n");
		else
			buf_append_byte(&bytes, words.at[i]);
	}
	buf_append_text(&bytes, "\r\n");
	do {
		size_t used = relay_machine_read(p->machine, buf_str(&bytes));
		buf_consume(&bytes, used);
	} while (relay_machine_act(p->machine));
	if (bytes.length && relay_machine_phase(p->machine) != RELAY_PHASE_OVER)
		buf_append_text(&p->trace, "unread\n");
	buf_release(&bytes);
}

static void begin(struct player *p, size_t count, const char *options)
{
	for (size_t i = 0; i < count; i++) {
		p->recipients[i] = (struct relay_recipient){ .who = &p->who[i],
			.outcome = &p->outcomes[i] };
	}
	p->transaction.envelope = &p->envelope;
	p->transaction.recipients = p->recipients;
	p->transaction.count = count;
	p->transaction.needs_utf8 = strstr(options, "utf8") != NULL;
	relay_machine_begin(p->machine, &p->transaction);
}

static void do_step(struct player *p, struct str step, const char *options)
{
	static const struct tlsio_peer peer = { .version = TLSIO_TLS13, .suite = "x",
		.chain_faults = TLSIO_CHAIN_UNTRUSTED };
	if (step.at[0] == '<')
		hear(p, str_skip(step, 1));
	else if (str_starts(step, STR("begin ")))
		begin(p, (size_t)(step.at[6] - '0'), options);
	else if (str_equal(step, STR("sent")))
		relay_machine_body_sent(p->machine);
	else if (str_equal(step, STR("broken")))
		relay_machine_body_failed(p->machine, "the spool is broken");
	else if (str_equal(step, STR("secured")))
		relay_machine_secured(p->machine, &peer);
	else if (str_equal(step, STR("tlsfail")))
		relay_machine_tls_failed(p->machine, "a bad record");
	else if (str_equal(step, STR("lost")))
		relay_machine_lost(p->machine, "gone");
	else if (str_equal(step, STR("quit")))
		relay_machine_quit(p->machine);
	else
		fail_msg("step %.*s", STR_ARGS(step));
}

static void fill(struct player *p, const char *options)
{
	static const char *const addresses[] = { "0@y.test", "1@y.test", "2@y.test", "3@y.test",
		"4@y.test" };
	p->envelope = (struct spool_envelope){ .sender = STR("a@x.test"), .size_bytes = 100 };
	for (size_t i = 0; i < RECIPIENTS; i++)
		p->who[i].address = str_of(addresses[i]);
	if (strstr(options, "big"))
		p->envelope.size_bytes = 100000;
	if (strstr(options, "utf8"))
		p->envelope.flags = SPOOL_FLAG_SMTPUTF8;
	if (strstr(options, "8bit"))
		p->envelope.flags = SPOOL_FLAG_8BITMIME;
	if (strstr(options, "dsn")) {
		p->envelope.ret = SPOOL_RET_HDRS;
		p->envelope.envid = STR("E+2B1");
		p->who[0].notify = SPOOL_NOTIFY_SUCCESS | SPOOL_NOTIFY_DELAY;
		p->who[0].orcpt = STR("rfc822;o@y.test");
		p->who[1].notify = SPOOL_NOTIFY_NEVER;
	}
}

static void run(const struct play *play)
{
	struct player p = { 0 };
	struct policy_requirement demand = { .source = (char *)"the rule", .minimum = TLSIO_TLS12 };
	const char *options = play->options ? play->options : "";
	for (int l = POLICY_LEVEL_NONE; l <= POLICY_LEVEL_VERIFY; l++)
		if (strcmp(policy_level_name((enum policy_level)l), play->level) == 0)
			demand.level = (enum policy_level)l;
	struct policy_requirement *requirement = policy_requirement_new(&demand);
	const struct relay_machine_setup setup = { .hostname = "us", .host = "mx",
		.is_lmtp = strstr(options, "lmtp"), .is_tls_first = strstr(options, "tls-first"),
		.stays_in_clear = strstr(options, "in-clear"), .requirement = requirement };
	fill(&p, options);
	p.machine = relay_machine_new(&setup, &actions, &p);
	struct str steps = str_of(play->steps), step;
	while (str_split(&steps, '\n', &step))
		if (step.length)
			do_step(&p, step, options);
	if (strcmp(buf_text(&p.trace), play->trace) != 0) {
		fprintf(stderr, "--- %s: expected\n%s--- but came\n%s", play->name, play->trace,
			buf_text(&p.trace));
		fail();
	}
	relay_machine_free(&p.machine);
	policy_requirement_unref(&requirement);
	buf_release(&p.trace);
}

#define HELLO "<220 hi\n<250-mx\\250 8BITMIME\n"
#define HELLO_TRACE ">EHLO us\nready\n"
#define PIPED "<220 hi\n<250-mx\\250 PIPELINING\n"

static const struct play plays[] = {
	{ "step by step", "none", NULL,
		HELLO "begin 2\n<250 ok\n<250 ok\n<250 ok\n<354 go\nsent\n<250 2.0.0 kept\nquit",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n>DATA\n"
		"body dotted\ndone\n 0 delivered 2.0.0 250 2.0.0 kept\n 1 delivered 2.0.0 250 2.0.0 kept\n"
		">QUIT\nover quit 4.3.0 the connection was closed by us\n" },
	{ "pipelined", "none", NULL,
		PIPED "begin 2\n<250 ok\\250 ok\\250 ok\\354 go\nsent\n<250 kept",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n>DATA\n"
		"body dotted\ndone\n 0 delivered 2.0.0 250 kept\n 1 delivered 2.0.0 250 kept\n" },
	{ "a later transaction needs no RSET after a complete one", "none", NULL,
		PIPED "begin 1\n<250 ok\\250 ok\\354 go\nsent\n<250 kept\nbegin 1",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\nbody dotted\ndone\n"
		" 0 delivered 2.0.0 250 kept\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\n" },
	{ "every parameter that is offered and wanted", "none", "dsn 8bit",
		"<220 hi\n<250-mx\\250-SIZE\\250-DSN\\250-8BITMIME\\250-SMTPUTF8\\250 PIPELINING\nbegin 2",
		HELLO_TRACE ">MAIL FROM:<a@x.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=E+2B1\n"
		">RCPT TO:<0@y.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o@y.test\n"
		">RCPT TO:<1@y.test> NOTIFY=NEVER\n>DATA\n" },
	{ "no parameter that is not offered", "none", "dsn 8bit", "<220 hi\n<250 mx\nbegin 1",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n" },
	{ "SMTPUTF8 is said where it is known", "none", "utf8",
		"<220 hi\n<250-mx\\250-8BITMIME\\250 SMTPUTF8\nbegin 1",
		HELLO_TRACE ">MAIL FROM:<a@x.test> BODY=8BITMIME SMTPUTF8\n" },
	{ "international mail fails where it is not known", "none", "utf8", "<220 hi\n<250 mx\nbegin 1",
		HELLO_TRACE "done\n 0 failed 5.6.7 the message uses internationalised addresses or headers "
		"(SMTPUTF8), which mx does not support\n" },
	{ "too large by SIZE fails at once", "none", "big", "<220 hi\n<250-mx\\250 SIZE 99999\nbegin 1\n",
		HELLO_TRACE "done\n 0 failed 5.3.4 the message has 100000 bytes; mx takes at most 99999\n" },
	{ "SIZE 0 and SIZE alone are no limit", "none", "big", "<220 hi\n<250-mx\\250 SIZE 0\nbegin 1\n",
		HELLO_TRACE ">MAIL FROM:<a@x.test> SIZE=100000\n" },
	{ "BDAT for large ones", "none", "big",
		"<220 hi\n<250-mx\\250-CHUNKING\\250 PIPELINING\nbegin 1\n<250 ok\\250 ok\nsent\n<250 kept",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>BDAT 100000 LAST\nbody raw\n"
		"done\n 0 delivered 2.0.0 250 kept\n" },
	{ "no BDAT when nobody is left", "none", "big",
		"<220 hi\n<250-mx\\250-CHUNKING\\250 PIPELINING\nbegin 1\n<250 ok\\550 5.1.1 no\nbegin 1",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\ndone\n 0 failed 5.1.1 550 5.1.1 no\n"
		">RSET\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n" },
	{ "MAIL refused, step by step", "none", NULL, HELLO "begin 2\n<550 5.7.1 not you",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\ndone\n 0 failed 5.7.1 550 5.7.1 not you\n"
		" 1 failed 5.7.1 550 5.7.1 not you\n" },
	{ "MAIL refused, pipelined: the others' answers mean nothing", "none", NULL,
		PIPED "begin 2\n<450 4.7.1 later\\503 x\\250 odd\\503 no",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n>DATA\n"
		"done\n 0 deferred 4.7.1 450 4.7.1 later\n 1 deferred 4.7.1 450 4.7.1 later\n" },
	{ "one bad recipient among good ones", "none", NULL,
		HELLO "begin 3\n<250 ok\n<250 ok\n<550 no\n<250 ok\n<354 go\nsent\n<250 kept",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n"
		">RCPT TO:<2@y.test>\n>DATA\nbody dotted\ndone\n 0 delivered 2.0.0 250 kept\n"
		" 1 failed 5.0.0 550 no\n 2 delivered 2.0.0 250 kept\n" },
	{ "all recipients refused: no DATA", "none", NULL, HELLO "begin 2\n<250 ok\n<550 a\n<450 b",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\ndone\n"
		" 0 failed 5.0.0 550 a\n 1 deferred 4.0.0 450 b\n" },
	{ "all refused but DATA was pipelined and taken: a lone dot", "none", NULL,
		PIPED "begin 1\n<250 ok\\550 a\\354 go\n<554 nothing\nbegin 1",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\n>.\ndone\n"
		" 0 failed 5.0.0 550 a\n>RSET\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\n" },
	{ "DATA refused", "none", NULL, PIPED "begin 1\n<250 ok\\250 ok\\451 4.3.0 full",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\ndone\n"
		" 0 deferred 4.3.0 451 4.3.0 full\n" },
	{ "DATA answered with 250 is no SMTP", "none", NULL, PIPED "begin 1\n<250 ok\\250 ok\\250 ok",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\nover lost 4.5.0 mx: it answered "
		"DATA neither with 354 nor with a refusal: \"250 ok\"\n 0 accepted\n" },
	{ "the final answer decides", "none", NULL, PIPED "begin 1\n<250 ok\\250 ok\\354 go\nsent\n<550 spam",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\nbody dotted\ndone\n"
		" 0 failed 5.0.0 550 spam\n" },
	{ "an early refusal stands, but ends the connection", "none", NULL,
		PIPED "begin 2\n<250 ok\\250 ok\\450 b\\354 go\n<552 5.3.4 enough\n",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n>DATA\n"
		"body dotted\nover lost 4.5.0 mx: it answered before the end of the message: \"552 5.3.4 "
		"enough\"\n 0 failed 5.3.4 552 5.3.4 enough\n 1 deferred 4.0.0 450 b\n" },
	{ "an early yes is worth nothing", "none", NULL, PIPED "begin 1\n<250 ok\\250 ok\\354 go\\250 kept",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\nbody dotted\n"
		"over lost 4.5.0 mx: it answered before the end of the message: \"250 kept\"\n 0 accepted\n" },
	{ "an unreadable spool never completes a message", "none", NULL,
		PIPED "begin 1\n<250 ok\\250 ok\\354 go\nbroken",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\nbody dotted\n"
		"over lost 4.3.0 the spool is broken\n 0 accepted\n" },
	{ "too many recipients: the rest goes again", "none", NULL,
		PIPED "begin 3\n<250 ok\\250 ok\\452 4.5.3 many\\552 many\\354 go\nsent\n<250 kept",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n"
		">RCPT TO:<2@y.test>\n>DATA\nbody dotted\ndone\n 0 delivered 2.0.0 250 kept\n 1 again\n 2 again\n" },
	{ "452 for the first recipient is about storage", "none", NULL, HELLO "begin 1\n<250 ok\n<452 full",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\ndone\n 0 deferred 4.0.0 452 full\n" },
	{ "a full mailbox is not too many recipients", "none", NULL,
		HELLO "begin 2\n<250 ok\n<250 ok\n<552 5.2.2 full\n<354 go\nsent\n<250 kept",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n>DATA\n"
		"body dotted\ndone\n 0 delivered 2.0.0 250 kept\n 1 failed 5.2.2 552 5.2.2 full\n" },
	{ "421 at RCPT ends it for who is not settled", "none", NULL,
		PIPED "begin 3\n<250 ok\\550 no\\421 4.3.2 going down",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n"
		">RCPT TO:<2@y.test>\n>DATA\nover lost 4.3.2 421 4.3.2 going down\n"
		" 0 failed 5.0.0 550 no\n 1 waiting\n 2 waiting\n" },
	{ "421 in the first transaction is no stale connection", "none", NULL,
		HELLO "begin 1\n<421 busy",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\nover lost 4.0.0 421 busy\n 0 waiting\n" },
	{ "421 first thing in a later one is", "none", NULL,
		PIPED "begin 1\n<250 ok\\250 ok\\354 go\nsent\n<250 kept\nbegin 1\n<421 idle",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\nbody dotted\ndone\n"
		" 0 delivered 2.0.0 250 kept\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\n"
		"over lost stale 4.0.0 421 idle\n 0 waiting\n" },
	{ "lost before the first answer of a later one is stale", "none", NULL,
		PIPED "begin 1\n<250 ok\\250 ok\\354 go\nsent\n<250 kept\nbegin 1\nlost",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\nbody dotted\ndone\n"
		" 0 delivered 2.0.0 250 kept\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\n"
		"over lost stale 4.4.2 mx: gone\n 0 waiting\n" },
	{ "lost after an answer is not", "none", NULL,
		PIPED "begin 1\n<250 ok\\250 ok\\354 go\nsent\n<250 kept\nbegin 1\n<250 ok\nlost",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\nbody dotted\ndone\n"
		" 0 delivered 2.0.0 250 kept\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>DATA\n"
		"over lost 4.4.2 mx: gone\n 0 waiting\n" },
	{ "an idle peer that says goodbye", "none", NULL, HELLO "<421 4.4.2 idle",
		HELLO_TRACE "over lost 4.4.2 421 4.4.2 idle\n" },
	{ "an idle peer that talks", "none", NULL, HELLO "<250 hm",
		HELLO_TRACE "over lost 4.5.0 mx: it spoke without being asked: \"250 hm\"\n" },
	{ "junk instead of a reply", "none", NULL, HELLO "begin 1\n<hello?",
		HELLO_TRACE ">MAIL FROM:<a@x.test>\nover lost 4.5.0 mx: the reply is not SMTP\n 0 waiting\n" },

	/* before any transaction */
	{ "a greeting that refuses", "none", NULL, "<554 5.7.1 no",
		">QUIT\nover unusable 4.7.1 554 5.7.1 no\n" },
	{ "a greeting that is busy", "none", NULL, "<421 4.3.2 busy", "over unusable 4.3.2 421 4.3.2 busy\n" },
	{ "no greeting", "none", NULL, "lost", "over unusable 4.4.2 mx: gone\n" },
	{ "EHLO unknown: HELO", "none", NULL, "<220 hi\n<502 what\n<250 mx\nbegin 1",
		">EHLO us\n>HELO us\nready\n>MAIL FROM:<a@x.test>\n" },
	{ "HELO's answer is not read for keywords", "none", NULL,
		"<220 hi\n<502 what\n<250-mx\\250 PIPELINING\nbegin 1\n<250 ok",
		">EHLO us\n>HELO us\nready\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n" },
	{ "HELO refused too", "none", NULL, "<220 hi\n<502 what\n<550 5.5.0 go",
		">EHLO us\n>HELO us\n>QUIT\nover unusable 4.5.0 550 5.5.0 go\n" },
	{ "EHLO put off", "none", NULL, "<220 hi\n<451 later", ">EHLO us\n>QUIT\nover unusable 4.0.0 451 later\n" },
	{ "LHLO has no fallback", "none", "lmtp", "<220 hi\n<500 what",
		">LHLO us\n>QUIT\nover unusable 4.0.0 500 what\n" },

	/* TLS */
	{ "verify: nothing without STARTTLS", "verify", NULL, "<220 hi\n<250 mx",
		">EHLO us\n>QUIT\nover refused 4.7.4 mx offers no STARTTLS, but the rule demands verify\n" },
	{ "encrypt: nothing through HELO", "encrypt", NULL, "<220 hi\n<502 what\n<250-mx\\250 STARTTLS",
		">EHLO us\n>HELO us\n>QUIT\nover refused 4.7.4 mx offers no STARTTLS, but the rule demands "
		"encrypt\n" },
	{ "encrypt: again EHLO after TLS, and its answer alone", "encrypt", NULL,
		"<220 hi\n<250-mx\\250-DSN\\250 STARTTLS\n<220 go\nsecured\n<250 mx\nbegin 1",
		">EHLO us\n>STARTTLS\ntls\n>EHLO us\nready\n>MAIL FROM:<a@x.test>\n" },
	{ "STARTTLS offered again inside TLS is not taken", "encrypt", NULL,
		"<220 hi\n<250-mx\\250 STARTTLS\n<220 go\nsecured\n<250-mx\\250 STARTTLS",
		">EHLO us\n>STARTTLS\ntls\n>EHLO us\nready\n" },
	{ "verify: an unproven peer hears QUIT and nothing else", "verify", NULL,
		"<220 hi\n<250-mx\\250 STARTTLS\n<220 go\nsecured",
		">EHLO us\n>STARTTLS\ntls\n>QUIT\nover refused 4.7.5 mx shows no certificate, but the rule "
		"demands verify\n" },
	{ "encrypt: STARTTLS refused", "encrypt", NULL, "<220 hi\n<250-mx\\250 STARTTLS\n<454 4.7.0 not now",
		">EHLO us\n>STARTTLS\n>QUIT\nover refused 4.7.5 TLS with mx failed (STARTTLS was answered \"454 "
		"4.7.0 not now\"), but the rule demands encrypt\n" },
	{ "encrypt: handshake failed", "encrypt", NULL,
		"<220 hi\n<250-mx\\250 STARTTLS\n<220 go\ntlsfail",
		">EHLO us\n>STARTTLS\ntls\nover refused 4.7.5 TLS with mx failed (a bad record), but the rule "
		"demands encrypt\n" },
	{ "may: handshake failed", "may", NULL, "<220 hi\n<250-mx\\250 STARTTLS\n<220 go\ntlsfail",
		">EHLO us\n>STARTTLS\ntls\nover in-clear 4.7.5 TLS with mx failed (a bad record) and the rule "
		"allows clear text\n" },
	{ "may: the second time in clear", "may", "in-clear", "<220 hi\n<250-mx\\250 STARTTLS\nbegin 1",
		">EHLO us\nready\n>MAIL FROM:<a@x.test>\n" },
	{ "may: no STARTTLS", "may", NULL, "<220 hi\n<250 mx", ">EHLO us\nready\n" },
	{ "none: STARTTLS is not taken", "none", NULL, "<220 hi\n<250-mx\\250 STARTTLS", ">EHLO us\nready\n" },
	{ "bytes behind the answer to STARTTLS", "may", NULL,
		"<220 hi\n<250-mx\\250 STARTTLS\n<220 go\\250 fake",
		">EHLO us\n>STARTTLS\nover unusable 4.5.0 mx: plaintext follows its answer to STARTTLS: \"220 "
		"go\"\n" },
	{ "an answer to STARTTLS before it was said", "may", NULL,
		"<220 hi\n<250-mx\\250 STARTTLS\\220 go",
		">EHLO us\nover unusable 4.5.0 mx: it said more than it was asked: \"250 mx STARTTLS\"\n" },
	{ "an answer to EHLO before it was said", "may", NULL, "<220 hi\\250 mx",
		"over unusable 4.5.0 mx: it said more than a greeting before it was asked: \"220 hi\"\n" },
	{ "lost in the handshake's place before READY is the address's fault", "verify", NULL,
		"<220 hi\n<250-mx\\250 STARTTLS\nlost", ">EHLO us\n>STARTTLS\nover unusable 4.4.2 mx: gone\n" },
	{ "TLS first: greeting after the judgement", "encrypt", "tls-first", "secured\n<220 hi\n<250 mx",
		">EHLO us\nready\n" },
	{ "TLS first, unproven: not a word", "verify", "tls-first", "secured",
		"over refused 4.7.5 mx shows no certificate, but the rule demands verify\n" },
	{ "TLS first under may has no clear way", "may", "tls-first", "tlsfail",
		"over refused 4.7.5 TLS with mx failed (a bad record) and the rule allows clear text (but this "
		"port speaks TLS from the first byte)\n" },

	/* LMTP */
	{ "LMTP: one answer per accepted recipient", "none", "lmtp",
		PIPED "begin 3\n<250 ok\\250 ok\\550 no\\250 ok\\354 go\nsent\n<250 kept\\452 4.2.2 full",
		">LHLO us\nready\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n"
		">RCPT TO:<2@y.test>\n>DATA\nbody dotted\ndone\n 0 delivered 2.0.0 250 kept\n"
		" 1 failed 5.0.0 550 no\n 2 deferred 4.2.2 452 4.2.2 full\n" },
	{ "LMTP: lost between the answers", "none", "lmtp",
		PIPED "begin 2\n<250 ok\\250 ok\\250 ok\\354 go\nsent\n<250 kept\nlost",
		">LHLO us\nready\n>MAIL FROM:<a@x.test>\n>RCPT TO:<0@y.test>\n>RCPT TO:<1@y.test>\n>DATA\n"
		"body dotted\nover lost 4.4.2 mx: gone\n 0 delivered 2.0.0 250 kept\n 1 accepted\n" },
};

static void every_dialogue_goes_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++)
		run(&plays[i]);
}

/* Each dialogue again, cut off after each of its steps: exactly one end, and no MAIL that the whole
 * dialogue did not say. */
static void a_loss_at_any_step_ends_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
		size_t length = strlen(plays[i].steps);
		for (size_t cut = 0; cut < length; cut++) {
			if (cut > 0 && plays[i].steps[cut - 1] != '\n')
				continue;
			struct player p = { 0 };
			struct policy_requirement demand = { .source = (char *)"r",
				.level = POLICY_LEVEL_ENCRYPT, .minimum = TLSIO_TLS12 };
			const char *options = plays[i].options ? plays[i].options : "";
			if (strstr(plays[i].level, "none") || strstr(options, "in-clear"))
				demand.level = POLICY_LEVEL_MAY;
			struct policy_requirement *r = policy_requirement_new(&demand);
			const struct relay_machine_setup setup = { .hostname = "us", .host = "mx",
				.is_lmtp = strstr(options, "lmtp"),
				.is_tls_first = strstr(options, "tls-first"),
				.stays_in_clear = strstr(options, "in-clear"), .requirement = r };
			fill(&p, options);
			p.machine = relay_machine_new(&setup, &actions, &p);
			struct str steps = str_from(plays[i].steps, cut), step;
			while (str_split(&steps, '\n', &step)) {
				enum relay_phase phase = relay_machine_phase(p.machine);
				if (phase == RELAY_PHASE_OVER)
					break;
				bool fits = step.length > 0 &&
					(step.at[0] == '<' ||
						(step.at[0] == 'b' && step.at[1] == 'e' &&
							phase == RELAY_PHASE_READY) ||
						(step.at[0] == 's' && step.at[2] == 'n' &&
							phase == RELAY_PHASE_BODY) ||
						(step.at[0] == 's' && step.at[2] == 'c' &&
							phase == RELAY_PHASE_UPGRADING));
				if (fits)
					do_step(&p, step, options);
			}
			relay_machine_lost(p.machine, "cut");
			relay_machine_lost(p.machine, "cut");
			const char *first = strstr(buf_text(&p.trace), "over ");
			assert_non_null(first);
			assert_null(strstr(first + 1, "\nover "));
			if (demand.level == POLICY_LEVEL_ENCRYPT &&
				!strstr(buf_text(&p.trace), "tls\n") && !setup.is_tls_first)
				assert_null(strstr(buf_text(&p.trace), ">MAIL"));
			relay_machine_free(&p.machine);
			policy_requirement_unref(&r);
			buf_release(&p.trace);
		}
	}
}

static void the_window_of_pipelined_commands_is_bounded(void **state)
{
	enum { MANY = 200 };
	static struct spool_recipient who[MANY];
	static struct relay_recipient recipients[MANY];
	static struct relay_outcome outcomes[MANY];
	struct player p = { 0 };
	struct policy_requirement demand = { .source = (char *)"r", .level = POLICY_LEVEL_NONE };
	struct policy_requirement *r = policy_requirement_new(&demand);
	const struct relay_machine_setup setup = { .hostname = "us", .host = "mx", .requirement = r };
	(void)state;
	fill(&p, "");
	p.machine = relay_machine_new(&setup, &actions, &p);
	hear(&p, STR("220 hi"));
	hear(&p, STR("250-mx\\250 PIPELINING"));
	for (size_t i = 0; i < MANY; i++) {
		who[i].address = STR("x@y.test");
		recipients[i] = (struct relay_recipient){ .who = &who[i], .outcome = &outcomes[i] };
	}
	struct relay_transaction t = { .envelope = &p.envelope, .recipients = recipients,
		.count = MANY };
	buf_clear(&p.trace);
	relay_machine_begin(p.machine, &t);
	unsigned replies = 0, most = 0;
	while (relay_machine_phase(p.machine) != RELAY_PHASE_BODY) {
		unsigned said = 0;
		for (const char *at = buf_text(&p.trace); (at = strchr(at, '>')) != NULL; at++)
			said += strncmp(at, ">MAIL", 5) == 0 || strncmp(at, ">RCPT", 5) == 0 ||
				strncmp(at, ">DATA", 5) == 0;
		if (said - replies > most)
			most = said - replies;
		hear(&p, ++replies == MANY + 2 ? STR("354 go") : STR("250 ok"));
	}
	assert_in_range(most, 2, 32);
	assert_int_equal(relay_transaction_count_state(&t, RELAY_RECIPIENT_ACCEPTED), MANY);
	relay_machine_free(&p.machine);
	policy_requirement_unref(&r);
	buf_release(&p.trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_dialogue_goes_as_written),
		cmocka_unit_test(a_loss_at_any_step_ends_once),
		cmocka_unit_test(the_window_of_pipelined_commands_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
