#include "policy/policy_date.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 24 * 3600 };

/* count digits, at least and at most; they are gone from s then. */
static bool take_number(struct str *s, size_t count, int most, int *ret)
{
	int value = 0;
	if (s->length < count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (s->at[i] < '0' || s->at[i] > '9')
			return false;
		value = value * 10 + (s->at[i] - '0');
	}
	*s = str_skip(*s, count);
	*ret = value;
	return value <= most;
}

static bool take_byte(struct str *s, const char *any_of)
{
	if (s->length == 0 || !s->at[0] || !strchr(any_of, s->at[0]))
		return false;
	*s = str_skip(*s, 1);
	return true;
}

static bool take_day(struct str *s, int64_t *ret_s)
{
	struct tm tm = { 0 };
	int year, month, day;
	if (!take_number(s, 4, 9999, &year) || !take_byte(s, "-") ||
		!take_number(s, 2, 12, &month) || !take_byte(s, "-") || !take_number(s, 2, 31, &day))
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	*ret_s = (int64_t)timegm(&tm);
	/* timegm makes the 1st of March of the 29th of February of a common year. */
	return year >= 1970 && tm.tm_mon == month - 1 && tm.tm_mday == day;
}

static bool take_time(struct str *s, int64_t *ret_s)
{
	int hour, minute, second;
	if (!take_number(s, 2, 23, &hour) || !take_byte(s, ":") ||
		!take_number(s, 2, 59, &minute) || !take_byte(s, ":") ||
		!take_number(s, 2, 60, &second)) /* a leap second */
		return false;
	*ret_s = hour * 3600 + minute * 60 + second;
	int digit;
	if (!take_byte(s, "."))
		return true;
	if (!take_number(s, 1, 9, &digit))
		return false;
	while (take_number(s, 1, 9, &digit))
		continue;
	return true;
}

static bool take_zone(struct str *s, int64_t *ret_s)
{
	int hour, minute;
	*ret_s = 0;
	if (take_byte(s, "Zz"))
		return true;
	bool is_west = s->length > 0 && s->at[0] == '-';
	if (!take_byte(s, "+-") || !take_number(s, 2, 23, &hour) || !take_byte(s, ":") ||
		!take_number(s, 2, 59, &minute))
		return false;
	*ret_s = (hour * 3600 + minute * 60) * (is_west ? -1 : 1);
	return true;
}

bool policy_date_parse_end(struct str text, int64_t *ret_end_s)
{
	int64_t day_s, time_s, zone_s;
	if (!take_day(&text, &day_s))
		return false;
	if (text.length == 0) {
		*ret_end_s = day_s + DAY_S;
		return true;
	}
	if (!take_byte(&text, "Tt ") || !take_time(&text, &time_s) || !take_zone(&text, &zone_s) ||
		text.length > 0)
		return false;
	*ret_end_s = day_s + time_s - zone_s;
	return true;
}

const char *policy_date_format(int64_t at_s, char into[POLICY_DATE_BYTES])
{
	struct tm tm;
	time_t at = (time_t)at_s;
	if (!gmtime_r(&at, &tm) || strftime(into, POLICY_DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(into, POLICY_DATE_BYTES, "?");
	return into;
}
