/* SPDX-License-Identifier: MIT */
/*
 * --help and the manual page, both generated from the option table, so that neither can differ from what the
 * parser accepts. Pure output; any thread.
 */
#include "opt_text.h"
#include "opt_value.h"

#include <ctype.h>
#include <string.h>

#define HELP_WIDTH  79
#define HELP_COLUMN 28
#define MAN_WIDTH   78
#define MAN_DATE    "November 22, 2026"

/* "-e, --engine=NAME" */
static void write_spelling(const struct opt *opt, char *buf, size_t len)
{
	const char *negation = opt->type == OPT_BOOL ? "[no-]" : "";
	int used;

	used = opt->key ? snprintf(buf, len, "-%c, ", opt->key) : snprintf(buf, len, "    ");
	used += snprintf(buf + used, len - (size_t)used, "--%s%s", negation, opt->name);
	if (opt->type != OPT_BOOL && opt->type != OPT_ACTION)
		snprintf(buf + used, len - (size_t)used, opt->bare ? "[=%s]" : "=%s",
			 opt->arg ? opt->arg : "VALUE");
}

/* The default if it is worth showing: not the "no" of a switch. */
static const char *default_of(const struct opt *opt)
{
	return opt->type == OPT_BOOL && opt->deflt && !strcmp(opt->deflt, "no") ? NULL : opt->deflt;
}

/* The left and the right column; the right one starts on a new line if the left is too long. */
static void help_row(FILE *to, const char *left, const char *right)
{
	static const char indent[HELP_COLUMN + 1] = "                            ";
	int used = fprintf(to, "  %s", left);

	if (used + 1 < HELP_COLUMN)
		fprintf(to, "%*s", HELP_COLUMN - used, "");
	else
		fprintf(to, "\n%s", indent);
	opt_fill(to, right, HELP_COLUMN, indent, HELP_WIDTH);
}

static void help_option(FILE *to, const struct opt *opt)
{
	char spelling[128], text[1024];

	write_spelling(opt, spelling, sizeof(spelling));
	if (default_of(opt))
		snprintf(text, sizeof(text), "%s (default %s)", opt->help, default_of(opt));
	else
		snprintf(text, sizeof(text), "%s", opt->help);
	help_row(to, spelling, text);
}

static void help_commands(FILE *to, const char *title, const struct opt_command *command)
{
	char spelling[64];

	fprintf(to, "\n%s:\n", title);
	for (; command->name; command++) {
		snprintf(spelling, sizeof(spelling), "%s %s", command->name, command->operands);
		help_row(to, spelling, command->help);
	}
}

void opt_help(const struct opt_program *program, FILE *to)
{
	fprintf(to, "%s: %s\n\n", program->name, program->brief);
	for (size_t i = 0; program->synopsis[i]; i++)
		fprintf(to, "%s %s %s\n", i ? "      " : "Usage:", program->name, program->synopsis[i]);
	if (program->commands)
		help_commands(to, program->commands_title, program->commands);
	for (const struct opt *opt = program->table; opt->name; opt++) {
		if (opt->section)
			fprintf(to, "\n%s:\n", opt->section);
		if (opt->help && opt->type != OPT_BLOCKS)
			help_option(to, opt);
	}
}

/* One word as roff text; a dot or quote at the start of a line would be a request, and %T in a list a macro. */
static void man_word(FILE *to, const char *word, size_t len, bool starts_line)
{
	if (starts_line && (*word == '.' || *word == '\'' || *word == '%'))
		fputs("\\&", to);
	for (size_t i = 0; i < len; i++) {
		if (word[i] == '\\')
			fputs("\\e", to);
		else if (word[i] == '-' && (!i || word[i - 1] == '-'))
			fputs("\\-", to);
		else
			fputc(word[i], to);
	}
}

/* "name(7)" and what follows it: the lengths of the three parts. */
static bool is_reference(const char *word, size_t len, size_t *name, size_t *rest)
{
	size_t n = 0;

	while (n < len && (isalnum((unsigned char)word[n]) || strchr("_.-", word[n])))
		n++;
	if (!n || n + 3 > len || word[n] != '(' || !isdigit((unsigned char)word[n + 1]) || word[n + 2] != ')')
		return false;
	*name = n;
	*rest = len - n - 3;
	return *rest == 0 || (*rest == 1 && strchr(".,;:)", word[len - 1]));
}

