#include "smtpd/posternctl_status.h"

#include "policy/dns/dns_check.h"
#include "policy/door/door_status.h"
#include "smtpd/control/control_print.h"

enum { ANSWER_MS = 10000 };

static void add_text(struct control_record *r, const char *key, const char *text)
{
	r->fields[r->count++] =
		(struct control_field){ .key = str_of(key), .text = str_of(text) };
}

static void add_number(struct control_record *r, const char *key, int64_t number)
{
	r->fields[r->count++] = (struct control_field){ .key = str_of(key), .is_number = true,
		.number = number };
}

static const char *check_name(int check)
{
	switch (check) {
	case DNS_CHECK_GOOD:
		return "good";
	case DNS_CHECK_NOT_VALIDATING:
		return "not-validating";
	case DNS_CHECK_UNKNOWN:
		return "unknown";
	}
	return "pending";
}

static void fill(struct control_record *r, const struct door_status *s)
{
	add_text(r, "policyd", "running");
	add_number(r, "pid", s->pid);
	add_text(r, "version", s->version);
	add_number(r, "uptime", s->uptime_s);
	add_text(r, "dnssec_check", check_name(s->check));
	add_text(r, "dnssec_reason", s->check_words);
	add_number(r, "plans", (int64_t)s->plans);
	add_number(r, "in_flight", (int64_t)s->in_flight);
	add_number(r, "asked", (int64_t)s->asked);
	add_number(r, "found", (int64_t)s->found);
	add_number(r, "made", (int64_t)s->made);
	add_number(r, "deferred", (int64_t)s->deferred);
	add_number(r, "refused", (int64_t)s->refused);
	add_number(r, "clients", (int64_t)s->clients);
}

int posternctl_status_policyd(const char *run_directory, bool is_json, struct buf *to)
{
	struct control_record record = { .name = STR("policyd") };
	struct door_status status;
	struct buf path = { 0 }, words = { 0 };
	struct err err;
	buf_printf(&path, "%s/policyd.sock", run_directory);
	int result = door_status_ask(buf_text(&path), "posternctl", ANSWER_MS, &status, &err);
	if (result == 0) {
		fill(&record, &status);
	} else {
		buf_printf(&words, "%s: %s", buf_text(&path),
			result > 0 ? "there is no such socket" : err.text);
		add_text(&record, "policyd", result > 0 ? "none" : "unreachable");
		add_text(&record, "reason", buf_text(&words));
	}
	if (is_json) {
		control_print_json(to, &record, false);
		buf_append_byte(to, '\n');
	} else {
		control_print_policyd(to, &record);
	}
	buf_release(&path);
	buf_release(&words);
	return result < 0 ? -1 : result > 0;
}
