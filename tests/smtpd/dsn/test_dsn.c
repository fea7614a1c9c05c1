/* Reports to senders: who is told, and that what comes out holds together whatever went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "smtpd/dsn/dsn.h"
#include "smtpd/dsn/dsn_text.h"
#include "tests/fakes/fake_spool.h"

#define NOW_S 1767225600 /* 2026-01-01 */

struct fixture {
	struct tlsio_loop *loop;
	struct spool *spool;
	struct spool_envelope envelope;
	struct spool_recipient recipients[3];
	int done_calls;
	uint64_t done_id;
	bool has_failed;
};

static int set_up(void **state)
{
	struct fixture *f = mem_zero(sizeof(*f));
	f->loop = tlsio_loop_new(NULL);
	f->spool = fake_spool_new(f->loop, NULL, NULL);
	f->envelope = (struct spool_envelope){ .sender = STR("a@x.test"),
		.received_s = NOW_S - 3600, .recipients = f->recipients, .recipient_count = 3 };
	for (int i = 0; i < 3; i++)
		f->recipients[i].address = str_of((const char *[]){ "one@y.test", "two@y.test",
			"three@y.test" }[i]);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	spool_close(&f->spool);
	tlsio_loop_free(&f->loop);
	free(f);
	return 0;
}

static void on_done(void *ctx, uint64_t id, const struct err *error)
{
	struct fixture *f = ctx;
	f->done_calls++;
	f->done_id = id;
	f->has_failed = error != NULL;
}

static uint64_t keep(struct fixture *f, struct str content)
{
	struct spool_writer *w = spool_begin(f->spool, NULL);
	uint64_t id = spool_writer_id(w);
	assert_int_equal(spool_write(w, content, NULL), 0);
	f->done_calls = 0;
	spool_commit(&w, &f->envelope, on_done, f);
	while (!f->done_calls)
		tlsio_loop_turn(f->loop, false);
	f->done_calls = 0;
	return id;
}

/* The report about `count` recipients with this reason; "" when none was made. */
static const char *report(struct fixture *f, uint64_t id, enum dsn_kind kind, size_t count,
	const char *enhanced, const char *text, bool is_reply, struct buf *ret)
{
	struct dsn_recipient told[3];
	for (uint32_t i = 0; i < count; i++)
		told[i] = (struct dsn_recipient){ .recipient = i, .enhanced = enhanced,
			.text = text, .host = is_reply ? "mx.y.test" : "", .is_smtp_reply = is_reply };
	size_t before = fake_spool_count(f->spool);
	assert_int_equal(dsn_send(f->spool, id, kind, told, count, "mta.test", NOW_S, on_done, f,
				 NULL), 0);
	while (!f->done_calls)
		tlsio_loop_turn(f->loop, false);
	assert_int_equal(f->done_calls, 1);
	assert_false(f->has_failed);
	buf_clear(ret);
	if (fake_spool_count(f->spool) > before)
		buf_append_str(ret, fake_spool_content(f->spool, before));
	f->done_calls = 0;
	return buf_text(ret);
}

/* Every line ends in CR LF and is below 998 bytes; no controls; four boundaries, the last with
 * "--"; the parts have the types given. */
static void check_shape(struct str text, const char *status_type, const char *headers_type)
{
	struct str rest = text, line;
	char boundary[80] = "";
	unsigned parts = 0, ends = 0;
	const char *types[] = { "text/plain", status_type, headers_type };
	assert_true(text.length > 0 && text.at[text.length - 1] == '\n');
	rest.length--;
	bool is_part_head = false;
	while (str_split(&rest, '\n', &line)) {
		assert_true(line.length > 0 && line.at[line.length - 1] == '\r');
		line.length--;
		assert_true(line.length < 998);
		for (size_t i = 0; i < line.length; i++)
			assert_true(line.at[i] == '\t' || (unsigned char)line.at[i] >= ' ');
		if (str_starts(line, STR("\tboundary=\"")) && !boundary[0]) {
			str_copy(str_from("--", 2), boundary, sizeof(boundary));
			str_copy(str_head(str_skip(line, 11), line.length - 12), boundary + 2,
				sizeof(boundary) - 2);
		} else if (boundary[0] && str_starts(line, str_of(boundary))) {
			bool is_end = str_ends_nocase(line, STR("--"));
			ends += is_end;
			parts += !is_end;
			is_part_head = !is_end;
		} else if (is_part_head) {
			assert_true(str_starts(line, STR("Content-Type: ")));
			assert_true(str_starts(str_skip(line, 14), str_of(types[parts - 1])));
			is_part_head = false;
		}
	}
	assert_int_equal(parts, 3);
	assert_int_equal(ends, 1);
}

