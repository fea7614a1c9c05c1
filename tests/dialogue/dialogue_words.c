#include "tests/dialogue/dialogue_words.h"

#include <stdarg.h>
#include <stdio.h>

#include "libtlsio/base/conf.h"
#include "tests/dialogue/dialogue_text.h"
#include "tests/fakes/fake_spool.h"

static bool fail(struct dialogue *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct dialogue *d, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(d->why, sizeof(d->why), format, args);
	va_end(args);
	return false;
}

/* ---- settings --------------------------------------------------------------------------------- */

static bool set_number(struct dialogue *d, struct str key, uint64_t value)
{
	struct session_settings *s = &d->house.settings;
	const struct {
		const char *key;
		uint64_t *size;
		long *count;
		int64_t *time;
	} all[] = {
		{ "command_bytes", &s->command_bytes, NULL, NULL },
		{ "line_bytes", &s->line_bytes, NULL, NULL },
		{ "message_bytes", &s->message_bytes, NULL, NULL },
		{ "data_rate_bytes", &s->data_rate_bytes, NULL, NULL },
		{ "envelopes_bytes", &s->envelopes_bytes, NULL, NULL },
		{ "recipients", NULL, &s->recipients, NULL },
		{ "messages", NULL, &s->messages, NULL },
		{ "errors_soft", NULL, &s->errors_soft, NULL },
		{ "errors_hard", NULL, &s->errors_hard, NULL },
		{ "hops", NULL, &s->hops, NULL },
		{ "connections", NULL, &s->connections, NULL },
		{ "connections_per_client", NULL, &s->connections_per_client, NULL },
		{ "command_ms", NULL, NULL, &s->command_ms },
		{ "session_ms", NULL, NULL, &s->session_ms },
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!str_equal(key, str_of(all[i].key)))
			continue;
		if (all[i].size)
			*all[i].size = value;
		if (all[i].count)
			*all[i].count = (long)value;
		if (all[i].time)
			*all[i].time = (int64_t)value;
		return true;
	}
	return fail(d, "SET knows no \"%.*s\"", STR_ARGS(key));
}

static bool run_set(struct dialogue *d, struct str rest)
{
	struct str key = str_next_word(&rest), value = str_trim(rest);
	uint64_t number;
	if (str_equal(key, STR("refuse_null_mx_senders"))) {
		d->house.settings.refuse_null_mx_senders = str_equal(value, STR("true"));
		return true;
	}
	if (str_equal(key, STR("bare_newlines"))) {
		bool is_refuse = str_equal(value, STR("refuse"));
		d->house.settings.bare_newlines = is_refuse ? SESSION_BARE_REFUSE
							    : SESSION_BARE_NORMALISE;
		return true;
	}
	if (!str_to_u64(value, INT64_MAX, &number))
		return fail(d, "SET wants a number, not \"%.*s\"", STR_ARGS(value));
	return set_number(d, key, number);
}

static bool run_listen(struct dialogue *d, struct str rest)
{
	struct session_listener *l = &d->house.listener;
	for (struct str w = str_next_word(&rest); w.length; w = str_next_word(&rest)) {
		if (str_equal(w, STR("off")))
			l->tls = SESSION_TLS_OFF;
		else if (str_equal(w, STR("implicit")))
			l->tls = SESSION_TLS_IMPLICIT;
		else if (str_equal(w, STR("required")))
			l->requires_tls = true;
		else if (!str_equal(w, STR("starttls")))
			return fail(d, "LISTEN knows no \"%.*s\"", STR_ARGS(w));
	}
	if (l->tls != SESSION_TLS_OFF)
		dialogue_house_use_tls(&d->house);
	return true;
}

/* ---- clients ---------------------------------------------------------------------------------- */

static bool run_connect(struct dialogue *d, struct str rest)
{
	char address[64];
	str_copy(rest.length ? rest : STR("192.0.2.7"), address, sizeof(address));
	d->current = dialogue_house_connect(&d->house, address);
	return true;
}

static void want_client(struct dialogue *d)
{
	if (!d->current)
		run_connect(d, STR(""));
}

