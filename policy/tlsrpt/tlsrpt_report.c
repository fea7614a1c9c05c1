#include "policy/tlsrpt/tlsrpt_report.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/base/netaddr.h"
#include "policy/tlsrpt/tlsrpt_session.h"

bool tlsrpt_report_fits(const struct tlsrpt_report *report, const struct tlsrpt_row *row)
{
	return report->count == 0 || (report->rows[0].day == row->day &&
		strcmp(report->rows[0].domain, row->domain) == 0);
}

static struct tlsrpt_row *row_of(struct tlsrpt_report *report, const struct tlsrpt_row *like)
{
	for (size_t i = 0; i < report->count; i++)
		if (strcmp(report->rows[i].policy, like->policy) == 0)
			return &report->rows[i];
	report->rows =
		mem_resize_array(report->rows, report->count + 1, sizeof(*report->rows));
	struct tlsrpt_row *row = &report->rows[report->count++];
	tlsrpt_row_init(row, like->day, str_of(like->domain), str_of(like->record),
		str_of(like->policy));
	return row;
}

void tlsrpt_report_add(struct tlsrpt_report *report, const struct tlsrpt_row *from)
{
	struct tlsrpt_row *row = row_of(report, from);
	row->ok += from->ok;
	row->failed += from->failed;
	row->unlisted += from->unlisted;
	for (size_t i = 0; i < from->tuple_count; i++)
		tlsrpt_row_add_failure(row, str_of(from->tuples[i].text), from->tuples[i].count);
	if (!from->record[0])
		return;
	free(report->record);
	report->record = mem_dup(from->record);
}

void tlsrpt_report_clear(struct tlsrpt_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		tlsrpt_row_clear(&report->rows[i]);
	free(report->rows);
	free(report->record);
	*report = (struct tlsrpt_report){ 0 };
}

/* ---- JSON --------------------------------------------------------------------------------------- */

static json_t *text(struct str s)
{
	return json_stringn(s.at, s.length);
}

static void set_text(json_t *object, const char *key, struct str s)
{
	if (s.length > 0)
		json_object_set_new(object, key, text(s));
}

static void set_count(json_t *object, const char *key, uint64_t count)
{
	json_object_set_new(object, key, json_integer((json_int_t)count));
}

/* R9; what is no address is left out. */
static void set_address(json_t *object, const char *key, struct str s)
{
	struct netaddr address;
	char form[NETADDR_TEXT_BYTES];
	if (netaddr_parse(s, 0, &address, NULL) == 0)
		json_object_set_new(object, key, json_string(netaddr_format_ip(&address, form)));
}

/* RFC 3986 3.1: a scheme, a colon, and no blank anywhere. */
static bool is_uri(struct str s)
{
	size_t colon = str_find(s, ':');
	if (colon == 0 || colon == s.length || !isalpha((unsigned char)s.at[0]))
		return false;
	for (size_t i = 0; i < s.length; i++) {
		unsigned char c = (unsigned char)s.at[i];
		if (c <= ' ' || c > '~' || (i < colon && !isalnum(c) && !strchr("+-.", c)))
			return false;
	}
	return true;
}

static json_t *make_policy(const struct tlsrpt_row *row)
{
	enum policy_report_type type = POLICY_REPORT_NO_POLICY;
	struct str domain = STR(""), lines = STR(""), value;
	json_t *policy = json_object(), *strings = json_array(), *mx = json_array();
	char kind;
	tlsrpt_policy_read(str_of(row->policy), &type, &domain, &lines);
	while ((kind = tlsrpt_policy_next(&lines, &value)))
		json_array_append_new(kind == 's' ? strings : mx, text(value));
	json_object_set_new(policy, "policy-type", json_string(tlsrpt_type_name(type)));
	json_object_set_new(policy, "policy-string", strings);
	json_object_set_new(policy, "policy-domain", text(domain));
	if (type == POLICY_REPORT_STS && json_array_size(mx) > 0)
		json_object_set(policy, "mx-host", mx);
	json_decref(mx);
	return policy;
}

static json_t *make_failure(const struct tlsrpt_tuple *tuple)
{
	struct tlsrpt_failure_read f;
	json_t *failure = json_object();
	if (!tlsrpt_failure_read(str_of(tuple->text), &f))
		return failure;
	json_object_set_new(failure, "result-type", json_string(policy_reason_name(f.result)));
	set_address(failure, "sending-mta-ip", f.sending_ip);
	set_text(failure, "receiving-mx-hostname", f.mx_host);
	set_text(failure, "receiving-mx-helo", f.helo);
	set_address(failure, "receiving-ip", f.receiving_ip);
	set_count(failure, "failed-session-count", tuple->count);
	if (is_uri(f.additional))
		set_text(failure, "additional-information", f.additional);
	set_text(failure, "failure-reason-code", f.reason_code);
	return failure;
}

