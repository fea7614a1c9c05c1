#include "smtpd/control/control_print.h"

#include <stdio.h>
#include <time.h>

/* ---- pieces ---------------------------------------------------------------------------------------------- */

void control_print_duration(struct buf *to, int64_t seconds)
{
	long long s = seconds < 0 ? 0 : (long long)seconds;
	if (s < 60)
		buf_printf(to, "%llds", s);
	else if (s < 3600)
		buf_printf(to, "%lldm", s / 60);
	else if (s < 86400)
		buf_printf(to, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		buf_printf(to, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

void control_print_size(struct buf *to, int64_t bytes)
{
	static const char units[] = "KMGT";
	double value = (double)bytes;
	int unit = -1;
	for (; value >= 1000 && unit < 3; unit++)
		value /= 1024;
	if (unit < 0)
		buf_printf(to, "%lldB", (long long)bytes);
	else
		buf_printf(to, value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

/* Length of the well-formed UTF-8 sequence (RFC 3629) at the front, 0 when there is none. */
static size_t sequence_length(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.at;
	size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3
			: p[0] < 0xf5				       ? 4
										       : 0;
	if (length == 0 || length > s.length)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool is_overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool is_surrogate = p[0] == 0xed && p[1] >= 0xa0;
	bool is_beyond = p[0] == 0xf4 && p[1] >= 0x90;
	return is_overlong || is_surrogate || is_beyond ? 0 : length;
}

/* C0 and C1 controls: what a terminal obeys. */
static bool is_control(struct str s, size_t length)
{
	const unsigned char *p = (const unsigned char *)s.at;
	return p[0] < 0x20 || p[0] == 0x7f || (length == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

void control_print_safe(struct buf *to, struct str text)
{
	while (text.length) {
		size_t length = sequence_length(text);
		if (length == 0 || is_control(text, length))
			buf_append_byte(to, '?');
		else
			buf_append(to, text.at, length);
		text = str_skip(text, length ? length : 1);
	}
}

static void print_field(struct buf *to, const struct control_record *record, const char *key)
{
	control_print_safe(to, control_record_text(record, key));
}

static void pad_to(struct buf *to, size_t start, size_t width)
{
	while (to->length - start < width)
		buf_append_byte(to, ' ');
	buf_append_byte(to, ' ');
}

static void print_time(struct buf *to, int64_t seconds)
{
	char text[32];
	struct tm utc;
	time_t when = (time_t)seconds;
	if (gmtime_r(&when, &utc) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &utc))
		buf_append_text(to, text);
}

/* ---- JSON ------------------------------------------------------------------------------------------------- */

void control_print_json_text(struct buf *to, struct str text)
{
	buf_append_byte(to, '"');
	while (text.length) {
		size_t length = sequence_length(text);
		char c = text.at[0];
		if (length == 0)
			buf_append_text(to, "\\ufffd");
		else if (c == '"' || c == '\\')
			buf_append(to, (char[]){ '\\', c }, 2);
		else if (is_control(text, length))
			buf_printf(to, "\\u%04x", (unsigned char)text.at[length - 1]);
		else
			buf_append(to, text.at, length);
		text = str_skip(text, length ? length : 1);
	}
	buf_append_byte(to, '"');
}

void control_print_json(struct buf *to, const struct control_record *record, bool is_open)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct control_field *f = &record->fields[i];
		buf_append_byte(to, i ? ',' : '{');
		control_print_json_text(to, f->key);
		buf_append_byte(to, ':');
		if (f->is_number)
			buf_printf(to, "%lld", (long long)f->number);
		else
			control_print_json_text(to, f->text);
	}
	if (!record->count)
		buf_append_byte(to, '{');
	if (!is_open)
		buf_append_byte(to, '}');
}

/* ---- the queue ---------------------------------------------------------------------------------------------- */

void control_print_queue_message(struct buf *to, const struct control_record *m)
{
	size_t start = to->length;
	print_field(to, m, "id");
	pad_to(to, start, 16);
	start = to->length;
	control_print_duration(to, control_record_number(m, "age"));
	pad_to(to, start, 6);
	start = to->length;
	control_print_size(to, control_record_number(m, "size"));
	pad_to(to, start, 6);
	buf_append_byte(to, '<');
	print_field(to, m, "sender");
	buf_append_text(to, ">\n");
}

static void print_due(struct buf *to, const struct control_record *r)
{
	int64_t due_in_s = control_record_number(r, "due_in");
	if (due_in_s > 0) {
		buf_append_text(to, "in ");
		control_print_duration(to, due_in_s);
	} else
		buf_append_text(to, "due");
}

void control_print_queue_recipient(struct buf *to, const struct control_record *r)
{
	int64_t attempts = control_record_number(r, "attempts");
	buf_append_text(to, "    <");
	print_field(to, r, "address");
	buf_append_text(to, "> ");
	if (str_equal(control_record_text(r, "state"), STR("waiting")))
		print_due(to, r);
	else
		print_field(to, r, "state");
	if (control_record_text(r, "destination").length) {
		buf_append_text(to, " via ");
		print_field(to, r, "destination");
	}
	if (attempts)
		buf_printf(to, ", tried %lld time%s", (long long)attempts, attempts == 1 ? "" : "s");
	buf_append_byte(to, '\n');
	if (control_record_text(r, "reason").length) {
		buf_append_text(to, "        ");
		print_field(to, r, "reason");
		buf_append_byte(to, '\n');
	}
}

void control_print_show(struct buf *to, const struct control_record *record)
{
	bool is_recipient = str_equal(record->name, STR("recipient"));
	for (size_t i = 0; i < record->count; i++) {
		const struct control_field *f = &record->fields[i];
		size_t start = to->length;
		buf_append_text(to, is_recipient ? (i ? "    " : "  - ") : "");
		control_print_safe(to, f->key);
		buf_append_byte(to, ':');
		pad_to(to, start, 16);
		bool is_time = str_equal(f->key, STR("received")) || str_equal(f->key, STR("due"));
		bool is_duration = str_equal(f->key, STR("age")) || str_equal(f->key, STR("due_in"));
		if (is_time && f->number)
			print_time(to, f->number);
		else if (is_duration)
			control_print_duration(to, f->number);
		else
			control_print_safe(to, f->text);
		buf_append_byte(to, '\n');
	}
}

/* ---- status ------------------------------------------------------------------------------------------------- */

static long long number(const struct control_record *w, const char *key)
{
	return (long long)control_record_number(w, key);
}

static void print_expiry(struct buf *to, int64_t expires_s, int64_t now_s)
{
	if (!expires_s)
		return;
	buf_append_text(to, "    certificates  the first expires ");
	print_time(to, expires_s);
	if (expires_s <= now_s) {
		buf_append_text(to, ": EXPIRED");
	} else {
		buf_append_text(to, ", in ");
		control_print_duration(to, expires_s - now_s);
	}
	buf_append_byte(to, '\n');
}

void control_print_worker(struct buf *to, const struct control_record *w, int64_t now_s)
{
	buf_printf(to, "worker %lld  pid %lld, up ", number(w, "worker"), number(w, "pid"));
	control_print_duration(to, control_record_number(w, "uptime"));
	buf_append_text(to, ", version ");
	print_field(to, w, "version");
	buf_printf(to, "\n    sessions      %lld open, %lld accepted, %lld refused\n",
		number(w, "sessions"), number(w, "connections"), number(w, "refused_connections"));
	buf_printf(to, "    messages      %lld received, %lld refused\n", number(w, "received"),
		number(w, "refused"));
	buf_printf(to, "    TLS           %lld handshakes, %lld resumed, %lld failed\n",
		number(w, "tls_sessions"), number(w, "tls_resumed"), number(w, "tls_failed"));
	buf_printf(to, "    queue         %lld messages, ", number(w, "messages"));
	control_print_size(to, control_record_number(w, "message_bytes"));
	buf_printf(to, ", deliveries %lld running, %lld waiting\n", number(w, "deliveries_running"),
		number(w, "deliveries_waiting"));
	buf_printf(to, "    spool         %lld shard%s, %lld segments, ", number(w, "shards"),
		number(w, "shards") == 1 ? "" : "s", number(w, "segments"));
	control_print_size(to, control_record_number(w, "segment_bytes"));
	buf_printf(to, " on disk, %lld commits in %lld syncs%s\n", number(w, "commits"),
		number(w, "syncs"),
		number(w, "accepting") ? "" : ", NOT ACCEPTING MAIL (see the log)");
	print_expiry(to, control_record_number(w, "certificates_expire"), now_s);
}

void control_print_policyd(struct buf *to, const struct control_record *p)
{
	buf_append_text(to, "policyd   ");
	if (!str_equal(control_record_text(p, "policyd"), STR("running"))) {
		print_field(to, p, "policyd");
		buf_append_text(to, ": ");
		print_field(to, p, "reason");
		buf_append_byte(to, '\n');
		return;
	}
	buf_printf(to, "pid %lld, up ", number(p, "pid"));
	control_print_duration(to, control_record_number(p, "uptime"));
	buf_append_text(to, ", version ");
	print_field(to, p, "version");
	buf_append_text(to, "\n    DNSSEC        ");
	print_field(to, p, "dnssec_check");
	if (control_record_text(p, "dnssec_reason").length) {
		buf_append_text(to, ": ");
		print_field(to, p, "dnssec_reason");
	}
	buf_printf(to, "\n    plans         %lld kept, %lld being made\n", number(p, "plans"),
		number(p, "in_flight"));
	buf_printf(to, "    questions     %lld asked, %lld answered from memory, %lld plans made, "
		"%lld of them \"try later\"%s", number(p, "asked"), number(p, "found"),
		number(p, "made"), number(p, "deferred"), number(p, "refused") ? ", " : "\n");
	if (number(p, "refused"))
		buf_printf(to, "%lld refused: too many at once\n", number(p, "refused"));
	buf_printf(to, "    clients       %lld\n", number(p, "clients"));
}