static bool run_use(struct dialogue *d, struct str rest)
{
	uint64_t number;
	if (!str_to_u64(rest, d->house.client_count, &number) || number == 0)
		return fail(d, "there is no client %.*s", STR_ARGS(rest));
	d->current = &d->house.clients[number - 1];
	return true;
}

static bool run_client(struct dialogue *d, struct str rest)
{
	struct buf bytes = { 0 };
	want_client(d);
	bool is_good = dialogue_text_expand(rest, true, &bytes);
	if (is_good)
		dialogue_house_say(&d->house, d->current, buf_str(&bytes));
	buf_release(&bytes);
	return is_good || fail(d, "bad escape");
}

static bool run_server(struct dialogue *d, struct str rest)
{
	struct buf reply = { 0 };
	want_client(d);
	if (!dialogue_text_take_reply(&d->current->received, &reply)) {
		buf_release(&reply);
		return fail(d, "the server said nothing (more)%s",
			d->current->is_over ? " and closed" : "");
	}
	bool is_good = dialogue_text_matches(buf_str(&reply), rest);
	if (!is_good)
		fail(d, "the server said \"%s\"", buf_text(&reply));
	buf_release(&reply);
	return is_good;
}

static bool run_silent(struct dialogue *d, struct str rest)
{
	(void)rest;
	if (d->current->received.length)
		return fail(d, "the server said \"%s\"", buf_text(&d->current->received));
	return true;
}

static bool run_closed(struct dialogue *d, struct str rest)
{
	if (!run_silent(d, rest))
		return false;
	return d->current->is_over || fail(d, "the connection is still open");
}

static bool run_open(struct dialogue *d, struct str rest)
{
	(void)rest;
	return !d->current->is_over || fail(d, "the connection is closed");
}

static bool run_tls(struct dialogue *d, struct str rest)
{
	(void)rest;
	want_client(d);
	return dialogue_house_secure(&d->house, d->current) || fail(d, "the handshake failed");
}

static bool run_hangup(struct dialogue *d, struct str rest)
{
	(void)rest;
	tlsio_stream_close(&d->current->stream);
	dialogue_house_settle(&d->house);
	return true;
}

static bool run_reset(struct dialogue *d, struct str rest)
{
	(void)rest;
	tlsio_stream_abort(&d->current->stream);
	dialogue_house_settle(&d->house);
	return true;
}

static bool run_deaf(struct dialogue *d, struct str rest)
{
	(void)rest;
	want_client(d);
	tlsio_stream_pause(d->current->stream);
	return true;
}

static bool run_hears(struct dialogue *d, struct str rest)
{
	(void)rest;
	tlsio_stream_resume(d->current->stream);
	dialogue_house_settle(&d->house);
	return true;
}

static bool run_time(struct dialogue *d, struct str rest)
{
	int64_t ms;
	if (!conf_parse_duration(rest, &ms))
		return fail(d, "TIME+ wants a time like 300s");
	dialogue_house_pass(&d->house, ms);
	return true;
}

/* ---- the house -------------------------------------------------------------------------------- */

static bool run_gate_order(struct dialogue *d, struct str rest)
{
	bool is_held = str_equal(rest, STR("hold"));
	if (!is_held && !str_equal(rest, STR("release")))
		return fail(d, "GATE! knows no \"%.*s\"", STR_ARGS(rest));
	dialogue_house_hold_answers(&d->house, is_held);
	return true;
}

static bool run_gate_question(struct dialogue *d, struct str rest)
{
	struct str key = str_next_word(&rest);
	size_t is = str_equal(key, STR("waiting")) ? dialogue_house_waiting(&d->house)
						   : d->house.forgotten;
	uint64_t wanted;
	if (!str_to_u64(str_trim(rest), UINT64_MAX, &wanted))
		return fail(d, "GATE? wants waiting or forgotten, and a number");
	return is == wanted || fail(d, "it is %zu", is);
}

static void on_idle(void *ctx)
{
	struct dialogue_house *house = ctx;
	house->is_idle = true;
}

static bool run_drain(struct dialogue *d, struct str rest)
{
	(void)rest;
	session_service_drain(d->house.service, on_idle, &d->house);
	dialogue_house_settle(&d->house);
	return true;
}

