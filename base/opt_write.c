/* SPDX-License-Identifier: MIT */
/*
 * The configuration file, written: a commented sample, or the effective values, which opt_conf.c reads back
 * as the same. Pure output; any thread.
 */
#include "opt_table.h"
#include "opt_text.h"
#include "opt_value.h"

#include <ctype.h>
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

/* The assignment; without a default it shows what kind of value is expected. */
static void sample_key(FILE *to, const struct opt *opt)
{
	const char *value = opt->deflt ? opt->deflt : opt->arg ? opt->arg : "";

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

/* A block with every key that it may hold. */
static void sample_block(FILE *to, const struct opt *opt)
{
	fprintf(to, "#%s \"%s\" {\n", opt->name, opt->arg);
	for (const struct opt *key = opt->keys; key->name; key++) {
		if (key->section)
			fprintf(to, "#\n#\t# %c%s:\n", toupper((unsigned char)*key->section),
				key->section + 1);
		fputs("#\t", to);
		sample_key(to, key);
	}
	fputs("#}\n", to);
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
	if (opt->type == OPT_BLOCKS) {
		sample_block(to, opt);
	} else {
		fputc('#', to);
		sample_key(to, opt);
	}
	fputc('\n', to);
}

void opt_sample(const struct opt_program *program, FILE *to)
{
	const char *section = NULL, *written = NULL;

	fprintf(to, "# Configuration of %s: %s.\n#\n", program->name, program->brief);
	fprintf(to, "# Keys are the names of the long options; the command line overrides this file.\n"
		    "# What is commented out is the default, or in capitals the kind of value expected.\n"
		    "# include = \"conf.d/*.conf\" reads other files in its place.\n\n");
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

static void dump_items(FILE *to, const struct opt_block *block, const struct opt *key)
{
	const char *before = "{";

	fprintf(to, "%s = ", key->name);
	for (size_t i = 0; i < block->len; i++) {
		if (strcmp(block->entries[i].name, key->name) != 0)
			continue;
		fputs(before, to);
		write_quoted(to, block->entries[i].text);
		before = ", ";
	}
	fputs("}\n", to);
}

/* The items of a list are written where its first one is. */
static bool is_first(const struct opt_block *block, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (!strcmp(block->entries[i].name, block->entries[at].name))
			return false;
	}
	return true;
}

static void dump_block(FILE *to, const struct opt *opt, const struct opt_block *block)
{
	fprintf(to, "%s ", opt->name);
	write_quoted(to, block->title);
	fputs(" {\n", to);
	for (size_t i = 0; i < block->len; i++) {
		const struct opt *key = opt_find_row(opt->keys, block->entries[i].name);

		if (!is_first(block, i))
			continue;
		fputc('\t', to);
		if (key->type == OPT_LIST) {
			dump_items(to, block, key);
			continue;
		}
		fprintf(to, "%s = ", key->name);
		write_quoted(to, block->entries[i].text);
		fputc('\n', to);
	}
	fputs("}\n", to);
}

static void dump_blocks(FILE *to, const struct opt *opt, const struct opt_blocks *blocks)
{
	for (size_t i = 0; i < blocks->len; i++)
		dump_block(to, opt, &blocks->items[i]);
}

static void dump_option(FILE *to, const struct opt *opt, const void *settings)
{
	const struct opt_list *list = opt_list_of(opt, (void *)settings);
	char *text;

	if (opt->type == OPT_LIST) {
		write_list(to, opt, list->items, list->len);
		return;
	}
	if (opt->type == OPT_BLOCKS) {
		dump_blocks(to, opt, opt_blocks_of(opt, (void *)settings));
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
