#include "smtpd/dsn/dsn_report.h"

#include "libtlsio/base/netaddr.h"
#include "smtpd/dsn/dsn_text.h"
#include "smtpd/smtp/smtp_params.h"
#include "smtpd/smtp/smtp_trace.h"

static const struct {
	const char *action; /* RFC 3464 section 2.3.3 */
	const char *subject;
	const char *opening;
	char class;
} kinds[] = {
	[DSN_FAILED] = { "failed", "Undelivered mail: returned to sender",
		"Your message could not be delivered to the recipients below. It will not be tried "
		"again.",
		'5' },
	[DSN_DELAYED] = { "delayed", "Delayed mail: still being tried",
		"Your message could not yet be delivered to the recipients below. It is kept and "
		"tried again; you need not send it once more.",
		'4' },
	[DSN_DELIVERED] = { "delivered", "Delivered mail: success report",
		"As you asked to be told: your message was delivered to the recipients below.",
		'2' },
	[DSN_RELAYED] = { "relayed", "Relayed mail: success report",
		"As you asked to be told: your message was handed on to the next mail server for "
		"the recipients below. That server does not report on delivery; this is the last you "
		"will hear from us.",
		'2' },
};

static const struct spool_recipient *who(const struct dsn_report *r, size_t index)
{
	return &r->original->recipients[r->recipients[index].recipient];
}

bool dsn_report_needs_utf8(const struct dsn_report *r)
{
	if (!(r->original->flags & SPOOL_FLAG_SMTPUTF8))
		return false;
	bool is_ascii = str_is_ascii(r->original->sender) && str_is_ascii(r->headers);
	for (size_t i = 0; i < r->count; i++)
		is_ascii = is_ascii && str_is_ascii(who(r, i)->address);
	return !is_ascii;
}

/* ---- the head -------------------------------------------------------------------------------- */

/* The original's Message-ID as "<...>", so that readers show the report beside it; else empty. */
static struct str find_message_id(struct str headers)
{
	struct str line;
	while (str_split(&headers, '\n', &line)) {
		if (!str_starts_nocase(line, STR("message-id:")))
			continue;
		struct str id = str_skip(line, 11);
		if (id.length > 0 && id.at[id.length - 1] == '\r')
			id.length--;
		id = str_trim(id);
		bool is_sane = id.length > 2 && id.length < 250 && id.at[0] == '<' &&
			id.at[id.length - 1] == '>' && str_is_ascii(id) &&
			str_find(id, ' ') == id.length;
		return is_sane ? id : STR("");
	}
	return STR("");
}

