/* Bytes in, actions out: the machine alone, with everything it asks for recorded as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "libtlsio/base/buf.h"
#include "smtpd/session/session_machine.h"

struct record {
	struct session_machine machine;
	struct session_settings settings;
	struct session_listener listener;
	struct buf said; /* replies, and actions in braces */
	bool store_fails;
	bool asks;
	bool has_tls;
};

/* ---- recording -------------------------------------------------------------------------------- */

/* Replies as code and enhanced code: the words are the dialogues' business. */
static void reply(void *ctx, const char *bytes, size_t length)
{
	struct record *r = ctx;
	struct str line = str_from(bytes, length);
	if (line.at[3] == '-')
		line = str_skip(line, str_find_last(str_head(line, length - 1), '\n') + 1);
	struct str code = str_next_word(&line), enhanced = str_next_word(&line);
	buf_append_str(&r->said, code);
	if (enhanced.length == 5 && enhanced.at[1] == '.') {
		buf_append_byte(&r->said, ' ');
		buf_append_str(&r->said, enhanced);
	}
	buf_append_byte(&r->said, '|');
}

static bool may_send(void *ctx, struct str domain, struct session_refusal *ret)
{
	struct record *r = ctx;
	buf_printf(&r->said, "{send %.*s}", STR_ARGS(domain));
	*ret = (struct session_refusal){ .code = 550, .enhanced = "5.7.1", .text = "no" };
	return !str_equal(domain, STR("bad.example"));
}

static bool ask_sender(void *ctx, struct str domain)
{
	struct record *r = ctx;
	buf_printf(&r->said, "{ask %.*s}", STR_ARGS(domain));
	return r->asks;
}

static void forget_question(void *ctx)
{
	buf_append_text(&((struct record *)ctx)->said, "{forget}");
}

static bool may_receive(void *ctx, struct str recipient, struct str domain,
	struct session_refusal *ret)
{
	struct record *r = ctx;
	(void)recipient;
	buf_printf(&r->said, "{receive %.*s}", STR_ARGS(domain));
	*ret = (struct session_refusal){ .code = 550, .enhanced = "5.7.1", .text = "no" };
	return str_equal(domain, STR("ours.example"));
}

static bool has_tls(void *ctx)
{
	return ((struct record *)ctx)->has_tls;
}

static int store_begin(void *ctx, struct err *err)
{
	struct record *r = ctx;
	buf_append_text(&r->said, "{begin}");
	return r->store_fails ? err_set(err, ERR_LIMIT, "full") : 0;
}

static int store_write(void *ctx, struct str content, struct err *err)
{
	struct record *r = ctx;
	(void)err;
	buf_printf(&r->said, "{write %zu}", content.length);
	return 0;
}

static void store_commit(void *ctx)
{
	buf_append_text(&((struct record *)ctx)->said, "{commit}");
}

static void store_abandon(void *ctx)
{
	buf_append_text(&((struct record *)ctx)->said, "{abandon}");
}

static void note_refusal(void *ctx, enum smtp_verb verb, struct str argument,
	const struct session_refusal *refusal)
{
	(void)ctx;
	(void)verb;
	(void)argument;
	assert_true(refusal->code >= 400);
}

static const struct session_actions actions = { reply, may_send, ask_sender, forget_question,
	may_receive, has_tls, store_begin, store_write, store_commit, store_abandon, note_refusal };

static char hostname[] = "mx.example";

static int set_up(void **state)
{
	static struct record r;
	memset(&r, 0, sizeof(r));
	r.settings = (struct session_settings){ .hostname = hostname,
		.command_bytes = 512,
		.line_bytes = 1000,
		.message_bytes = 65536,
		.recipients = 100,
		.messages = 100,
		.errors_soft = 100,
		.errors_hard = 200,
		.hops = 100 };
	r.listener.tls = SESSION_TLS_STARTTLS;
	r.has_tls = true;
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	struct record *r = *state;
	session_machine_clear(&r->machine);
	buf_release(&r->said);
	return 0;
}

