/* SPDX-License-Identifier: MIT */
#include "opt_strip.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Does an unquoted word continue after @c? A slash that follows is then part of that word. */
static bool is_word(int c)
{
	return c != EOF && !isspace(c) && !strchr("={}(),+\"'", c);
}

static void copy_quoted(FILE *from, FILE *to, int quote)
{
	int c;

	while ((c = getc(from)) != EOF) {
		putc(c, to);
		if (c == quote)
			return;
		if (c == '\\' && (c = getc(from)) != EOF)
			putc(c, to);
	}
}

static void skip_line(FILE *from)
{
	int c;

	while ((c = getc(from)) != EOF && c != '\n')
		;
	if (c != EOF)
		ungetc(c, from);
}

/* From the star on; newlines are kept, so that line numbers stay right. */
static void skip_block(FILE *from, FILE *to)
{
	int c, before = 0;

	getc(from);
	for (; (c = getc(from)) != EOF && !(before == '*' && c == '/'); before = c)
		if (c == '\n')
			putc(c, to);
}

static int peek(FILE *from)
{
	int c = getc(from);

	return c == EOF ? EOF : ungetc(c, from);
}

/*
 * libconfuse 3.3 counts too many lines for each comment and takes one within a list for an item, so it gets
 * the file without comments. Whether a brace is not closed at the end, which it does not notice of a section.
 */
static bool copy_without_comments(FILE *from, FILE *to)
{
	int c, before = EOF, depth = 0;

	for (; (c = getc(from)) != EOF; before = c) {
		int next = c == '/' && !is_word(before) ? peek(from) : EOF;

		if (c == '#' || next == '/') {
			skip_line(from);
			c = ' ';
		} else if (next == '*') {
			skip_block(from, to);
			c = ' ';
		}
		putc(c, to);
		depth += (c == '{') - (c == '}');
		if (c == '"' || c == '\'')
			copy_quoted(from, to, c);
	}
	/* fmemopen(3) wants at least one byte. */
	putc(' ', to);
	return depth > 0;
}

int opt_strip(FILE *from, char **text, size_t *len, bool *is_open)
{
	FILE *to = open_memstream(text, len);
	int err;

	if (!to)
		return -ENOMEM;
	*is_open = copy_without_comments(from, to);
	err = ferror(from) ? -EIO : 0;
	if (fclose(to) && !err)
		err = -ENOMEM;
	if (err)
		free(*text);
	return err;
}
