#include "smtpd/dsn/dsn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "smtpd/dsn/dsn_report.h"

#define HEADERS_MOST (64 * 1024)
#define BOUNDARY_RANDOM_BYTES 15

bool dsn_is_wanted(const struct spool_envelope *original, uint32_t recipient, enum dsn_kind kind)
{
	static const uint8_t bits[] = { [DSN_FAILED] = SPOOL_NOTIFY_FAILURE,
		[DSN_DELAYED] = SPOOL_NOTIFY_DELAY, [DSN_DELIVERED] = SPOOL_NOTIFY_SUCCESS,
		[DSN_RELAYED] = SPOOL_NOTIFY_SUCCESS };
	uint8_t notify = original->recipients[recipient].notify;
	if (original->sender.length == 0 || (notify & SPOOL_NOTIFY_NEVER))
		return false;
	if (notify == 0) /* not asked: failure by rule, delay by our own choice */
		return kind == DSN_FAILED || kind == DSN_DELAYED;
	return (notify & bits[kind]) != 0;
}

/* Offset behind the header section (its last CR LF), or the length where it does not end here. */
static size_t header_end(struct str text, bool *ret_is_found)
{
	size_t line = 0;
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] != '\n')
			continue;
		if (i == line || (i == line + 1 && text.at[line] == '\r')) {
			*ret_is_found = true;
			return line;
		}
		line = i + 1;
	}
	*ret_is_found = false;
	return text.length;
}

/* The original's header section, at most HEADERS_MOST bytes, cut at a line's end. What cannot be
 * read any more is left out: its sender must hear of it all the more. */
static void read_headers(struct spool_reader *reader, struct buf *ret, bool *ret_is_cut)
{
	struct str piece;
	bool is_found = false, is_damaged = false;
	while (!is_found && ret->length < HEADERS_MOST) {
		is_damaged = spool_reader_next(reader, &piece, NULL) < 0;
		if (is_damaged || piece.length == 0)
			break;
		buf_append_str(ret, piece);
		buf_truncate(ret, header_end(buf_str(ret), &is_found));
	}
	*ret_is_cut = is_damaged || ret->length > HEADERS_MOST ||
		(!is_found && ret->length == HEADERS_MOST);
	if (*ret_is_cut) {
		struct str kept = buf_str(ret);
		if (kept.length > HEADERS_MOST)
			kept.length = HEADERS_MOST;
		size_t lf = str_find_last(kept, '\n');
		buf_truncate(ret, lf < kept.length ? lf + 1 : 0);
	}
	if (ret->length > 0 && buf_str(ret).at[ret->length - 1] != '\n')
		buf_append_text(ret, "\r\n"); /* a message that is all header */
}

/* A boundary that occurs nowhere in what is quoted. ret holds 64 bytes. */
static void make_boundary(struct str quoted, char *ret)
{
	uint8_t random[BOUNDARY_RANDOM_BYTES] = { 0 };
	do {
		if (getrandom(random, sizeof(random), 0) < 0)
			abort(); /* no randomness: no Message-ID, no TLS, nothing works */
		memcpy(ret, "=_postern_", 10);
		codec_hex(random, sizeof(random), ret + 10);
	} while (memmem(quoted.at, quoted.length, ret, strlen(ret)));
}

/* Those who want to be told; how many. */
static size_t pick(const struct spool_envelope *original, enum dsn_kind kind,
	const struct dsn_recipient *recipients, size_t count, struct dsn_recipient *ret)
{
	size_t wanted = 0;
	for (size_t i = 0; i < count; i++) {
		if (recipients[i].recipient < original->recipient_count &&
			dsn_is_wanted(original, recipients[i].recipient, kind))
			ret[wanted++] = recipients[i];
	}
	return wanted;
}

static int write_report(struct spool *spool, const struct dsn_report *report,
	void (*on_done)(void *ctx, uint64_t dsn_id, const struct err *error), void *ctx,
	struct err *err)
{
	struct dsn_report r = *report;
	struct buf text = { 0 };
	struct spool_writer *w = spool_begin_report(spool, err);
	if (!w)
		return -1;
	r.id = spool_writer_id(w);
	dsn_report_format(&r, &text);
	struct spool_recipient to = { .address = r.original->sender, .notify = SPOOL_NOTIFY_NEVER };
	struct spool_envelope envelope = {
		.received_s = r.now_s,
		.sender = STR(""),
		.flags = SPOOL_FLAG_BOUNCE,
		.recipients = &to,
		.recipient_count = 1,
	};
	if (r.is_global)
		envelope.flags |= SPOOL_FLAG_SMTPUTF8;
	if (!str_is_ascii(buf_str(&text)))
		envelope.flags |= SPOOL_FLAG_8BITMIME;
	int rc = spool_write(w, buf_str(&text), err);
	buf_release(&text);
	if (rc < 0)
		spool_abandon(&w);
	else
		spool_commit(&w, &envelope, on_done, ctx);
	return rc;
}

static int report_of(struct spool *spool, struct spool_reader *reader, struct dsn_report *r,
	void (*on_done)(void *ctx, uint64_t dsn_id, const struct err *error), void *ctx,
	struct err *err)
{
	struct buf headers = { 0 };
	char boundary[64];
	read_headers(reader, &headers, &r->is_cut);
	r->headers = buf_str(&headers);
	r->is_global = dsn_report_needs_utf8(r);
	make_boundary(r->headers, boundary);
	r->boundary = boundary;
	int rc = write_report(spool, r, on_done, ctx, err);
	buf_release(&headers);
	return rc;
}

int dsn_send(struct spool *spool, uint64_t id, enum dsn_kind kind,
	const struct dsn_recipient *recipients, size_t count, const char *hostname, int64_t now_s,
	void (*on_done)(void *ctx, uint64_t dsn_id, const struct err *error), void *ctx,
	struct err *err)
{
	struct spool_reader *reader = spool_read(spool, id, err);
	if (!reader)
		return -1;
	struct dsn_recipient *wanted = mem_array(count + 1, sizeof(*wanted));
	struct dsn_report report = {
		.kind = kind,
		.original = spool_reader_envelope(reader),
		.recipients = wanted,
		.hostname = hostname,
		.now_s = now_s,
	};
	report.count = pick(report.original, kind, recipients, count, wanted);
	int rc = report.count ? report_of(spool, reader, &report, on_done, ctx, err) : 0;
	bool is_empty = report.count == 0;
	free(wanted);
	spool_reader_free(&reader);
	if (is_empty)
		on_done(ctx, 0, NULL);
	return rc;
}
