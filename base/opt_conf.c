/* SPDX-License-Identifier: MIT */
/*
 * The configuration file, read by libconfuse. One thread at a time: libconfuse's lexer is global, and its
 * callbacks take no argument of ours.
 *
 * For libconfuse every key is a string or a list of strings, so that 30, 30s and "30s" all reach one set of
 * parsers; the validation callback rejects a bad value while the line number is known. An included file is
 * read from within the callback of its line, which is a parse inside a parse.
 */
#include "opt_block.h"
#include "opt_include.h"
#include "opt_strip.h"
#include "opt_table.h"
#include "opt_value.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INCLUDE	  "include"
#define DEPTH_MAX 8

/* A file that is being read. */
struct source {
	const struct source *outer; /* includes it; NULL: the first */
	const char *file;
	unsigned int depth;
	dev_t dev;
	ino_t ino;
	cfg_t *cfg;
};

/* What the callbacks of the parse in progress work on. */
static struct parse {
	const struct opt_program *program;
	void *settings;
	char *why;
	const struct source *source;
	cfg_t **read; /* to be freed at the end: cfg_free() resets the lexer, which includers still use */
	size_t nread;
	struct opt_block block; /* the one that is being read; without a title, none */
	int block_line;		/* where it begins */
} parse;

/* --- errors --- */

/* The row of a block's own section. */
static const struct opt *row_of(const cfg_t *section)
{
	return opt_find(parse.program, cfg_name((cfg_t *)section));
}

static bool is_section(const cfg_t *cfg)
{
	return cfg != parse.source->cfg;
}

/* "; allowed are service, tls; with http root" */
static void list_keys(FILE *to, const struct opt *keys)
{
	fputs("; allowed are", to);
	for (const struct opt *key = keys; key->name; key++) {
		if (key->section)
			fprintf(to, "; %s %s", key->section, key->name);
		else
			fprintf(to, "%s %s", key == keys ? "" : ",", key->name);
	}
}

/* libconfuse words it as "no such option 'NAME'". */
static void explain_unknown(const cfg_t *cfg, char *why)
{
	static const char words[] = "no such option '";
	const struct opt *keys = is_section(cfg) ? row_of(cfg)->keys : parse.program->table, *near;
	char *name = strstr(why, words);
	FILE *to;

	if (!name)
		return;
	name += sizeof(words) - 1;
	name[strlen(name) - 1] = '\0';
	near = opt_nearest(keys, name);
	name[strlen(name)] = '\'';
	to = fmemopen(name + strlen(name), OPT_WHY_LEN - (size_t)(name + strlen(name) - why), "w");
	if (!to)
		return;
	if (near && (is_section(cfg) || opt_is_key(near)))
		fprintf(to, "; did you mean '%s'?", near->name);
	else if (is_section(cfg))
		list_keys(to, keys);
	else
		fprintf(to, "; see %s --help", parse.program->name);
	fclose(to);
}

/* Keeps the first message; later ones are consequences of it. */
static void on_error(cfg_t *cfg, const char *fmt, va_list args)
{
	int len;

	if (*parse.why)
		return;
	len = snprintf(parse.why, OPT_WHY_LEN, "%.200s:%d: ", cfg->filename, cfg->line);
	vsnprintf(parse.why + len, OPT_WHY_LEN - (size_t)len, fmt, args);
	explain_unknown(cfg, parse.why);
}

static int no_memory(cfg_t *cfg)
{
	cfg_error(cfg, "out of memory");
	return -1;
}

/* --- values --- */

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

	if (!opt->check || !n || !opt->check(cfg_opt_getnstr(key, n - 1), reason))
		return 0;
	cfg_error(cfg, "%s: %s", opt->name, reason);
	return -1;
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

static int seed_lists(cfg_t *cfg)
{
	int err = 0;

	for (const struct opt *opt = parse.program->table; !err && opt->name; opt++) {
		if (opt->type != OPT_LIST || !opt_is_key(opt))
			continue;
		cfg_free_value(cfg_getopt(cfg, opt->name));
		err = seed_list(cfg_getopt(cfg, opt->name), opt_list_of(opt, parse.settings));
	}
	return err;
}