static void append_head(const struct dsn_report *r, struct buf *ret)
{
	char date[32], id[17];
	struct str answered = find_message_id(r->headers);
	buf_printf(ret, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", r->hostname);
	dsn_text_append_field(ret, "To", "", r->original->sender, r->is_global);
	buf_printf(ret, "Subject: %s\r\nDate: %s\r\nMessage-ID: <%s.dsn@%s>\r\n",
		kinds[r->kind].subject, smtp_trace_date(r->now_s, date), spool_id_format(r->id, id),
		r->hostname);
	if (answered.length > 0) {
		dsn_text_append_field(ret, "In-Reply-To", "", answered, false);
		dsn_text_append_field(ret, "References", "", answered, false);
	}
	buf_append_text(ret, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
	buf_printf(ret, "Content-Type: multipart/report; report-type=delivery-status;\r\n"
		"\tboundary=\"%s\"\r\n", r->boundary);
	if (r->is_global || !str_is_ascii(r->headers))
		buf_append_text(ret, "Content-Transfer-Encoding: 8bit\r\n");
	buf_append_text(ret, "\r\nThis is a report in MIME format about a message of yours.\r\n");
}

static void begin_part(const struct dsn_report *r, const char *type, const char *description,
	bool is_8bit, struct buf *ret)
{
	buf_printf(ret, "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\n"
		"Content-Transfer-Encoding: %s\r\n\r\n", r->boundary, type, description,
		is_8bit ? "8bit" : "7bit");
}

/* ---- for people ------------------------------------------------------------------------------ */

/* A 4.x.x that ends as a failure was tried again and again until its time was over. */
static void append_given_up(const struct dsn_report *r, const struct dsn_recipient *told,
	struct buf *ret)
{
	struct buf words = { 0 };
	int64_t hours = (r->now_s - r->original->received_s) / 3600;
	if (r->kind != DSN_FAILED || !told->enhanced || told->enhanced[0] != '4')
		return;
	if (hours >= 48)
		buf_printf(&words, "We tried for %lld days and have given up.",
			(long long)hours / 24);
	else
		buf_printf(&words, "We tried for %lld hours and have given up.", (long long)hours);
	dsn_text_append_paragraph(ret, "    ", buf_str(&words), false);
	buf_release(&words);
}

static void append_goes_on(const struct dsn_report *r, const struct dsn_recipient *told,
	struct buf *ret)
{
	struct buf words = { 0 };
	char date[32];
	if (r->kind != DSN_DELAYED || !told->retry_until_s)
		return;
	buf_printf(&words, "We go on trying until %s.", smtp_trace_date(told->retry_until_s, date));
	dsn_text_append_paragraph(ret, "    ", buf_str(&words), false);
	buf_release(&words);
}

static void append_told(const struct dsn_report *r, size_t index, struct buf *ret)
{
	const struct dsn_recipient *told = &r->recipients[index];
	const char *advice = dsn_text_advice(r->kind, told->enhanced);
	struct buf words = { 0 };
	buf_append_text(ret, "\r\n");
	buf_append_byte(&words, '<');
	buf_append_str(&words, who(r, index)->address);
	buf_append_byte(&words, '>');
	dsn_text_append_paragraph(ret, "  ", buf_str(&words), r->is_global);
	buf_clear(&words);
	if (told->is_smtp_reply && told->host && told->host[0])
		buf_printf(&words, "%s said: ", told->host);
	buf_append_text(&words, told->text);
	dsn_text_append_paragraph(ret, "    ", buf_str(&words), r->is_global);
	append_given_up(r, told, ret);
	append_goes_on(r, told, ret);
	if (advice[0])
		dsn_text_append_paragraph(ret, "    ", str_of(advice), false);
	buf_release(&words);
}

static void append_human_part(const struct dsn_report *r, struct buf *ret)
{
	char date[32];
	struct buf words = { 0 };
	begin_part(r, r->is_global ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii",
		"Notification", r->is_global, ret);
	buf_printf(&words, "This is the mail system of %s.", r->hostname);
	dsn_text_append_paragraph(ret, "", buf_str(&words), false);
	buf_append_text(ret, "\r\n");
	dsn_text_append_paragraph(ret, "", str_of(kinds[r->kind].opening), false);
	for (size_t i = 0; i < r->count; i++)
		append_told(r, i, ret);
	buf_clear(&words);
	buf_printf(&words, "Your message reached us on %s. The technical details follow, then the "
		"header of your message, not its content.",
		smtp_trace_date(r->original->received_s, date));
	buf_append_text(ret, "\r\n");
	dsn_text_append_paragraph(ret, "", buf_str(&words), false);
	buf_release(&words);
}

/* ---- for programs ---------------------------------------------------------------------------- */

/* "type;xtext" as the client gave it (RFC 3461 section 4.2) -> "type; address". */
static void append_original_recipient(const struct dsn_report *r, struct str orcpt, struct buf *ret)
{
	struct str type;
	struct buf value = { 0 };
	if (!str_split(&orcpt, ';', &type) || !orcpt.at)
		return;
	buf_append_str(&value, type);
	buf_append_text(&value, "; ");
	if (!smtp_params_xtext_decode(orcpt, &value))
		buf_append_str(&value, orcpt);
	dsn_text_append_field(ret, "Original-Recipient", "", buf_str(&value), r->is_global);
	buf_release(&value);
}

static void append_remote(const char *host, struct buf *ret)
{
	struct netaddr address;
	if (!host || !host[0] || host[0] == '/')
		return;
	if (netaddr_parse(str_of(host), 1, &address, NULL) < 0)
		dsn_text_append_field(ret, "Remote-MTA", "dns; ", str_of(host), false);
	else
		buf_printf(ret, "Remote-MTA: dns; [%s%s]\r\n",
			address.family == NETADDR_IPV6 ? "IPv6:" : "", host);
}

static const char *status_of(const struct dsn_report *r, size_t index)
{
	static const char *const plain[] = { ['2'] = "2.0.0", ['4'] = "4.0.0", ['5'] = "5.0.0" };
	const char *enhanced = r->recipients[index].enhanced;
	char class = kinds[r->kind].class;
	/* mail given up after days of trying keeps the 4.x.x that says what was wrong */
	bool fits = enhanced && (enhanced[0] == class || (class == '5' && enhanced[0] == '4'));
	return fits ? enhanced : plain[(unsigned char)class];
}

static void append_status(const struct dsn_report *r, size_t index, struct buf *ret)
{
	const struct dsn_recipient *told = &r->recipients[index];
	const struct spool_recipient *recipient = who(r, index);
	char date[32];
	buf_append_text(ret, "\r\n");
	append_original_recipient(r, recipient->orcpt, ret);
	dsn_text_append_field(ret, "Final-Recipient",
		r->is_global && !str_is_ascii(recipient->address) ? "utf-8; " : "rfc822; ",
		recipient->address, r->is_global);
	buf_printf(ret, "Action: %s\r\n", kinds[r->kind].action);
	dsn_text_append_field(ret, "Status", "", str_of(status_of(r, index)), false);
	append_remote(told->host, ret);
	if (told->text && told->text[0])
		dsn_text_append_field(ret, "Diagnostic-Code",
			told->is_smtp_reply ? "smtp; " : "x-postern; ", str_of(told->text),
			r->is_global);
	buf_printf(ret, "Last-Attempt-Date: %s\r\n", smtp_trace_date(r->now_s, date));
	if (r->kind == DSN_DELAYED && told->retry_until_s)
		buf_printf(ret, "Will-Retry-Until: %s\r\n",
			smtp_trace_date(told->retry_until_s, date));
}

static void append_status_part(const struct dsn_report *r, struct buf *ret)
{
	char date[32];
	struct buf envid = { 0 };
	begin_part(r, r->is_global ? "message/global-delivery-status" : "message/delivery-status",
		"Delivery report", r->is_global, ret);
	buf_printf(ret, "Reporting-MTA: dns; %s\r\n", r->hostname);
	if (r->original->envid.length > 0) {
		if (!smtp_params_xtext_decode(r->original->envid, &envid))
			buf_append_str(&envid, r->original->envid);
		dsn_text_append_field(ret, "Original-Envelope-Id", "", buf_str(&envid), false);
	}
	buf_release(&envid);
	buf_printf(ret, "Arrival-Date: %s\r\n", smtp_trace_date(r->original->received_s, date));
	for (size_t i = 0; i < r->count; i++)
		append_status(r, i, ret);
}

void dsn_report_format(const struct dsn_report *r, struct buf *ret)
{
	append_head(r, ret);
	append_human_part(r, ret);
	append_status_part(r, ret);
	begin_part(r, r->is_global ? "message/global-headers" : "text/rfc822-headers",
		r->is_cut ? "Header of the message, its beginning" : "Header of the message",
		!str_is_ascii(r->headers), ret);
	buf_append_str(ret, r->headers);
	buf_printf(ret, "\r\n--%s--\r\n", r->boundary);
}
