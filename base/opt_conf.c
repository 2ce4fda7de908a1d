/* SPDX-License-Identifier: MIT */
/*
 * The configuration file, read by libconfuse. One thread at a time: libconfuse's lexer is global, and its
 * callbacks take no argument of ours.
 *
 * For libconfuse every key is a string or a list of strings, so that 30, 30s and "30s" all reach one set of
 * parsers; the validation callback rejects a bad value while the line number is known.
 */
#include "opt_table.h"
#include "opt_value.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What the callbacks of the parse in progress work on. */
static struct parse {
	const struct opt_program *program;
	void *settings;
	char *why;
} parse;

/* Keeps the first message; later ones are consequences of it. */
static void on_error(cfg_t *cfg, const char *fmt, va_list args)
{
	int len;

	if (*parse.why)
		return;
	len = snprintf(parse.why, OPT_WHY_LEN, "%.200s:%d: ", cfg->filename, cfg->line);
	vsnprintf(parse.why + len, OPT_WHY_LEN - (size_t)len, fmt, args);
}

static int on_value(cfg_t *cfg, cfg_opt_t *key)
{
	const struct opt *opt = opt_find(parse.program, cfg_opt_name(key));
	char reason[OPT_WHY_LEN];

	if (!opt_assign(opt, parse.settings, cfg_opt_getnstr(key, 0), reason))
		return 0;
	cfg_error(cfg, "%s: %s", opt->name, reason);
	return -1;
}

/* fetch_lists() takes the items once the file is read; each is checked here, where its line is known. */
static int on_item(cfg_t *cfg, cfg_opt_t *key)
{
	const struct opt *opt = opt_find(parse.program, cfg_opt_name(key));
	unsigned int n = cfg_opt_size(key);
	char reason[OPT_WHY_LEN];

	if (!n || !opt->check(cfg_opt_getnstr(key, n - 1), reason))
		return 0;
	cfg_error(cfg, "%s: %s", opt->name, reason);
	return -1;
}

/* libconfuse words it as "no such option 'NAME'". */
static void explain_unknown(char *why)
{
	static const char words[] = "no such option '";
	char *name = strstr(why, words);
	const struct opt *near;
	size_t len;

	if (!name)
		return;
	name += sizeof(words) - 1;
	len = strlen(name);
	name[len - 1] = '\0';
	near = opt_nearest(parse.program, name);
	name[len - 1] = '\'';
	if (near && opt_is_key(near))
		snprintf(name + len, OPT_WHY_LEN - (size_t)(name + len - why), "; did you mean '%s'?",
			 near->name);
	else
		snprintf(name + len, OPT_WHY_LEN - (size_t)(name + len - why), "; see %s --help",
			 parse.program->name);
}

static cfg_opt_t *make_keys(const struct opt_program *program)
{
	const struct opt *opt;
	cfg_opt_t *keys, *next;
	size_t n = 1;

	for (opt = program->table; opt->name; opt++)
		n++;
	keys = next = calloc(n, sizeof(*keys));
	if (!keys)
		return NULL;
	for (opt = program->table; opt->name; opt++) {
		if (opt->type == OPT_LIST && opt_is_key(opt))
			*next++ = (cfg_opt_t)CFG_STR_LIST(opt->name, NULL, CFGF_NODEFAULT);
		else if (opt_is_key(opt))
			*next++ = (cfg_opt_t)CFG_STR(opt->name, NULL, CFGF_NODEFAULT);
	}
	*next = (cfg_opt_t)CFG_END();
	return keys;
}

/* Gives libconfuse the current items, for += to append to. */
static int seed_list(cfg_opt_t *key, const struct opt_list *list)
{
	for (size_t i = 0; i < list->len; i++) {
		if (cfg_opt_setnstr(key, list->items[i], (unsigned int)i) != CFG_SUCCESS)
			return -ENOMEM;
	}
	return 0;
}