static void man_reference(FILE *to, const char *word, size_t name, size_t rest)
{
	fprintf(to, ".Xr %.*s %c", (int)name, word, word[name + 1]);
	if (rest)
		fprintf(to, " %c", word[name + 3]);
	fputc('\n', to);
}

/* mdoc wants each sentence to start on a new line, and then sets a wider space before it. */
static bool ends_sentence(const char *word, size_t len)
{
	while (len > 1 && strchr(")\"'", word[len - 1]))
		len--;
	return len > 1 && strchr(".!?", word[len - 1]);
}

static void man_fill(FILE *to, const char *text, const char *end)
{
	size_t column = 0, len, name, rest;
	const char *word;

	while (text < end && (len = opt_next_word(&text, &word)) && word < end) {
		bool reference = is_reference(word, len, &name, &rest);

		if (column && (reference || column + len + 1 > MAN_WIDTH)) {
			fputc('\n', to);
			column = 0;
		}
		if (reference) {
			man_reference(to, word, name, rest);
			continue;
		}
		fputs(column ? " " : "", to);
		man_word(to, word, len, !column);
		column += len + 1;
		if (ends_sentence(word, len)) {
			fputc('\n', to);
			column = 0;
		}
	}
	if (column)
		fputc('\n', to);
}

/* Each line loses as many blanks as the first one has. */
static void man_literal(FILE *to, const char *text, const char *end)
{
	size_t margin = strspn(text, " \t");

	fputs(".Bd -literal -offset indent\n", to);
	for (const char *next; text < end; text = next + 1) {
		next = opt_line_end(text, end);
		for (size_t i = 0; i < margin && text < next && isblank((unsigned char)*text); i++)
			text++;
		man_word(to, text, (size_t)(next - text), true);
		fputc('\n', to);
	}
	fputs(".Ed\n", to);
}

static void man_list(FILE *to, const char *text, const char *end)
{
	fputs(".Bl -tag -width Ds\n", to);
	for (const char *next; text < end; text = next + 1) {
		const char *tab;

		next = opt_line_end(text, end);
		tab = memchr(text, '\t', (size_t)(next - text));
		if (tab) {
			fputs(".It ", to);
			man_word(to, text, (size_t)(tab - text), true);
			fputc('\n', to);
			text = tab + 1;
		}
		man_fill(to, text, next);
	}
	fputs(".El\n", to);
}

/* Is the line a heading of the epilogue, "EXIT STATUS:"? */
static bool is_heading(const char *line, const char *end)
{
	if (end - line < 3 || end[-1] != ':')
		return false;
	for (; line < end - 1; line++) {
		if (!isupper((unsigned char)*line) && *line != ' ')
			return false;
	}
	return true;
}

/* One paragraph, in the form that its first line asks for; @follows: it comes directly after another. */
static void man_paragraph(FILE *to, const char *text, const char *end, bool follows)
{
	const char *eol = opt_line_end(text, end);

	if (is_heading(text, eol)) {
		fprintf(to, ".Sh %.*s\n", (int)(eol - text - 1), text);
		if (eol < end)
			man_paragraph(to, eol + 1, end, false);
		return;
	}
	if (opt_is_list(text, end)) {
		man_list(to, text, end);
	} else if (isblank((unsigned char)*text)) {
		man_literal(to, text, end);
	} else {
		fputs(follows ? ".Pp\n" : "", to);
		man_fill(to, text, end);
	}
}

static void man_text(FILE *to, const char *text)
{
	const char *end;
	bool follows = false;

	for (; *text; text = end) {
		while (*text == '\n')
			text++;
		if (!*text)
			break;
		end = opt_paragraph_end(text);
		man_paragraph(to, text, end, follows);
		follows = true;
	}
}

static void man_spelling(FILE *to, const struct opt *opt)
{
	fputs(".It ", to);
	if (opt->key)
		fprintf(to, "Fl %c , ", opt->key);
	fprintf(to, "Fl \\-%s", opt->name);
	if (opt->type == OPT_BOOL)
		fprintf(to, " , Fl \\-no-%s", opt->name);
	else if (opt->type != OPT_ACTION)
		fprintf(to, " Ns = Ns Ar \"%s\"", opt->arg ? opt->arg : "VALUE");
	fputc('\n', to);
}