static void start(struct record *r)
{
	session_machine_init(&r->machine, &r->settings, &r->listener, &actions, r);
	session_machine_start(&r->machine);
}

/* Feeds all of it; returns what is left when the machine wants no more. */
static size_t feed(struct record *r, const char *text)
{
	struct str rest = str_of(text);
	size_t used;
	while ((used = session_machine_input(&r->machine, rest)) > 0)
		rest = str_skip(rest, used);
	return rest.length;
}

static void assert_said(struct record *r, const char *expected)
{
	assert_string_equal(buf_text(&r->said), expected);
	buf_clear(&r->said);
}

/* ---- the order of commands, phase by phase ---------------------------------------------------- */

static void each_phase_allows_what_the_table_says(void **state)
{
	struct record *r = *state;
	static const struct {
		const char *before;
		enum session_phase phase;
		const char *answers; /* to MAIL, RCPT, DATA, STARTTLS, RSET, NOOP */
	} rows[] = {
		{ "", SESSION_PHASE_GREETED, "503 503 503 503 250 250 " },
		{ "EHLO c\r\n", SESSION_PHASE_READY, "250 503 503 up 250 250 " },
		{ "EHLO c\r\nMAIL FROM:<>\r\n", SESSION_PHASE_MAIL, "503 250 554 503 250 250 " },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@ours.example>\r\n", SESSION_PHASE_RCPT,
			"503 250 354 503 250 250 " },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@ours.example>\r\nBDAT 2\r\n\r\n",
			SESSION_PHASE_CHUNKED, "503 503 503 503 250 250 " },
	};
	static const char *const lines[] = { "MAIL FROM:<>\r\n", "RCPT TO:<b@ours.example>\r\n",
		"DATA\r\n", "STARTTLS\r\n", "RSET\r\n", "NOOP\r\n" };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf answers = { 0 };
		for (size_t k = 0; k < sizeof(lines) / sizeof(lines[0]); k++) {
			start(r);
			assert_int_equal(feed(r, rows[i].before), 0);
			assert_int_equal(r->machine.phase, rows[i].phase);
			buf_clear(&r->said);
			assert_int_equal(feed(r, lines[k]), 0);
			struct str said = buf_str(&r->said);
			if (r->machine.phase == SESSION_PHASE_UPGRADING) {
				buf_append_text(&answers, "up");
			} else {
				size_t brace = str_find_last(said, '}');
				said = brace < said.length ? str_skip(said, brace + 1) : said;
				buf_append_str(&answers, str_head(said, 3));
			}
			buf_append_byte(&answers, ' ');
			session_machine_clear(&r->machine);
			buf_clear(&r->said);
		}
		assert_string_equal(buf_text(&answers), rows[i].answers);
		buf_release(&answers);
	}
	start(r);
}