static int fetch_list(cfg_opt_t *key, const struct opt *opt)
{
	int err = 0;

	opt_clear(opt, parse.settings);
	for (unsigned int i = 0; !err && i < cfg_opt_size(key); i++)
		err = opt_assign(opt, parse.settings, cfg_opt_getnstr(key, i), parse.why);
	return err;
}

static int fetch_lists(cfg_t *cfg)
{
	int err = 0;

	for (const struct opt *opt = parse.program->table; !err && opt->name; opt++) {
		if (opt->type == OPT_LIST && opt_is_key(opt))
			err = fetch_list(cfg_getopt(cfg, opt->name), opt);
	}
	return err;
}

/* --- blocks --- */

/* Within the section, the line of the file's cfg_t stays where it begins. */
static int block_begin(const cfg_t *section)
{
	if (parse.block.title)
		return 0;
	parse.block.title = strdup(cfg_title((cfg_t *)section));
	parse.block_line = parse.source->cfg->line;
	return parse.block.title ? 0 : -ENOMEM;
}

static int on_block_value(cfg_t *section, cfg_opt_t *key)
{
	if (block_begin(section))
		return no_memory(section);
	opt_block_remove(&parse.block, cfg_opt_name(key));
	if (opt_block_add(&parse.block, cfg_opt_name(key), cfg_opt_getnstr(key, 0),
			  (unsigned int)section->line))
		return no_memory(section);
	return 0;
}

static unsigned int count_entries(const char *name)
{
	unsigned int n = 0;

	for (size_t i = 0; i < parse.block.len; i++)
		n += !strcmp(parse.block.entries[i].name, name);
	return n;
}

/* Called for each item, and for the last again at the closing brace of a list. */
static int on_block_item(cfg_t *section, cfg_opt_t *key)
{
	const char *name = cfg_opt_name(key);
	unsigned int n = cfg_opt_size(key), have = count_entries(name);

	if (block_begin(section))
		return no_memory(section);
	if (n < have ||
	    (n == have && n == 1 &&
	     strcmp(cfg_opt_getnstr(key, 0), parse.block.entries[parse.block.len - 1].text) != 0)) {
		opt_block_remove(&parse.block, name); /* another list takes its place */
		have = 0;
	}
	if (n > have &&
	    opt_block_add(&parse.block, name, cfg_opt_getnstr(key, n - 1), (unsigned int)section->line))
		return no_memory(section);
	return 0;
}

/* Of a list that was emptied nothing is told. */
static void drop_emptied(cfg_t *section, const struct opt *keys)
{
	for (const struct opt *key = keys; key->name; key++) {
		if (key->type == OPT_LIST && !cfg_size(section, key->name))
			opt_block_remove(&parse.block, key->name);
	}
}

static int refuse_block(cfg_t *cfg, size_t at, const char *why)
{
	const struct opt_block *block = &parse.block;

	cfg->line = at < block->len ? (int)block->entries[at].line : parse.block_line;
	if (at < block->len)
		cfg_error(cfg, "%s: %s", block->entries[at].name, why);
	else
		cfg_error(cfg, "%s", why);
	return -1;
}

/* The closing brace. The section goes at once, so that another with the same title is another block. */
static int on_block(cfg_t *cfg, cfg_opt_t *key)
{
	const struct opt *opt = opt_find(parse.program, cfg_opt_name(key));
	cfg_t *section = cfg_opt_getnsec(key, 0);
	char reason[OPT_WHY_LEN];
	size_t at = 0;

	if (block_begin(section))
		return no_memory(cfg);
	drop_emptied(section, opt->keys);
	cfg_free_value(key);
	if (opt->check_block && opt->check_block(&parse.block, &at, reason))
		return refuse_block(cfg, at, reason);
	if (opt_blocks_append(opt_blocks_of(opt, parse.settings), &parse.block))
		return no_memory(cfg);
	return 0;
}

/* --- the keys, for libconfuse --- */

static int on_include(cfg_t *cfg, cfg_opt_t *key);

static size_t count_rows(const struct opt *table)
{
	size_t n = 0;

	while (table[n].name)
		n++;
	return n;
}