static bool run_idle(struct dialogue *d, struct str rest)
{
	bool wanted = !str_equal(rest, STR("no"));
	return d->house.is_idle == wanted ||
		fail(d, d->house.is_idle ? "the service is idle" : "the service is not idle");
}

static bool run_log(struct dialogue *d, struct str rest)
{
	struct str log = buf_str(&d->house.log);
	while (log.length) {
		size_t lf = str_find(log, '\n');
		/* a pattern may stand anywhere in a line */
		struct buf pattern = { 0 };
		buf_append_text(&pattern, "...");
		buf_append_str(&pattern, rest);
		buf_append_text(&pattern, "...");
		bool is_found = dialogue_text_matches(str_head(log, lf), buf_str(&pattern));
		buf_release(&pattern);
		if (is_found)
			return true;
		log = str_skip(log, lf + 1);
	}
	return fail(d, "the log has only:\n%.900s", buf_text(&d->house.log));
}

static bool run_count(struct dialogue *d, struct str rest)
{
	struct session_counters c;
	session_service_counters(d->house.service, &c);
	const struct {
		const char *key;
		uint64_t value;
	} all[] = { { "connections", c.connections },
		{ "refused_connections", c.refused_connections }, { "messages", c.messages },
		{ "refused_messages", c.refused_messages }, { "tls_sessions", c.tls_sessions },
		{ "tls_failed", c.tls_failed }, { "open_sessions", c.open_sessions } };
	struct str key = str_next_word(&rest);
	uint64_t wanted;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (str_equal(key, str_of(all[i].key)) &&
			str_to_u64(str_trim(rest), UINT64_MAX, &wanted))
			return all[i].value == wanted ||
				fail(d, "it is %llu", (unsigned long long)all[i].value);
	}
	return fail(d, "COUNT? wants a counter and a number");
}

/* ---- the spool -------------------------------------------------------------------------------- */

static bool run_spool_order(struct dialogue *d, struct str rest)
{
	struct str what = str_next_word(&rest);
	rest = str_trim(rest);
	struct spool *spool = d->house.spool;
	enum err_kind kind = str_equal(rest, STR("limit")) ? ERR_LIMIT : ERR_SYSTEM;
	if (str_equal(rest, STR("works")))
		kind = ERR_NONE;
	if (str_equal(what, STR("hold")))
		fake_spool_hold(spool);
	else if (str_equal(what, STR("release")))
		fake_spool_release(spool);
	else if (str_equal(what, STR("begin")))
		fake_spool_fail(spool, FAKE_SPOOL_BEGIN, kind, 0);
	else if (str_equal(what, STR("write")))
		fake_spool_fail(spool, FAKE_SPOOL_WRITE, kind, 1000);
	else if (str_equal(what, STR("commit")))
		fake_spool_fail(spool, FAKE_SPOOL_COMMIT, kind, 0);
	else
		return fail(d, "SPOOL! knows no \"%.*s\"", STR_ARGS(what));
	dialogue_house_settle(&d->house);
	return true;
}

static void join_recipients(const struct spool_envelope *e, struct buf *ret)
{
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		if (i)
			buf_append_byte(ret, ',');
		buf_append_str(ret, e->recipients[i].address);
	}
}

/* Without the Received field that session put in front. */
static struct str own_content(struct str content)
{
	do {
		size_t lf = str_find(content, '\n');
		content = lf < content.length ? str_skip(content, lf + 1) : str_skip(content, lf);
	} while (content.length && content.at[0] == '\t');
	return content;
}

static bool check_text(struct dialogue *d, struct str key, struct str is, struct str rest)
{
	struct buf wanted = { 0 };
	dialogue_text_expand(rest, false, &wanted);
	struct str want = buf_str(&wanted);
	bool is_good = str_equal(is, want);
	if (str_equal(key, STR("has")))
		is_good = dialogue_text_contains(is, want);
	else if (str_equal(key, STR("lacks")))
		is_good = !dialogue_text_contains(is, want);
	buf_release(&wanted);
	return is_good || fail(d, "it is \"%.*s\"", (int)(is.length < 800 ? is.length : 800), is.at);
}