/* What the parser accepts, the default, and whether a new value requires a restart. */
static void man_facts(FILE *to, const struct opt *opt)
{
	bool restart = opt->on_reload == OPT_RELOAD_RESTART;
	char bounds[OPT_WHY_LEN];

	opt_bounds(opt, bounds, sizeof(bounds));
	if (!*bounds && !default_of(opt) && !restart)
		return;
	fputs(".Pp\n", to);
	*bounds = (char)toupper((unsigned char)*bounds);
	if (*bounds && !default_of(opt))
		fprintf(to, "%s.\n", bounds);
	else if (*bounds)
		man_fill(to, bounds, bounds + strlen(bounds));
	if (default_of(opt)) {
		fputs(*bounds ? "(default\n" : "Default:\n", to);
		man_word(to, default_of(opt), strlen(default_of(opt)), true);
		fputs(*bounds ? ")" : "", to);
		fputs(".\n", to);
	}
	if (restart)
		fputs("Changes require a restart.\n", to);
}

/* The keys of a block by name, a paragraph for each group. */
static void man_keys(FILE *to, const struct opt *keys)
{
	for (const struct opt *key = keys; key->name; key++) {
		if (key->section)
			fprintf(to, ".\n.Pp\n%c%s:", toupper((unsigned char)*key->section), key->section + 1);
		else if (key == keys)
			fputs(".Pp\nKeys:", to);
		else
			fputc(',', to);
		fprintf(to, "\n%s", key->name);
	}
	fputs(".\n", to);
}

static void man_block(FILE *to, const struct opt *opt)
{
	fprintf(to, ".It %s \\(dq%s\\(dq { Ar KEY = Ar VALUE ... }\n", opt->name, opt->arg);
	man_fill(to, opt->help, opt->help + strlen(opt->help));
	if (opt->more) {
		fputs(".Pp\n", to);
		man_text(to, opt->more);
	}
	man_keys(to, opt->keys);
}

static void man_options(FILE *to, const struct opt *table)
{
	bool open = false;

	for (const struct opt *opt = table; opt->name; opt++) {
		if (opt->section || !open) {
			fputs(open ? ".El\n" : "", to);
			fprintf(to, ".Ss %s\n.Bl -tag -width Ds\n", opt->section ? opt->section : "General");
			open = true;
		}
		if (!opt->help)
			continue;
		if (opt->type == OPT_BLOCKS) {
			man_block(to, opt);
			continue;
		}
		man_spelling(to, opt);
		man_fill(to, opt->help, opt->help + strlen(opt->help));
		if (opt->more) {
			fputs(".Pp\n", to);
			man_text(to, opt->more);
		}
		man_facts(to, opt);
	}
	fputs(open ? ".El\n" : "", to);
}

static void man_commands(FILE *to, const struct opt_command *command)
{
	fputs(".Sh COMMANDS\n.Bl -tag -width Ds\n", to);
	for (; command->name; command++) {
		fprintf(to, ".It Cm %s", command->name);
		if (*command->operands)
			fprintf(to, " Ar \"%s\"", command->operands);
		fputc('\n', to);
		man_text(to, command->more ? command->more : command->help);
	}
	fputs(".El\n", to);
}

static void man_head(const struct opt_program *program, FILE *to)
{
	fputs(".\\\" Generated by the program from its table of options.\n.Dd " MAN_DATE "\n.Dt ", to);
	for (const char *p = program->name; *p; p++)
		fputc(toupper((unsigned char)*p), to);
	fprintf(to, " %u\n.Os taio %s\n", program->man_section, TAIO_VERSION);
	fprintf(to, ".Sh NAME\n.Nm %s\n.Nd ", program->name);
	man_fill(to, program->brief, program->brief + strlen(program->brief));
	fputs(".Sh SYNOPSIS\n", to);
	for (size_t i = 0; program->synopsis[i]; i++) {
		fputs(".Nm\n", to);
		man_fill(to, program->synopsis[i], program->synopsis[i] + strlen(program->synopsis[i]));
	}
}

void opt_man(const struct opt_program *program, FILE *to)
{
	man_head(program, to);
	fputs(".Sh DESCRIPTION\n", to);
	man_text(to, program->description);
	if (program->commands)
		man_commands(to, program->commands);
	fputs(".Sh OPTIONS\n", to);
	man_options(to, program->table);
	if (program->epilogue)
		man_text(to, program->epilogue);
}
