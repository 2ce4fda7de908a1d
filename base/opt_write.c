/* SPDX-License-Identifier: MIT */
/*
 * The configuration file, written: a commented sample, or the effective values, which opt_conf.c reads back
 * as the same. Pure output; any thread.
 */
#include "opt_table.h"
#include "opt_text.h"
#include "opt_value.h"

#include <stdlib.h>
#include <string.h>

/* Single quotes where double quotes would expand ${...} or treat a backslash as an escape. */
static void write_quoted(FILE *to, const char *text)
{
	char quote = strpbrk(text, "$\\\"") ? '\'' : '"';

	fputc(quote, to);
	for (; *text; text++) {
		if (quote == '\'' && (*text == '\'' || *text == '\\'))
			fputc('\\', to);
		fputc(*text, to);
	}
	fputc(quote, to);
}

static void write_scalar(FILE *to, const struct opt *opt, const char *text)
{
	if (opt->type == OPT_BOOL || opt->type == OPT_UINT)
		fputs(text, to);
	else
		write_quoted(to, text);
}

static void write_list(FILE *to, const struct opt *opt, char *const *items, size_t len)
{
	fprintf(to, "%s = {", opt->name);
	for (size_t i = 0; i < len; i++) {
		fputs(i ? ", " : "", to);
		write_quoted(to, items[i]);
	}
	fputs("}\n", to);
}

/* The commented-out assignment; without a default it shows what kind of value is expected. */
static void sample_key(FILE *to, const struct opt *opt)
{
	const char *value = opt->deflt ? opt->deflt : opt->arg ? opt->arg : "";

	fputc('#', to);
	if (opt->type == OPT_LIST) {
		write_list(to, opt, (char *const *)&value, 1);
		return;
	}
	if (!opt->deflt && opt->type == OPT_BOOL)
		value = "no";
	fprintf(to, "%s = ", opt->name);
	write_scalar(to, opt, value);
	fputc('\n', to);
}

static void write_comment(FILE *to, const char *text)
{
	fputs("# ", to);
	opt_fill(to, text, 2, "# ", 79);
}

/* "(from 1 to 64; changes require a restart)" */
static void sample_facts(FILE *to, const struct opt *opt)
{
	const char *restart = opt->on_reload == OPT_RELOAD_RESTART ? "changes require a restart" : "";
	char bounds[OPT_WHY_LEN], line[OPT_WHY_LEN + 32];

	opt_bounds(opt, bounds, sizeof(bounds));
	if (!*bounds && !*restart)
		return;
	snprintf(line, sizeof(line), "(%s%s%s)", bounds, *bounds && *restart ? "; " : "", restart);
	write_comment(to, line);
}

static void sample_option(FILE *to, const struct opt *opt)
{
	write_comment(to, opt->help);
	if (opt->more) {
		fputs("#\n", to);
		write_comment(to, opt->more);
	}
	sample_facts(to, opt);
	sample_key(to, opt);
	fputc('\n', to);
}

void opt_sample(const struct opt_program *program, FILE *to)
{
	const char *section = NULL, *written = NULL;

	fprintf(to, "# Configuration of %s: %s.\n#\n", program->name, program->brief);
	fprintf(to, "# Keys are the names of the long options; the command line overrides this file.\n"
		    "# What is commented out is the default, or in capitals the kind of value expected.\n\n");
	for (const struct opt *opt = program->table; opt->name; opt++) {
		section = opt->section ? opt->section : section;
		if (!opt_is_key(opt))
			continue;
		if (section && (!written || strcmp(section, written)))
			fprintf(to, "### %s\n\n", section);
		written = section;
		sample_option(to, opt);
	}
}

static void dump_option(FILE *to, const struct opt *opt, const void *settings)
{
	const struct opt_list *list = opt_list_of(opt, (void *)settings);
	char *text;

	if (opt->type == OPT_LIST) {
		write_list(to, opt, list->items, list->len);
		return;
	}
	text = opt_value_text(opt, settings);
	if (text) {
		fprintf(to, "%s = ", opt->name);
		write_scalar(to, opt, text);
		fputc('\n', to);
	} else {
		fprintf(to, "#%s is not set\n", opt->name);
	}
	free(text);
}

void opt_dump(const struct opt_program *program, const void *settings, FILE *to)
{
	for (const struct opt *opt = program->table; opt->name; opt++) {
		if (opt_is_key(opt))
			dump_option(to, opt, settings);
	}
}