#define MESSAGE "Message-ID: <m1@x.test>\r\nSubject: hi\r\nTo: one@y.test\r\n\r\nsecret body\r\n"

static void a_failure_is_told_in_three_parts(void **state)
{
	struct fixture *f = *state;
	struct buf b = { 0 };
	f->envelope.envid = STR("id+2B7");
	f->recipients[0].orcpt = STR("rfc822;one+2Btag@y.test");
	uint64_t id = keep(f, STR(MESSAGE));
	const char *text = report(f, id, DSN_FAILED, 2, "5.1.1", "550 5.1.1 no such user", true, &b);
	check_shape(buf_str(&b), "message/delivery-status", "text/rfc822-headers");
	static const char *const wanted[] = {
		"From: Mail Delivery System <MAILER-DAEMON@mta.test>\r\n",
		"\r\nTo: a@x.test\r\n",
		"\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n",
		"\r\nMessage-ID: <",
		"\r\nIn-Reply-To: <m1@x.test>\r\n",
		"\r\nAuto-Submitted: auto-replied\r\n",
		"\r\nMIME-Version: 1.0\r\n",
		"multipart/report; report-type=delivery-status;",
		"mx.y.test said: 550 5.1.1 no such user\r\n",
		"Check the address for typing errors",
		"\r\nReporting-MTA: dns; mta.test\r\n",
		"\r\nOriginal-Envelope-Id: id+7\r\n",
		"\r\nArrival-Date: Wed, 31 Dec 2025 23:00:00 +0000\r\n",
		"\r\nOriginal-Recipient: rfc822; one+tag@y.test\r\n",
		"\r\nFinal-Recipient: rfc822; one@y.test\r\n",
		"\r\nFinal-Recipient: rfc822; two@y.test\r\n",
		"\r\nAction: failed\r\n",
		"\r\nStatus: 5.1.1\r\n",
		"\r\nRemote-MTA: dns; mx.y.test\r\n",
		"\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n",
		"\r\nSubject: hi\r\n",
	};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!strstr(text, wanted[i]))
			fail_msg("missing: %s\nin: %s", wanted[i], text);
	assert_null(strstr(text, "secret"));
	assert_null(strstr(text, "three@"));
	const struct spool_envelope *e = fake_spool_envelope(f->spool, 1);
	assert_int_equal(e->sender.length, 0);
	assert_true(str_equal(e->recipients[0].address, STR("a@x.test")));
	assert_int_equal(e->flags, SPOOL_FLAG_BOUNCE);
	buf_release(&b);
}

static void the_wishes_of_notify_are_kept(void **state)
{
	static const struct {
		uint8_t notify;
		bool is_wanted[4]; /* FAILED DELAYED DELIVERED RELAYED */
	} rows[] = {
		{ 0, { true, true, false, false } },
		{ SPOOL_NOTIFY_NEVER, { false, false, false, false } },
		{ SPOOL_NOTIFY_FAILURE, { true, false, false, false } },
		{ SPOOL_NOTIFY_DELAY, { false, true, false, false } },
		{ SPOOL_NOTIFY_SUCCESS, { false, false, true, true } },
		{ SPOOL_NOTIFY_SUCCESS | SPOOL_NOTIFY_FAILURE, { true, false, true, true } },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int kind = DSN_FAILED; kind <= DSN_RELAYED; kind++) {
			f->recipients[0].notify = rows[i].notify;
			f->envelope.sender = STR("a@x.test");
			assert_int_equal(dsn_is_wanted(&f->envelope, 0, (enum dsn_kind)kind),
				rows[i].is_wanted[kind]);
			f->envelope.sender = STR("");
			assert_false(dsn_is_wanted(&f->envelope, 0, (enum dsn_kind)kind));
		}
	}
}

static void a_null_sender_is_never_told(void **state)
{
	struct fixture *f = *state;
	struct buf b = { 0 };
	f->envelope.sender = STR("");
	uint64_t id = keep(f, STR(MESSAGE));
	assert_string_equal(report(f, id, DSN_FAILED, 3, "5.1.1", "no", false, &b), "");
	assert_int_equal(f->done_id, 0);
	assert_int_equal(fake_spool_open_writers(f->spool), 0);
	buf_release(&b);
}

