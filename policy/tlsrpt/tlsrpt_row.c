#include "policy/tlsrpt/tlsrpt_row.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_digest.h"
#include "policy/tlsrpt/tlsrpt_session.h"

int64_t tlsrpt_row_day(int64_t time_s)
{
	int64_t day = time_s / TLSRPT_DAY_S;
	return time_s % TLSRPT_DAY_S < 0 ? day - 1 : day;
}

const char *tlsrpt_row_day_text(int64_t day, char into[16])
{
	struct tm tm;
	time_t at = (time_t)(day * TLSRPT_DAY_S);
	into[0] = '\0';
	if (gmtime_r(&at, &tm))
		strftime(into, 16, "%Y-%m-%d", &tm);
	return into;
}

bool tlsrpt_row_day_parse(struct str text, int64_t *ret)
{
	uint64_t year, month, day;
	struct str y, m;
	char again[16];
	if (!str_split(&text, '-', &y) || !str_split(&text, '-', &m) || !text.at)
		return false;
	if (!str_to_u64(y, 9999, &year) || !str_to_u64(m, 12, &month) || !str_to_u64(text, 31, &day) ||
		year < 1970 || month == 0 || day == 0)
		return false;
	struct tm tm = { .tm_year = (int)year - 1900, .tm_mon = (int)month - 1,
		.tm_mday = (int)day };
	*ret = tlsrpt_row_day((int64_t)timegm(&tm));
	/* "2026-02-30" would be another day. */
	snprintf(again, sizeof(again), "%02u", (unsigned)day);
	char text_of_day[16];
	return strcmp(tlsrpt_row_day_text(*ret, text_of_day) + 8, again) == 0;
}

void tlsrpt_row_id(int64_t day, struct str domain, struct str record, struct str policy,
	uint8_t ret[TLSRPT_ROW_ID_BYTES])
{
	struct buf all = { 0 };
	uint8_t digest[TLSIO_DIGEST_SHA256_BYTES];
	buf_printf(&all, "%" PRId64 "\n", day);
	buf_append_str(&all, domain);
	buf_append_byte(&all, '\n');
	buf_append_str(&all, record);
	buf_append_byte(&all, '\n');
	buf_append_str(&all, policy);
	tlsio_digest_sha256(buf_str(&all), digest);
	memcpy(ret, digest, TLSRPT_ROW_ID_BYTES);
	buf_release(&all);
}

void tlsrpt_row_init(struct tlsrpt_row *row, int64_t day, struct str domain, struct str record,
	struct str policy)
{
	*row = (struct tlsrpt_row){ .day = day,
		.domain = mem_dup_bytes(domain.at, domain.length),
		.record = mem_dup_bytes(record.at, record.length),
		.policy = mem_dup_bytes(policy.at, policy.length) };
}

void tlsrpt_row_clear(struct tlsrpt_row *row)
{
	for (size_t i = 0; i < row->tuple_count; i++)
		free(row->tuples[i].text);
	free(row->tuples);
	free(row->domain);
	free(row->record);
	free(row->policy);
	*row = (struct tlsrpt_row){ 0 };
}

void tlsrpt_row_add_failure(struct tlsrpt_row *row, struct str text, uint64_t count)
{
	for (size_t i = 0; i < row->tuple_count; i++) {
		if (!str_equal(str_of(row->tuples[i].text), text))
			continue;
		row->tuples[i].count += count;
		return;
	}
	if (row->tuple_count == TLSRPT_TUPLES_MOST) {
		row->unlisted += count;
		return;
	}
	row->tuples = mem_resize_array(row->tuples, row->tuple_count + 1, sizeof(*row->tuples));
	row->tuples[row->tuple_count++] =
		(struct tlsrpt_tuple){ mem_dup_bytes(text.at, text.length), count };
}

void tlsrpt_row_write_tuples(const struct tlsrpt_row *row, struct buf *into)
{
	for (size_t i = 0; i < row->tuple_count; i++)
		buf_printf(into, "%" PRIu64 "\t%s\n", row->tuples[i].count, row->tuples[i].text);
}

bool tlsrpt_row_read_tuples(struct tlsrpt_row *row, struct str text)
{
	struct str line, number;
	struct tlsrpt_failure_read failure;
	while (text.length > 0) {
		uint64_t count;
		if (!str_split(&text, '\n', &line) || !text.at ||
			!str_split(&line, '\t', &number) || !line.at ||
			!str_to_u64(number, UINT64_MAX, &count) ||
			!tlsrpt_failure_read(line, &failure))
			return false;
		tlsrpt_row_add_failure(row, line, count);
	}
	return true;
}