static int fetch_list(cfg_opt_t *key, const struct opt *opt, void *settings)
{
	int err = 0;

	opt_clear(opt, settings);
	for (unsigned int i = 0; !err && i < cfg_opt_size(key); i++)
		err = opt_assign(opt, settings, cfg_opt_getnstr(key, i), parse.why);
	return err;
}

/* Before the parse: the lists' items and the callbacks. */
static int prepare_keys(cfg_t *cfg, const struct opt_program *program, void *settings)
{
	int err = 0;

	for (const struct opt *opt = program->table; !err && opt->name; opt++) {
		if (!opt_is_key(opt))
			continue;
		if (opt->type == OPT_LIST)
			err = seed_list(cfg_getopt(cfg, opt->name), opt_list_of(opt, settings));
		if (opt->type != OPT_LIST || opt->check)
			cfg_set_validate_func(cfg, opt->name, opt->type == OPT_LIST ? on_item : on_value);
	}
	return err;
}

static int fetch_lists(cfg_t *cfg, const struct opt_program *program, void *settings)
{
	int err = 0;

	for (const struct opt *opt = program->table; !err && opt->name; opt++) {
		if (opt->type == OPT_LIST && opt_is_key(opt))
			err = fetch_list(cfg_getopt(cfg, opt->name), opt, settings);
	}
	return err;
}

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
 * the file without comments.
 */
static void copy_without_comments(FILE *from, FILE *to)
{
	int c, before = EOF;

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
		if (c == '"' || c == '\'')
			copy_quoted(from, to, c);
	}
	/* fmemopen(3) wants at least one byte. */
	putc(' ', to);
}

static int parse_stream(FILE *from, const char *file, const struct opt_program *program, void *settings)
{
	cfg_opt_t *keys = make_keys(program);
	cfg_t *cfg = keys ? cfg_init(keys, CFGF_NONE) : NULL;
	int err = -ENOMEM;

	if (!cfg)
		goto no_cfg;
	cfg->filename = strdup(file); /* cfg_free() frees it */
	if (!cfg->filename)
		goto out;
	err = prepare_keys(cfg, program, settings);
	if (err)
		goto out;
	cfg_set_error_function(cfg, on_error);
	if (cfg_parse_fp(cfg, from) != CFG_SUCCESS) {
		explain_unknown(parse.why);
		err = -EINVAL;
		goto out;
	}
	err = fetch_lists(cfg, program, settings);
out:
	cfg_free(cfg);
no_cfg:
	free(keys);
	return err;
}

static int parse_file(FILE *from, const char *file, const struct opt_program *program, void *settings)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	int err = -ENOMEM;

	if (!to)
		return err;
	copy_without_comments(from, to);
	if (fclose(to))
		goto free_text;
	from = fmemopen(text, len, "r");
	if (!from)
		goto free_text;
	err = parse_stream(from, file, program, settings);
	fclose(from);
free_text:
	free(text);
	return err;
}

/* fopen(3) opens a directory, on which the lexer would end the process. */
static FILE *open_file(const char *file)
{
	FILE *from = fopen(file, "re");
	struct stat st;

	if (from && !fstat(fileno(from), &st) && S_ISDIR(st.st_mode)) {
		fclose(from);
		errno = EISDIR;
		return NULL;
	}
	return from;
}

int opt_file(const struct opt_program *program, void *settings, const char *file, char *why)
{
	FILE *from = open_file(file);
	int err;

	if (!from) {
		err = -errno;
		snprintf(why, OPT_WHY_LEN, "cannot read %.300s: %s", file, strerror(-err));
		return err;
	}
	*why = '\0';
	parse = (struct parse){.program = program, .settings = settings, .why = why};
	err = parse_file(from, file, program, settings);
	fclose(from);
	if (err && !*why)
		snprintf(why, OPT_WHY_LEN, "%.300s: %s", file,
			 err == -ENOMEM ? "out of memory" : "not a configuration file");
	return err;
}