static cfg_opt_t *make_block_keys(const struct opt *rows)
{
	cfg_opt_t *keys = calloc(count_rows(rows) + 1, sizeof(*keys)), *next = keys;

	for (const struct opt *row = rows; keys && row->name; row++, next++) {
		if (row->type == OPT_LIST)
			*next = (cfg_opt_t)CFG_STR_LIST(row->name, NULL, CFGF_NODEFAULT);
		else
			*next = (cfg_opt_t)CFG_STR(row->name, NULL, CFGF_NODEFAULT);
		next->validcb = row->type == OPT_LIST ? on_block_item : on_block_value;
	}
	if (keys)
		*next = (cfg_opt_t)CFG_END();
	return keys;
}

static int make_key(cfg_opt_t *key, const struct opt *opt)
{
	cfg_opt_t *keys;

	switch (opt->type) {
	case OPT_LIST:
		*key = (cfg_opt_t)CFG_STR_LIST(opt->name, NULL, CFGF_NODEFAULT);
		key->validcb = on_item;
		return 0;
	case OPT_BLOCKS:
		keys = make_block_keys(opt->keys);
		*key = (cfg_opt_t)CFG_SEC(opt->name, keys, CFGF_MULTI | CFGF_TITLE);
		key->validcb = on_block;
		return keys ? 0 : -ENOMEM;
	default:
		*key = (cfg_opt_t)CFG_STR(opt->name, NULL, CFGF_NODEFAULT);
		key->validcb = on_value;
		return 0;
	}
}

static void free_keys(cfg_opt_t *keys)
{
	for (cfg_opt_t *key = keys; key && key->name; key++)
		free(key->subopts);
	free(keys);
}

static cfg_opt_t *make_keys(const struct opt_program *program)
{
	cfg_opt_t *keys = calloc(count_rows(program->table) + 2, sizeof(*keys)), *next = keys;

	if (!keys)
		return NULL;
	*next = (cfg_opt_t)CFG_STR(INCLUDE, NULL, CFGF_NODEFAULT);
	next++->validcb = on_include;
	for (const struct opt *opt = program->table; opt->name; opt++) {
		if (opt_is_key(opt) && make_key(next++, opt)) {
			free_keys(keys);
			return NULL;
		}
	}
	*next = (cfg_opt_t)CFG_END();
	return keys;
}

/* --- files --- */

/* Freed by free_read(). */
static cfg_t *make_cfg(const char *file)
{
	cfg_t **read = reallocarray(parse.read, parse.nread + 1, sizeof(cfg_t *)), *cfg = NULL;
	cfg_opt_t *keys = make_keys(parse.program);

	if (read)
		parse.read = read;
	if (read && keys)
		cfg = cfg_init(keys, CFGF_NONE);
	free_keys(keys);
	if (!cfg)
		return NULL;
	parse.read[parse.nread++] = cfg;
	cfg->filename = strdup(file); /* cfg_free() frees it */
	return cfg->filename ? cfg : NULL;
}

static void free_read(void)
{
	while (parse.nread)
		cfg_free(parse.read[--parse.nread]);
	free(parse.read);
}

static int parse_stream(FILE *from, struct source *source, bool is_open)
{
	const struct source *outer = parse.source;
	cfg_t *cfg = make_cfg(source->file);
	int err = cfg ? seed_lists(cfg) : -ENOMEM;

	if (err)
		return err;
	cfg_set_error_function(cfg, on_error);
	source->cfg = cfg;
	parse.source = source;
	err = cfg_parse_fp(cfg, from) == CFG_SUCCESS ? fetch_lists(cfg) : -EINVAL;
	if (!err && is_open) {
		cfg_error(cfg, "premature end of file: a closing brace is missing");
		err = -EINVAL;
	}
	parse.source = outer;
	return err;
}

static int parse_file(FILE *from, struct source *source)
{
	char *text = NULL;
	size_t len = 0;
	bool is_open;
	int err = opt_strip(from, &text, &len, &is_open);

	if (err)
		return err;
	from = fmemopen(text, len, "r");
	if (from) {
		err = parse_stream(from, source, is_open);
		fclose(from);
	} else {
		err = -ENOMEM;
	}
	free(text);
	return err;
}