static void hostile_words_stay_inside_their_field(void **state)
{
	struct fixture *f = *state;
	struct buf b = { 0 }, words = { 0 };
	buf_append_text(&words, "550 x\r\nAction: delivered\r\n\r\n--x\r\n\x01\x7f\xff ");
	for (int i = 0; i < 3000; i++)
		buf_append_byte(&words, 'w');
	f->envelope.envid = STR("e+0D+0AStatus:+202.0.0");
	f->recipients[0].orcpt = STR("rfc822;x+0D+0A+0D+0Ainjected");
	uint64_t id = keep(f, STR(MESSAGE));
	const char *text = report(f, id, DSN_FAILED, 1, "5.0.0", buf_text(&words), true, &b);
	check_shape(buf_str(&b), "message/delivery-status", "text/rfc822-headers");
	assert_null(strstr(text, "\nAction: delivered"));
	assert_null(strstr(text, "\nStatus: 2"));
	assert_null(strstr(text, "\ninjected"));
	buf_release(&b);
	buf_release(&words);
}

static void no_more_than_64_kib_of_header_come_back(void **state)
{
	struct fixture *f = *state;
	struct buf b = { 0 }, content = { 0 };
	for (int i = 0; i < 20000; i++)
		buf_printf(&content, "X-Field-%d: v\r\n", i);
	buf_append_text(&content, "\r\nbody\r\n");
	uint64_t id = keep(f, buf_str(&content));
	report(f, id, DSN_FAILED, 1, "5.0.0", "x", false, &b);
	check_shape(buf_str(&b), "message/delivery-status", "text/rfc822-headers");
	assert_in_range(b.length, 60 * 1024, 70 * 1024);
	assert_non_null(strstr(buf_text(&b), "its beginning"));
	buf_release(&b);
	buf_release(&content);
}

static void odd_messages_still_make_good_reports(void **state)
{
	static const char *const contents[] = {
		"", "\r\n", "\r\nbody\r\n", "no header at all", "Subject: x\r\n", "Subject: x",
		"Message-ID: <a b>\r\n\r\n", "Message-ID:\r\n\r\n", "Message-ID: <\r\n>\r\n\r\n",
		"Subject: \xff\xfe raw\r\n\r\n",
	};
	struct fixture *f = *state;
	struct buf b = { 0 };
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		uint64_t id = keep(f, str_of(contents[i]));
		report(f, id, DSN_FAILED, 1, "5.0.0", "x", false, &b);
		check_shape(buf_str(&b), "message/delivery-status", "text/rfc822-headers");
	}
	buf_release(&b);
}

static void international_mail_gets_the_international_form(void **state)
{
	struct fixture *f = *state;
	struct buf b = { 0 };
	f->envelope.flags = SPOOL_FLAG_SMTPUTF8;
	f->envelope.sender = str_of("j\xc3\xb6rg@x.test");
	f->recipients[0].address = str_of("\xc3\xa9va@y.test");
	uint64_t id = keep(f, STR("Subject: gr\xc3\xbc\xc3\x9f\x65\r\n\r\n"));
	const char *text = report(f, id, DSN_FAILED, 1, "5.1.1", "550 n\xc3\xb6", true, &b);
	check_shape(buf_str(&b), "message/global-delivery-status", "message/global-headers");
	assert_non_null(strstr(text, "\r\nTo: j\xc3\xb6rg@x.test\r\n"));
	assert_non_null(strstr(text, "\r\nFinal-Recipient: utf-8; \xc3\xa9va@y.test\r\n"));
	assert_non_null(strstr(text, "\r\nDiagnostic-Code: smtp; 550 n\xc3\xb6\r\n"));
	assert_int_equal(fake_spool_envelope(f->spool, 1)->flags,
		SPOOL_FLAG_BOUNCE | SPOOL_FLAG_SMTPUTF8 | SPOOL_FLAG_8BITMIME);
	buf_release(&b);
}

static void ascii_mail_sent_with_smtputf8_gets_the_ordinary_form(void **state)
{
	struct fixture *f = *state;
	struct buf b = { 0 };
	f->envelope.flags = SPOOL_FLAG_SMTPUTF8;
	uint64_t id = keep(f, STR(MESSAGE));
	const char *text = report(f, id, DSN_FAILED, 1, "5.1.1", "550 n\xc3\xb6", true, &b);
	check_shape(buf_str(&b), "message/delivery-status", "text/rfc822-headers");
	assert_non_null(strstr(text, "\r\nDiagnostic-Code: smtp; 550 n??\r\n"));
	assert_int_equal(fake_spool_envelope(f->spool, 1)->flags, SPOOL_FLAG_BOUNCE);
	buf_release(&b);
}

