/* SPDX-License-Identifier: MIT */
/*
 * A line that is written for other programs to read, with bytes in it that come from anybody. Whatever they
 * are, they end neither the line nor the string that they are in. Any thread.
 */
#ifndef LINE_H
#define LINE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What does not fit before @end is left out, an escape as a whole. */
struct line {
	char *at, *end;
};

static inline void line_put(struct line *line, const char *text, size_t len)
{
	if (len > (size_t)(line->end - line->at))
		len = (size_t)(line->end - line->at);
	line->at = mempcpy(line->at, text, len);
}

static inline void line_puts(struct line *line, const char *text)
{
	line_put(line, text, strlen(text));
}

void line_put_number(struct line *line, uint64_t number);

/*
 * As Apache and h2o do: printable ASCII as it is, but for \" and \\; any other byte as \xHH. What is between
 * quotes stays there. At most LINE_TEXT_GROWTH bytes for each of @text.
 */
#define LINE_TEXT_GROWTH 4
void line_put_text(struct line *line, const char *text, size_t len);

/*
 * The inside of a JSON string (RFC 8259), which is UTF-8 whatever @text is: a byte that is not becomes
 * U+FFFD. What ends a line, or controls a terminal, is escaped. At most LINE_JSON_GROWTH bytes for each of
 * @text.
 */
#define LINE_JSON_GROWTH 6
void line_put_json(struct line *line, const char *text, size_t len);

#endif
