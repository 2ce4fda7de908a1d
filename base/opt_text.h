/* SPDX-License-Identifier: MIT */
/*
 * The texts of an option table, as struct opt_program describes them: paragraphs separated by empty lines,
 * filled unless they are an example or a list. For --help, the manual and the sample configuration. Not for
 * programs.
 */
#ifndef OPT_TEXT_H
#define OPT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * The next word of *text, which is moved past it; returns its length, 0 at the end or before an empty line.
 */
size_t opt_next_word(const char **text, const char **word);

/* The end of the paragraph that begins at @text. */
const char *opt_paragraph_end(const char *text);

/* The end of @line, without its newline, or @end. */
const char *opt_line_end(const char *line, const char *end);

/* Does the paragraph begin with "term<TAB>text"? */
bool opt_is_list(const char *text, const char *end);

/*
 * Writes @text filled to @width columns, starting each further line with @indent; @column is where the first
 * line begins. Newlines in the text count as blanks, an empty line starts a new paragraph. Ends with a
 * newline.
 */
void opt_fill(FILE *to, const char *text, size_t column, const char *indent, size_t width);

#endif