static void mail_given_up_says_how_long_it_was_tried(void **state)
{
	struct fixture *f = *state;
	struct buf b = { 0 };
	f->envelope.received_s = NOW_S - 5 * 86400;
	uint64_t id = keep(f, STR(MESSAGE));
	const char *text = report(f, id, DSN_FAILED, 1, "4.4.1", "no connection", false, &b);
	assert_non_null(strstr(text, "We tried for 5 days and have given up."));
	text = report(f, id, DSN_FAILED, 1, "5.1.1", "550 no such user", true, &b);
	assert_null(strstr(text, "given up"));
	f->envelope.received_s = NOW_S - 86400;
	id = keep(f, STR(MESSAGE));
	text = report(f, id, DSN_FAILED, 1, "4.7.5", "not verified", false, &b);
	assert_non_null(strstr(text, "We tried for 24 hours and have given up."));
	buf_release(&b);
}

static void each_kind_has_its_action_and_status(void **state)
{
	static const struct {
		enum dsn_kind kind;
		const char *enhanced, *action, *status;
	} rows[] = {
		{ DSN_FAILED, "5.2.2", "failed", "5.2.2" },
		{ DSN_FAILED, "4.4.1", "failed", "4.4.1" }, /* given up */
		{ DSN_FAILED, "2.0.0", "failed", "5.0.0" },
		{ DSN_FAILED, "", "failed", "5.0.0" },
		{ DSN_DELAYED, "4.7.5", "delayed", "4.7.5" },
		{ DSN_DELAYED, "5.0.0", "delayed", "4.0.0" },
		{ DSN_DELIVERED, "2.1.5", "delivered", "2.1.5" },
		{ DSN_RELAYED, "2.0.0", "relayed", "2.0.0" },
	};
	struct fixture *f = *state;
	struct buf b = { 0 };
	char wanted[80];
	f->recipients[0].notify = SPOOL_NOTIFY_SUCCESS | SPOOL_NOTIFY_FAILURE | SPOOL_NOTIFY_DELAY;
	uint64_t id = keep(f, STR(MESSAGE));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = report(f, id, rows[i].kind, 1, rows[i].enhanced, "x", false, &b);
		check_shape(buf_str(&b), "message/delivery-status", "text/rfc822-headers");
		snprintf(wanted, sizeof(wanted), "\r\nAction: %s\r\nStatus: %s\r\n", rows[i].action,
			rows[i].status);
		if (!strstr(text, wanted))
			fail_msg("missing %s in %s", wanted, text);
	}
	buf_release(&b);
}

static void a_spool_that_does_not_accept_is_told(void **state)
{
	struct fixture *f = *state;
	uint64_t id = keep(f, STR(MESSAGE));
	struct dsn_recipient told = { .enhanced = "5.0.0", .text = "x" };
	struct err err = { 0 };
	for (int step = FAKE_SPOOL_BEGIN; step <= FAKE_SPOOL_WRITE; step++) {
		fake_spool_fail(f->spool, (enum fake_spool_step)step, ERR_LIMIT, 0);
		assert_int_equal(dsn_send(f->spool, id, DSN_FAILED, &told, 1, "mta.test", NOW_S,
					 on_done, f, &err), -1);
		fake_spool_fail(f->spool, (enum fake_spool_step)step, ERR_NONE, 0);
	}
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(dsn_send(f->spool, 999, DSN_FAILED, &told, 1, "mta.test", NOW_S, on_done, f,
				 &err), -1);
	assert_int_equal(f->done_calls, 0);
	assert_int_equal(fake_spool_open_writers(f->spool), 0);
}

static void each_failure_has_advice_that_fits(void **state)
{
	(void)state;
	static const struct {
		const char *enhanced, *words;
	} rows[] = {
		{ "5.1.10", "or reach the recipient in another way" },
		{ "5.1.2", "Check the part behind the @" },
		{ "5.1.1", "ask the recipient for the right one" },
		{ "5.4.4", "The DNS names no server that takes mail" },
		{ "4.4.4", "could not be reached" }, /* a route of ours, or a host without an address */
		{ "4.7.4", "must be encrypted" },
		{ "4.7.5", "proven identity only" },
		{ "", "show this message to your postmaster" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_non_null(strstr(dsn_text_advice(DSN_FAILED, rows[i].enhanced), rows[i].words));
	assert_string_equal(dsn_text_advice(DSN_DELIVERED, "2.0.0"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(a_failure_is_told_in_three_parts),
		T(the_wishes_of_notify_are_kept),
		T(a_null_sender_is_never_told),
		T(hostile_words_stay_inside_their_field),
		T(no_more_than_64_kib_of_header_come_back),
		T(odd_messages_still_make_good_reports),
		T(international_mail_gets_the_international_form),
		T(ascii_mail_sent_with_smtputf8_gets_the_ordinary_form),
		T(mail_given_up_says_how_long_it_was_tried),
		T(each_kind_has_its_action_and_status),
		T(a_spool_that_does_not_accept_is_told),
		T(each_failure_has_advice_that_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