static json_t *make_part(const struct tlsrpt_row *row)
{
	json_t *part = json_object(), *summary = json_object(), *failures = json_array();
	set_count(summary, "total-successful-session-count", row->ok);
	set_count(summary, "total-failure-session-count", row->failed);
	for (size_t i = 0; i < row->tuple_count; i++)
		json_array_append_new(failures, make_failure(&row->tuples[i]));
	json_object_set_new(part, "policy", make_policy(row));
	json_object_set_new(part, "summary", summary);
	if (json_array_size(failures) > 0)
		json_object_set(part, "failure-details", failures);
	json_decref(failures);
	return part;
}

static json_t *make_range(const char *day)
{
	json_t *range = json_object();
	json_object_set_new(range, "start-datetime", json_sprintf("%sT00:00:00Z", day));
	json_object_set_new(range, "end-datetime", json_sprintf("%sT23:59:59Z", day));
	return range;
}

void tlsrpt_report_json(const struct tlsrpt_report *report, const struct tlsrpt_report_by *by,
	struct buf *into)
{
	json_t *object = json_object(), *policies = json_array();
	char day[16];
	tlsrpt_row_day_text(report->rows[0].day, day);
	for (size_t i = 0; i < report->count; i++)
		json_array_append_new(policies, make_part(&report->rows[i]));
	json_object_set_new(object, "organization-name", json_string(by->organization));
	json_object_set_new(object, "date-range", make_range(day));
	json_object_set_new(object, "contact-info", json_string(by->contact));
	json_object_set_new(object, "report-id",
		json_sprintf("%s.%s@%s", day, report->rows[0].domain, by->hostname));
	json_object_set_new(object, "policies", policies);
	char *line = json_dumps(object, JSON_COMPACT);
	buf_append_text(into, line ? line : "{}");
	free(line);
	json_decref(object);
}

/* ---- words -------------------------------------------------------------------------------------- */

static void put_failure(const struct tlsrpt_tuple *tuple, struct buf *into)
{
	struct tlsrpt_failure_read f;
	if (!tlsrpt_failure_read(str_of(tuple->text), &f))
		return;
	buf_printf(into, "      %" PRIu64 " %s: %s", tuple->count, policy_reason_name(f.result),
		tlsrpt_result_words(f.result));
	if (f.mx_host.length > 0)
		buf_printf(into, "; host %.*s", STR_ARGS(f.mx_host));
	if (f.receiving_ip.length > 0)
		buf_printf(into, " [%.*s]", STR_ARGS(f.receiving_ip));
	if (f.sending_ip.length > 0)
		buf_printf(into, ", from %.*s", STR_ARGS(f.sending_ip));
	if (f.reason_code.length > 0)
		buf_printf(into, "\n        %.*s", STR_ARGS(f.reason_code));
	buf_append_byte(into, '\n');
}

/* "MTA-STS policy of example.org, mode: testing" */
static void put_policy(const struct tlsrpt_row *row, struct buf *into)
{
	static const char *const names[] = { [POLICY_REPORT_NO_POLICY] = "no policy found for",
		[POLICY_REPORT_TLSA] = "DANE, TLSA records of",
		[POLICY_REPORT_STS] = "MTA-STS policy of" };
	enum policy_report_type type = POLICY_REPORT_NO_POLICY;
	struct str domain = STR(""), lines = STR(""), value;
	char kind;
	tlsrpt_policy_read(str_of(row->policy), &type, &domain, &lines);
	buf_printf(into, "    %s %.*s", names[type], STR_ARGS(domain));
	while (type == POLICY_REPORT_STS && (kind = tlsrpt_policy_next(&lines, &value)))
		if (kind == 's' && str_starts(value, STR("mode:")))
			buf_printf(into, ", %.*s", STR_ARGS(value));
	buf_printf(into, ": %" PRIu64 " session%s passed, %" PRIu64 " failed\n", row->ok,
		row->ok == 1 ? "" : "s", row->failed);
}

void tlsrpt_report_words(const struct tlsrpt_report *report, struct buf *into)
{
	buf_printf(into, "  %s\n", report->rows[0].domain);
	if (report->record)
		buf_printf(into, "    asks for reports: %s\n", report->record);
	for (size_t i = 0; i < report->count; i++) {
		const struct tlsrpt_row *row = &report->rows[i];
		put_policy(row, into);
		for (size_t t = 0; t < row->tuple_count; t++)
			put_failure(&row->tuples[t], into);
		if (row->unlisted > 0)
			buf_printf(into, "      %" PRIu64 " more, of which no details were kept\n",
				row->unlisted);
	}
}
