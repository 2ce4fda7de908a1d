/* SPDX-License-Identifier: MIT */
#include "line.h"

#include <stdbool.h>
#include <stdio.h>

void line_put_number(struct line *line, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	line_put(line, digits + at, sizeof(digits) - at);
}

/* In a string of either kind. */
static bool is_plain(unsigned char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* Puts the plain bytes at the start of @text; returns how many. */
static size_t put_plain(struct line *line, const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && is_plain((unsigned char)text[n]))
		n++;
	line_put(line, text, n);
	return n;
}

/* @escape as a whole, or nothing more at all. */
static void put_whole(struct line *line, const char *escape, size_t len)
{
	if (len > (size_t)(line->end - line->at))
		line->end = line->at;
	line_put(line, escape, len);
}

void line_put_text(struct line *line, const char *text, size_t len)
{
	char escape[8];

	for (size_t at = put_plain(line, text, len); at < len; at += put_plain(line, text + at, len - at)) {
		unsigned char c = (unsigned char)text[at++];
		int n = c == '"' || c == '\\' ? snprintf(escape, sizeof(escape), "\\%c", c)
					      : snprintf(escape, sizeof(escape), "\\x%02x", c);

		put_whole(line, escape, (size_t)n);
	}
}

/* Bytes of the character at the start of @text (RFC 3629, section 4); 0: it is none. */
static size_t utf8_len(const unsigned char *text, size_t len)
{
	unsigned char lead = text[0], low = 0x80, high = 0xbf;
	size_t n;

	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (lead == 0xe0)
		low = 0xa0; /* below: longer than it need be */
	else if (lead == 0xed)
		high = 0x9f; /* above: surrogates */
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f; /* above: past U+10FFFF */
	if (len < n || text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	return n;
}

/* C1 control characters, and those that are line ends to Unicode. */
static bool is_unwanted(const unsigned char *text, size_t n)
{
	return (n == 2 && text[0] == 0xc2 && text[1] < 0xa0) ||
	       (n == 3 && text[0] == 0xe2 && text[1] == 0x80 && (text[2] == 0xa8 || text[2] == 0xa9));
}

/* The character of @n bytes, 0 or more. */
static void put_character(struct line *line, const unsigned char *text, size_t n)
{
	unsigned int code = text[0];
	char escape[8];

	if (!n) {
		put_whole(line, "\xef\xbf\xbd", 3);
		return;
	}
	if (n > 1 && !is_unwanted(text, n)) {
		put_whole(line, (const char *)text, n);
		return;
	}
	if (n == 2)
		code = text[1];
	else if (n == 3)
		code = 0x2000 | (text[2] & 0x3f);
	if (code == '"' || code == '\\')
		snprintf(escape, sizeof(escape), "\\%c", (int)code);
	else
		snprintf(escape, sizeof(escape), "\\u%04x", code & 0xffff);
	put_whole(line, escape, strlen(escape));
}

void line_put_json(struct line *line, const char *text, size_t len)
{
	for (size_t at = put_plain(line, text, len); at < len; at += put_plain(line, text + at, len - at)) {
		const unsigned char *next = (const unsigned char *)text + at;
		size_t n = *next < 0x80 ? 1 : utf8_len(next, len - at);

		put_character(line, next, n);
		at += n ? n : 1;
	}
}