static bool check_message(struct dialogue *d, struct str key, struct str rest)
{
	size_t count = fake_spool_count(d->house.spool);
	if (!count)
		return fail(d, "the spool is empty");
	const struct spool_envelope *e = fake_spool_envelope(d->house.spool, count - 1);
	struct str content = fake_spool_content(d->house.spool, count - 1);
	if (str_equal(key, STR("sender")))
		return check_text(d, key, e->sender, rest);
	if (str_equal(key, STR("envid")))
		return check_text(d, key, e->envid, rest);
	if (str_equal(key, STR("orcpt")))
		return check_text(d, key, e->recipients[0].orcpt, rest);
	if (str_equal(key, STR("client")))
		return check_text(d, key, e->client, rest);
	if (str_equal(key, STR("content")))
		return check_text(d, key, own_content(content), rest);
	if (str_equal(key, STR("recipients"))) {
		struct buf all = { 0 };
		join_recipients(e, &all);
		bool is_good = check_text(d, key, buf_str(&all), rest);
		buf_release(&all);
		return is_good;
	}
	if (str_equal(key, STR("has")) || str_equal(key, STR("lacks")))
		return check_text(d, key, content, rest);
	return fail(d, "SPOOL? knows no \"%.*s\"", STR_ARGS(key));
}

static bool check_numbers(struct dialogue *d, struct str key, struct str rest)
{
	size_t count = fake_spool_count(d->house.spool);
	const struct spool_envelope *e = count ? fake_spool_envelope(d->house.spool, count - 1) : NULL;
	size_t is = count;
	uint64_t wanted;
	if (str_equal(key, STR("waiting")))
		is = fake_spool_waiting(d->house.spool);
	else if (str_equal(key, STR("flags")) && e)
		is = e->flags;
	else if (str_equal(key, STR("ret")) && e)
		is = e->ret;
	else if (str_equal(key, STR("notify")) && e)
		is = e->recipients[0].notify;
	if (!str_to_u64(rest, UINT64_MAX, &wanted))
		return fail(d, "\"%.*s\" is not a number", STR_ARGS(rest));
	return is == wanted || fail(d, "it is %zu", is);
}

static bool run_spool_question(struct dialogue *d, struct str rest)
{
	static const char *const numbers[] = { "messages", "waiting", "flags", "ret", "notify" };
	struct spool *spool = d->house.spool;
	struct str key = str_next_word(&rest);
	rest = str_trim(rest);
	if (str_equal(key, STR("empty"))) {
		if (fake_spool_count(spool) || fake_spool_waiting(spool))
			return fail(d, "there is a message");
		return !fake_spool_open_writers(spool) || fail(d, "a writer is open");
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (str_equal(key, str_of(numbers[i])))
			return check_numbers(d, key, rest);
	}
	return check_message(d, key, rest);
}

/* ---- all words -------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	bool (*run)(struct dialogue *d, struct str rest);
} words[] = {
	{ "CLIENT>", run_client },
	{ "SERVER<", run_server },
	{ "SET", run_set },
	{ "LISTEN", run_listen },
	{ "CONNECT", run_connect },
	{ "USE", run_use },
	{ "TLS", run_tls },
	{ "SILENT", run_silent },
	{ "CLOSED", run_closed },
	{ "OPEN", run_open },
	{ "HANGUP", run_hangup },
	{ "RESET", run_reset },
	{ "DEAF", run_deaf },
	{ "HEARS", run_hears },
	{ "TIME+", run_time },
	{ "DRAIN", run_drain },
	{ "IDLE?", run_idle },
	{ "LOG?", run_log },
	{ "COUNT?", run_count },
	{ "GATE!", run_gate_order },
	{ "GATE?", run_gate_question },
	{ "SPOOL!", run_spool_order },
	{ "SPOOL?", run_spool_question },
};

bool dialogue_words_run(struct dialogue *d, struct str line)
{
	line = str_trim(line);
	if (!line.length || line.at[0] == '#')
		return true;
	struct str word = str_next_word(&line);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (str_equal(word, str_of(words[i].word)))
			return words[i].run(d, str_trim(line));
	}
	return fail(d, "unknown word \"%.*s\"", STR_ARGS(word));
}