/* fopen(3) opens a directory, on which the lexer would end the process. */
static FILE *open_file(struct source *source)
{
	FILE *from = fopen(source->file, "re");
	struct stat st;

	if (!from)
		return NULL;
	if (fstat(fileno(from), &st) || S_ISDIR(st.st_mode)) {
		fclose(from);
		errno = EISDIR;
		return NULL;
	}
	source->dev = st.st_dev;
	source->ino = st.st_ino;
	return from;
}

static bool is_being_read(const struct source *source)
{
	for (const struct source *s = source->outer; s; s = s->outer) {
		if (s->dev == source->dev && s->ino == source->ino)
			return true;
	}
	return false;
}

typedef __attribute__((format(printf, 1, 2))) void complain_fn(const char *fmt, ...);

/* Reads @file, which parse.source includes, or which is the first. On failure there is a message, unless
 * memory is short. */
static int read_file(const char *file, complain_fn *complain)
{
	struct source source = {.outer = parse.source, .file = file};
	FILE *from;
	int err = 0;

	source.depth = source.outer ? source.outer->depth + 1 : 0;
	from = open_file(&source);
	if (!from) {
		err = -errno;
		complain("cannot read %.300s: %s", file, strerror(-err));
		return err;
	}
	if (is_being_read(&source)) {
		complain("%.300s is being read already; files cannot include each other in a circle", file);
		err = -EINVAL;
	} else if (source.depth > DEPTH_MAX) {
		complain("%.300s is included more than %d files deep", file, DEPTH_MAX);
		err = -EINVAL;
	} else {
		err = parse_file(from, &source);
		if (err == -EIO)
			complain("cannot read %.300s: %s", file, strerror(EIO));
	}
	fclose(from);
	return err;
}

/* --- include --- */

/* Names the line of the include. */
static void complain_of_include(const char *fmt, ...)
{
	char reason[OPT_WHY_LEN / 2];
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	cfg_error(parse.source->cfg, "%s: %s", INCLUDE, reason);
}

/* A directory that does not exist has nothing that matches. */
static int on_glob_error(const char *path, int err)
{
	if (err == ENOENT)
		return 0;
	complain_of_include("cannot read %.300s: %s", path, strerror(err));
	return -1;
}

static int include_pattern(const char *pattern)
{
	glob_t found = {0};
	int ret = glob(pattern, 0, on_glob_error, &found), err = 0;

	if (ret == GLOB_NOSPACE)
		err = -ENOMEM;
	else if (ret && ret != GLOB_NOMATCH)
		err = -EINVAL;
	for (size_t i = 0; !err && i < found.gl_pathc; i++)
		err = read_file(found.gl_pathv[i], complain_of_include);
	globfree(&found);
	return err;
}

static int include(const char *name)
{
	char *path = opt_include_path(parse.source->file, name);
	int err = -ENOMEM;

	if (path)
		err = opt_is_pattern(name) ? include_pattern(path) : read_file(path, complain_of_include);
	free(path);
	return err;
}

/* The lists are in the settings while another file is read. */
static int on_include(cfg_t *cfg, cfg_opt_t *key)
{
	int err = fetch_lists(cfg);

	if (!err)
		err = include(cfg_opt_getnstr(key, 0));
	if (!err)
		err = seed_lists(cfg);
	return err == -ENOMEM ? no_memory(cfg) : err ? -1 : 0;
}

/* --- */

static void complain_of_first(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(parse.why, OPT_WHY_LEN, fmt, args);
	va_end(args);
}

/* Names and values may hold anything, but a message is one line. */
static void make_one_line(char *why)
{
	for (; *why; why++)
		if (iscntrl((unsigned char)*why))
			*why = '?';
}

int opt_file(const struct opt_program *program, void *settings, const char *file, char *why)
{
	int err;

	*why = '\0';
	parse = (struct parse){.program = program, .settings = settings, .why = why};
	err = read_file(file, complain_of_first);
	opt_block_clear(&parse.block);
	free_read();
	make_one_line(why);
	if (err && !*why)
		snprintf(why, OPT_WHY_LEN, "%.300s: %s", file,
			 err == -ENOMEM ? "out of memory" : "not a configuration file");
	return err;
}
