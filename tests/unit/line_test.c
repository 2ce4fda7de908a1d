/* SPDX-License-Identifier: MIT */
/* Whatever bytes there are, a line is one line, and a string in it is one string. */
#include "server/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef void put_fn(struct line *line, const char *text, size_t len);

/* What @put makes of @text, in room for @room bytes. */
static const char *made_in(put_fn *put, const char *text, size_t len, size_t room)
{
	static char made[4096];
	struct line line = {made, made + room};

	memset(made, 0, sizeof(made));
	put(&line, text, len);
	assert_in_range(line.at - made, 0, room);
	assert_int_equal(strlen(made), line.at - made);
	return made;
}

static void escapes(put_fn *put, const char *text, size_t len, const char *want)
{
	assert_string_equal(made_in(put, text, len, 4000), want);
}

#define TEXT(text, want) escapes(line_put_text, text, sizeof(text) - 1, want)
#define JSON(text, want) escapes(line_put_json, text, sizeof(text) - 1, want)

static void text_is_printable_ascii(void **state)
{
	TEXT("", "");
	TEXT("plain ~", "plain ~");
	TEXT("say \"hi\" \\", "say \\\"hi\\\" \\\\");
	TEXT("a\r\nb\0c\x1b[0m\x7f\t", "a\\x0d\\x0ab\\x00c\\x1b[0m\\x7f\\x09");
	TEXT("\xc3\xa9\xff", "\\xc3\\xa9\\xff");
}

static void json_is_utf8(void **state)
{
	JSON("", "");
	JSON("say \"hi\" \\ /", "say \\\"hi\\\" \\\\ /");
	JSON("a\r\nb\0c\x1b\x7f\t", "a\\u000d\\u000ab\\u0000c\\u001b\\u007f\\u0009");
	JSON("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	/* Line ends to Unicode, and control characters. */
	JSON("\xc2\x85 \xc2\x9b \xc2\xa0 \xe2\x80\xa8\xe2\x80\xa9",
	     "\\u0085 \\u009b \xc2\xa0 \\u2028\\u2029");
}

static void what_is_not_utf8_is_replaced(void **state)
{
#define FFFD "\xef\xbf\xbd"
	JSON("\xff", FFFD);
	JSON("a\x80z", "a" FFFD "z");
	JSON("\xc0\xaf", FFFD FFFD); /* longer than it need be */
	JSON("\xe0\x80\xaf", FFFD FFFD FFFD);
	JSON("\xf0\x80\x80\xaf", FFFD FFFD FFFD FFFD);
	JSON("\xed\xa0\x80", FFFD FFFD FFFD); /* a surrogate */
	JSON("\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD);
	JSON("\xf5\x80\x80\x80", FFFD FFFD FFFD FFFD);
	JSON("\xe2\x82", FFFD FFFD);	      /* cut off */
	JSON("\xe2\x82\"", FFFD FFFD "\\\""); /* a quote in the place of its last byte */
	JSON("\xc3\n", FFFD "\\u000a");
}

/* So that a line is as long as it is known to be at most. */
static void nothing_grows_by_more_than_it_says(void **state)
{
	for (unsigned int first = 0; first < 256; first++) {
		for (unsigned int second = 0; second < 256; second++) {
			char text[] = {(char)first, (char)second};

			assert_in_range(strlen(made_in(line_put_text, text, 2, 4000)), 2,
					2 * LINE_TEXT_GROWTH);
			assert_in_range(strlen(made_in(line_put_json, text, 2, 4000)), 2,
					2 * LINE_JSON_GROWTH);
		}
	}
}

static void no_escape_is_cut(void **state)
{
	assert_string_equal(made_in(line_put_text, "ab\nc", 4, 5), "ab");
	assert_string_equal(made_in(line_put_text, "ab\nc", 4, 6), "ab\\x0a");
	assert_string_equal(made_in(line_put_text, "ab\nc", 4, 7), "ab\\x0ac");
	assert_string_equal(made_in(line_put_json, "\xe2\x82\xac\"", 4, 2), "");
	assert_string_equal(made_in(line_put_json, "\xe2\x82\xac\"", 4, 4), "\xe2\x82\xac");
	assert_string_equal(made_in(line_put_json, "ab", 2, 1), "a");
}

static void numbers_are_decimal(void **state)
{
	static const struct {
		uint64_t number;
		const char *want;
	} rows[] = {{0, "0"}, {10, "10"}, {UINT64_MAX, "18446744073709551615"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[32] = "";
		struct line line = {text, text + sizeof(text)};

		line_put_number(&line, rows[i].number);
		assert_string_equal(text, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_printable_ascii),
		cmocka_unit_test(json_is_utf8),
		cmocka_unit_test(what_is_not_utf8_is_replaced),
		cmocka_unit_test(nothing_grows_by_more_than_it_says),
		cmocka_unit_test(no_escape_is_cut),
		cmocka_unit_test(numbers_are_decimal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
