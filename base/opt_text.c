/* SPDX-License-Identifier: MIT */
/* The plain-text markup of help and manual: words, lines, paragraphs, and filled text. Any thread. */
#include "opt_text.h"

#include <ctype.h>
#include <string.h>

size_t opt_next_word(const char **text, const char **word)
{
	unsigned int newlines = 0;

	for (; isspace((unsigned char)**text); ++*text)
		newlines += **text == '\n';
	if (newlines > 1)
		return 0;
	*word = *text;
	while (**text && !isspace((unsigned char)**text))
		++*text;
	return (size_t)(*text - *word);
}

const char *opt_paragraph_end(const char *text)
{
	const char *end = strstr(text, "\n\n");

	return end ? end : text + strlen(text);
}

const char *opt_line_end(const char *line, const char *end)
{
	const char *newline = memchr(line, '\n', (size_t)(end - line));

	return newline ? newline : end;
}

bool opt_is_list(const char *text, const char *end)
{
	return *text != '\t' && memchr(text, '\t', (size_t)(opt_line_end(text, end) - text));
}

static void fill_words(FILE *to, const char *text, const char *end, size_t column, const char *indent,
		       size_t width)
{
	const char *word;
	bool first = true;
	size_t len;

	while (text < end && (len = opt_next_word(&text, &word)) && word < end) {
		if (!first && column + 1 + len > width) {
			fprintf(to, "\n%s", indent);
			column = strlen(indent);
			first = true;
		}
		fprintf(to, "%s%.*s", first ? "" : " ", (int)len, word);
		column += len + !first;
		first = false;
	}
}

static void fill_as_is(FILE *to, const char *text, const char *end, const char *indent)
{
	for (const char *next; text < end; text = next + 1) {
		next = opt_line_end(text, end);
		for (; text < next; text++)
			fputs(*text == '\t' ? "  " : (char[]){*text, '\0'}, to);
		if (next < end)
			fprintf(to, "\n%s", indent);
	}
}

void opt_fill(FILE *to, const char *text, size_t column, const char *indent, size_t width)
{
	size_t start = strlen(indent);
	const char *end;

	for (; *text; text = end) {
		end = opt_paragraph_end(text);
		if (isblank((unsigned char)*text) || opt_is_list(text, end))
			fill_as_is(to, text, end, indent);
		else
			fill_words(to, text, end, column, indent, width);
		while (*end == '\n')
			end++;
		if (*end) /* an empty line, without the blank at its end */
			fprintf(to, "\n%.*s\n%s", (int)start - (start && indent[start - 1] == ' '), indent,
				indent);
		column = start;
	}
	fputc('\n', to);
}
