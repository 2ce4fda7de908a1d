/* SPDX-License-Identifier: MIT */
/*
 * Formats and parses HTTP dates independently of the locale.
 *
 * Each form is a pattern in which letters stand for fields and other characters for themselves.
 */
#include "date.h"

#include <string.h>

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const long_days[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
					 "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
				   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static void two_digits(char *to, int value)
{
	to[0] = (char)('0' + value / 10);
	to[1] = (char)('0' + value % 10);
}

void http_date_format(time_t time, char *to)
{
	const time_t first = -62135596800, last = 253402300799; /* years 1 and 9999 */
	struct tm tm;
	int year;

	time = time < first ? first : time > last ? last : time;
	gmtime_r(&time, &tm);
	year = tm.tm_year + 1900;
	memcpy(to, "Sun, 06 Nov 1994 08:49:37 GMT", HTTP_DATE_LEN);
	memcpy(to, days[tm.tm_wday], 3);
	two_digits(to + 5, tm.tm_mday);
	memcpy(to + 8, months[tm.tm_mon], 3);
	two_digits(to + 12, year / 100);
	two_digits(to + 14, year % 100);
	two_digits(to + 17, tm.tm_hour);
	two_digits(to + 20, tm.tm_min);
	two_digits(to + 23, tm.tm_sec);
}

static int name_index(const char (*names)[4], int nnames, const char *text)
{
	for (int i = 0; i < nnames; i++)
		if (memcmp(names[i], text, 3) == 0)
			return i;
	return -1;
}

static bool take_digit(int *value, char c, bool blank)
{
	if (blank && c == ' ')
		c = '0';
	if (c < '0' || c > '9')
		return false;
	*value = *value * 10 + c - '0';
	return true;
}

/*
 * d: day of the month (e: its first digit may be a space); o: name of the month; Y: year; h, m, s: time; w:
 * name of the day. Pattern and text have the same length.
 */
static bool match(const char *pattern, const char *text, size_t len, struct tm *tm)
{
	for (size_t i = 0; i < len; i++) {
		bool ok = true;

		switch (pattern[i]) {
		case 'e':
		case 'd':
			ok = take_digit(&tm->tm_mday, text[i], pattern[i] == 'e');
			break;
		case 'Y':
			ok = take_digit(&tm->tm_year, text[i], false);
			break;
		case 'h':
			ok = take_digit(&tm->tm_hour, text[i], false);
			break;
		case 'm':
			ok = take_digit(&tm->tm_min, text[i], false);
			break;
		case 's':
			ok = take_digit(&tm->tm_sec, text[i], false);
			break;
		case 'o':
			tm->tm_mon = name_index(months, 12, text + i);
			ok = tm->tm_mon >= 0;
			i += 2;
			break;
		case 'w':
			ok = name_index(days, 7, text + i) >= 0;
			i += 2;
			break;
		default:
			ok = text[i] == pattern[i];
			break;
		}
		if (!ok)
			return false;
	}
	return true;
}

static int month_days(int month, int year)
{
	static const int ndays[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return ndays[month] + (month == 1 && leap);
}

/* tm_year holds the full year here. A leap second is treated as the second before it. */
static bool tm_time(struct tm *tm, time_t *time)
{
	int year = tm->tm_year;

	if (year < 1 || tm->tm_mday < 1 || tm->tm_mday > month_days(tm->tm_mon, year) || tm->tm_hour > 23 ||
	    tm->tm_min > 59 || tm->tm_sec > 60)
		return false;
	if (tm->tm_sec == 60)
		tm->tm_sec = 59;
	tm->tm_year = year - 1900;
	*time = timegm(tm);
	return true;
}

static bool parse_rfc850(const char *text, size_t len, time_t now, struct tm *tm)
{
	static const char pattern[] = ", dd-ooo-YY hh:mm:ss GMT";
	const char *comma = memchr(text, ',', len);
	struct tm today;
	size_t day_len;

	if (!comma || len - (size_t)(comma - text) != sizeof(pattern) - 1)
		return false;
	day_len = (size_t)(comma - text);
	for (int i = 0; i < 7; i++) {
		if (strlen(long_days[i]) != day_len || memcmp(long_days[i], text, day_len) != 0)
			continue;
		if (!match(pattern, comma, sizeof(pattern) - 1, tm))
			return false;
		gmtime_r(&now, &today);
		tm->tm_year += (today.tm_year + 1900) / 100 * 100;
		if (tm->tm_year > today.tm_year + 1900 + 50)
			tm->tm_year -= 100;
		return true;
	}
	return false;
}

bool http_date_parse(const char *text, size_t len, time_t now, time_t *time)
{
	static const char fixdate[] = "www, dd ooo YYYY hh:mm:ss GMT";
	static const char asctime_form[] = "www ooo ed hh:mm:ss YYYY";
	struct tm tm = {0};

	if (len == sizeof(fixdate) - 1 && match(fixdate, text, len, &tm))
		return tm_time(&tm, time);
	tm = (struct tm){0};
	if (len == sizeof(asctime_form) - 1 && match(asctime_form, text, len, &tm))
		return tm_time(&tm, time);
	tm = (struct tm){0};
	return parse_rfc850(text, len, now, &tm) && tm_time(&tm, time);
}