static void a_message_is_asked_for_stored_and_answered(void **state)
{
	struct record *r = *state;
	start(r);
	assert_said(r, "220|");
	feed(r, "EHLO c\r\nMAIL FROM:<a@B.Example>\r\nRCPT TO:<x@OURS.example>\r\nDATA\r\nab\r\n.\r\n");
	assert_said(r, "250|{send b.example}250 2.1.0|{receive ours.example}250 2.1.5|{begin}354|"
		       "{write 4}{commit}");
	assert_int_equal(r->machine.phase, SESSION_PHASE_COMMITTING);
	assert_int_equal(feed(r, "NOOP\r\n"), 6); /* waiting takes nothing */
	session_machine_stored(&r->machine, 1, NULL);
	assert_said(r, "250 2.0.0|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_READY);
	assert_null(r->machine.transaction);
	assert_int_equal(r->machine.accepted, 1);
}

static void a_failing_store_is_answered_for_a_while(void **state)
{
	struct record *r = *state;
	struct err why = { .kind = ERR_SYSTEM };
	start(r);
	r->store_fails = true;
	feed(r, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@ours.example>\r\n");
	buf_clear(&r->said);
	feed(r, "DATA\r\n");
	assert_said(r, "{begin}452 4.3.1|");
	feed(r, "MAIL FROM:<>\r\nRCPT TO:<x@ours.example>\r\n");
	buf_clear(&r->said);
	feed(r, "BDAT 6 LAST\r\nQUIT\r\n");
	assert_said(r, "{begin}452 4.3.1|");
	r->store_fails = false;
	feed(r, "MAIL FROM:<>\r\nRCPT TO:<x@ours.example>\r\nBDAT 2 LAST\r\n\r\n");
	buf_clear(&r->said);
	session_machine_stored(&r->machine, 1, &why);
	assert_said(r, "451 4.3.0|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_READY);
	assert_int_equal(r->machine.refused, 3);
}

static void refused_content_is_abandoned_at_once(void **state)
{
	struct record *r = *state;
	start(r);
	feed(r, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@ours.example>\r\nDATA\r\n");
	buf_clear(&r->said);
	feed(r, "ab\r\nc\nd");
	assert_said(r, "{write 5}{abandon}");
	feed(r, "more\r\n.\r\n");
	assert_said(r, "554 5.5.2|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_READY);
}

static void ending_in_the_middle_abandons(void **state)
{
	struct record *r = *state;
	start(r);
	feed(r, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@ours.example>\r\nDATA\r\nhalf");
	buf_clear(&r->said);
	session_machine_fail(&r->machine, "4.4.2", "timeout", "timeout");
	assert_said(r, "421 4.4.2|{abandon}");
	assert_int_equal(r->machine.phase, SESSION_PHASE_ENDED);
	assert_string_equal(r->machine.end_reason, "timeout");
	assert_int_equal(feed(r, "NOOP\r\n"), 6);
}

static void ending_while_committing_leaves_the_message(void **state)
{
	struct record *r = *state;
	start(r);
	feed(r, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@ours.example>\r\nDATA\r\nx\r\n.\r\n");
	buf_clear(&r->said);
	session_machine_end(&r->machine, "reset");
	assert_said(r, "");
}

/* ---- looking a sender up ---------------------------------------------------------------------- */

static void asks_about_domains_where_it_shall(void **state)
{
	struct record *r = *state;
	static const char text[] = "EHLO c\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<a@[192.0.2.1]>\r\n"
				   "RSET\r\nMAIL FROM:<a@bad.example>\r\nMAIL FROM:<a@B.example>\r\n";
	start(r);
	feed(r, text);
	assert_null(strstr(buf_text(&r->said), "{ask"));
	session_machine_clear(&r->machine);
	buf_clear(&r->said);
	r->settings.refuse_null_mx_senders = true;
	start(r);
	feed(r, text);
	assert_said(r, "220|250|{send }250 2.1.0|250 2.0.0|{send [192.0.2.1]}250 2.1.0|250 2.0.0|"
		       "{send bad.example}550 5.7.1|{send b.example}{ask b.example}250 2.1.0|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_MAIL);
}

static void takes_nothing_before_the_answer(void **state)
{
	struct record *r = *state;
	r->settings.refuse_null_mx_senders = r->asks = true;
	start(r);
	buf_clear(&r->said);
	assert_int_equal(feed(r, "EHLO c\r\nMAIL FROM:<a@b.example>\r\nRSET\r\n"), 6);
	assert_int_equal(r->machine.phase, SESSION_PHASE_ASKING);
	assert_true(session_machine_is_waiting(&r->machine));
	assert_int_equal(r->machine.transactions, 0);
	assert_said(r, "250|{send b.example}{ask b.example}");
	session_machine_answered(&r->machine, NULL);
	assert_said(r, "250 2.1.0|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_MAIL);
	assert_int_equal(r->machine.transactions, 1);
}

static void an_answer_may_refuse(void **state)
{
	struct record *r = *state;
	static const struct session_refusal no = { 550, "5.7.27", "no" };
	r->settings.refuse_null_mx_senders = r->asks = true;
	start(r);
	feed(r, "EHLO c\r\nMAIL FROM:<a@b.example>\r\n");
	buf_clear(&r->said);
	session_machine_answered(&r->machine, &no);
	assert_string_equal(buf_text(&r->said), "550|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_READY);
	assert_null(r->machine.transaction);
	assert_int_equal(r->machine.refused, 1);
	assert_int_equal(r->machine.errors, 1);
	assert_int_equal(r->machine.transactions, 0);
	/* one error too many ends the session here as anywhere */
	r->settings.errors_hard = 2;
	feed(r, "MAIL FROM:<a@b.example>\r\n");
	session_machine_answered(&r->machine, &no);
	assert_int_equal(r->machine.phase, SESSION_PHASE_ENDED);
}

static void ending_while_asking_forgets_the_question(void **state)
{
	struct record *r = *state;
	r->settings.refuse_null_mx_senders = r->asks = true;
	start(r);
	feed(r, "EHLO c\r\nMAIL FROM:<a@b.example>\r\n");
	buf_clear(&r->said);
	session_machine_finish(&r->machine, "shutting down", "shutdown");
	assert_said(r, "");
	session_machine_end(&r->machine, "reset");
	assert_said(r, "{forget}");
	assert_null(r->machine.transaction);
}

/* ---- STARTTLS --------------------------------------------------------------------------------- */

static void forgets_everything_at_the_handshake(void **state)
{
	struct record *r = *state;
	start(r);
	feed(r, "EHLO before\r\n");
	assert_int_equal(feed(r, "STARTTLS\r\nNOOP\r\n"), 6);
	buf_clear(&r->said);
	session_machine_upgrade(&r->machine, 0);
	assert_said(r, "220 2.0.0|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_UPGRADING);
	session_machine_secured(&r->machine);
	assert_said(r, "");
	assert_int_equal(r->machine.phase, SESSION_PHASE_GREETED);
	assert_null(r->machine.hello);
	feed(r, "STARTTLS\r\n");
	assert_said(r, "554 5.5.1|");
}

static void refuses_starttls_with_buffered_input(void **state)
{
	struct record *r = *state;
	start(r);
	feed(r, "EHLO c\r\nSTARTTLS\r\n");
	buf_clear(&r->said);
	session_machine_upgrade(&r->machine, 1);
	assert_said(r, "554 5.5.1|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_ENDED);
}

static void says_no_word_into_a_handshake(void **state)
{
	struct record *r = *state;
	r->listener.tls = SESSION_TLS_IMPLICIT;
	start(r);
	assert_said(r, "");
	assert_int_equal(r->machine.phase, SESSION_PHASE_HANDSHAKE);
	session_machine_finish(&r->machine, "shutting down", "shutdown");
	assert_said(r, "");
	assert_int_equal(r->machine.phase, SESSION_PHASE_ENDED);
}

/* ---- in pieces -------------------------------------------------------------------------------- */

/* The same conversation, whatever the pieces: the same actions, but for how content is cut. */
static void pieces_make_no_difference(void **state)
{
	struct record *r = *state;
	static const char text[] = "EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@ours.example>\r\n"
				   "BDAT 3\r\na\r\nBDAT 9 LAST\r\n.\r\nQUIT\r\nMAIL FROM:<>\r\nFOO\r\n"
				   "RCPT TO:<x%y@ours.example>\r\nRSET\r\nQUIT\r\n";
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct buf pending = { 0 };
		start(r);
		buf_clear(&r->said);
		for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
			size_t left = sizeof(text) - 1 - at;
			buf_append(&pending, text + at, left < piece ? left : piece);
			size_t used;
			do {
				used = session_machine_input(&r->machine, buf_str(&pending));
				buf_consume(&pending, used);
				if (r->machine.phase == SESSION_PHASE_COMMITTING)
					session_machine_stored(&r->machine, 1, NULL);
			} while (used);
		}
		struct buf told = { 0 };
		struct str said = buf_str(&r->said), part;
		while (str_split(&said, '|', &part)) {
			size_t brace = str_find_last(part, '}');
			buf_append_str(&told, brace < part.length ? str_skip(part, brace + 1) : part);
			buf_append_byte(&told, '|');
		}
		assert_string_equal(buf_text(&told),
			"250|250 2.1.0|250 2.1.5|250 2.0.0|250 2.0.0|250 2.1.0|500 5.5.2|"
			"550 5.7.1|250 2.0.0|221 2.0.0||");
		buf_release(&told);
		buf_release(&pending);
		session_machine_clear(&r->machine);
		buf_clear(&r->said);
	}
	start(r);
}

static void delays_are_a_phase(void **state)
{
	struct record *r = *state;
	r->settings.errors_soft = 1;
	r->settings.errors_hard = 3;
	start(r);
	feed(r, "FOO\r\n");
	buf_clear(&r->said);
	assert_int_equal(feed(r, "NOOP\r\nBAR\r\n"), 11);
	assert_int_equal(r->machine.phase, SESSION_PHASE_DELAYED);
	session_machine_resume(&r->machine);
	assert_int_equal(feed(r, "NOOP\r\nBAR\r\n"), 5);
	assert_said(r, "250 2.0.0|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_DELAYED);
	session_machine_resume(&r->machine);
	feed(r, "BAR\r\n");
	assert_said(r, "500 5.5.2|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_GREETED);
}

static void too_many_errors_end_the_session(void **state)
{
	struct record *r = *state;
	r->settings.errors_hard = 3;
	start(r);
	buf_clear(&r->said);
	feed(r, "FOO\r\nMAIL\r\nEHLO c\r\nMAIL FROM:<a@bad.example>\r\nNOOP\r\n");
	assert_said(r, "500 5.5.2|503 5.5.1|250|{send bad.example}550 5.7.1|421 4.7.0|");
	assert_int_equal(r->machine.phase, SESSION_PHASE_ENDED);
}

/* What is answered 250 or 452 costs a client nothing; it still may not go on for ever. */
static void storms_without_an_error_end_the_session(void **state)
{
	struct record *r = *state;
	static const char envelope[] = "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@ours.example>\r\n";
	static const struct {
		const char *line;
		int least, most; /* how many are taken */
	} rows[] = {
		{ "BDAT 0\r\n", 100, 400 },
		{ "NOOP\r\n", 100, 400 },
		{ "RCPT TO:<b@ours.example>\r\n", 1000, 1400 }, /* 452 behind the hundredth */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int count = 0;
		start(r);
		feed(r, envelope);
		r->settings.errors_soft = r->settings.errors_hard;
		while (r->machine.phase != SESSION_PHASE_ENDED && count < 5000) {
			feed(r, rows[i].line);
			count++;
		}
		assert_in_range(count, rows[i].least, rows[i].most);
		assert_string_equal(r->machine.end_reason, "too-many-errors");
		session_machine_clear(&r->machine);
		buf_clear(&r->said);
	}
}

static void is_small_while_idle(void **state)
{
	(void)state;
	assert_true(sizeof(struct session_machine) <= 160);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_phase_allows_what_the_table_says),
		TEST(a_message_is_asked_for_stored_and_answered),
		TEST(a_failing_store_is_answered_for_a_while),
		TEST(refused_content_is_abandoned_at_once),
		TEST(ending_in_the_middle_abandons),
		TEST(ending_while_committing_leaves_the_message),
		TEST(asks_about_domains_where_it_shall),
		TEST(takes_nothing_before_the_answer),
		TEST(an_answer_may_refuse),
		TEST(ending_while_asking_forgets_the_question),
		TEST(forgets_everything_at_the_handshake),
		TEST(refuses_starttls_with_buffered_input),
		TEST(says_no_word_into_a_handshake),
		TEST(pieces_make_no_difference),
		TEST(delays_are_a_phase),
		TEST(too_many_errors_end_the_session),
		TEST(storms_without_an_error_end_the_session),
		cmocka_unit_test(is_small_while_idle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
