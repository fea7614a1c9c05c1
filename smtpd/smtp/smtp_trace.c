#include "smtpd/smtp/smtp_trace.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *smtp_trace_with(const struct smtp_trace *trace)
{
	if (trace->is_smtputf8)
		return trace->is_tls ? "UTF8SMTPS" : "UTF8SMTP";
	if (trace->is_tls)
		return "ESMTPS";
	return trace->is_extended ? "ESMTP" : "SMTP";
}

const char *smtp_trace_date(int64_t time_s, char *text)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t seconds = (time_t)time_s;
	struct tm utc = { 0 };
	gmtime_r(&seconds, &utc);
	snprintf(text, 32, "%.3s, %02u %.3s %04u %02u:%02u:%02u +0000", days + 3 * utc.tm_wday,
		(unsigned)utc.tm_mday % 100, months + 3 * utc.tm_mon,
		(unsigned)(utc.tm_year + 1900) % 10000, (unsigned)utc.tm_hour % 100,
		(unsigned)utc.tm_min % 100, (unsigned)utc.tm_sec % 100);
	return text;
}

/* TCP-info of RFC 5321: " ([192.0.2.1])", " ([IPv6:2001:db8::1])". */
static void append_client(const struct netaddr *client, struct buf *ret)
{
	char ip[NETADDR_TEXT_BYTES];
	if (!client || (client->family != NETADDR_IPV4 && client->family != NETADDR_IPV6))
		return;
	buf_append_text(ret, client->family == NETADDR_IPV6 ? " ([IPv6:" : " ([");
	buf_append_text(ret, netaddr_format_ip(client, ip));
	buf_append_text(ret, "])");
}

static void append_tls(const struct smtp_trace *trace, struct buf *ret)
{
	if (trace->suite)
		buf_append_text(ret, trace->suite);
	else
		buf_printf(ret, "0x%04X", trace->suite_id);
	if (trace->group) {
		buf_append_text(ret, " group ");
		buf_append_text(ret, trace->group);
	}
}

void smtp_trace_append(const struct smtp_trace *trace, struct buf *ret)
{
	char date[32];
	buf_append_text(ret, "Received: from ");
	buf_append_str(ret, trace->hello);
	append_client(trace->client, ret);
	buf_append_text(ret, "\r\n\tby ");
	buf_append_str(ret, trace->by);
	buf_append_text(ret, " with ");
	buf_append_text(ret, smtp_trace_with(trace));
	buf_append_text(ret, " id ");
	buf_append_str(ret, trace->id);
	if (trace->recipient.length) {
		buf_append_text(ret, "\r\n\tfor <");
		buf_append_str(ret, trace->recipient);
		buf_append_byte(ret, '>');
	}
	/* the grammar of RFC 5321 has additional clauses behind "for" */
	if (trace->is_tls) {
		buf_append_text(ret, "\r\n\ttls ");
		append_tls(trace, ret);
	}
	buf_append_text(ret, ";\r\n\t");
	buf_append_text(ret, smtp_trace_date(trace->time_s, date));
	buf_append_text(ret, "\r\n");
}

/* ---- counting --------------------------------------------------------------------------------- */

enum { AT_LINE_START, IN_NAME, BEHIND_NAME, IN_REST, AFTER_CR };

static const char field_name[] = "received";

/* One byte at the start of a line or in a field's name; the next state. */
static unsigned look(struct smtp_trace_scan *scan, char c)
{
	if (scan->state == AT_LINE_START) {
		scan->matched = 0;
		if (c == '\r')
			return AFTER_CR;
	}
	if (scan->state == AFTER_CR) {
		scan->is_done = c == '\n';
		return IN_REST;
	}
	if (scan->state == BEHIND_NAME || scan->matched == sizeof(field_name) - 1) {
		scan->received += c == ':';
		return c == ' ' || c == '\t' ? BEHIND_NAME : IN_REST;
	}
	if (str_lower(c) != field_name[scan->matched])
		return IN_REST;
	scan->matched++;
	return IN_NAME;
}

void smtp_trace_scan(struct smtp_trace_scan *scan, struct str content)
{
	const char *at = content.at, *end = content.at + content.length;
	while (at < end && !scan->is_done) {
		if (scan->state != IN_REST)
			scan->state = (uint8_t)look(scan, *at);
		if (scan->state != IN_REST) {
			at++;
			continue;
		}
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		if (!lf)
			return;
		scan->state = AT_LINE_START;
		at = lf + 1;
	}
}
