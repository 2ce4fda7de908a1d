/* SPDX-License-Identifier: MIT */
/*
 * The command line: getopt_long(3) driven by the option table. Called at start-up and on reload, by one
 * thread at a time: getopt_long(3) keeps its position in globals.
 */
#include "opt_table.h"
#include "opt_value.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/*
 * getopt_long(3)'s tables made from ours. A long option has the value LONG_BASE + 2 * row, --no-NAME 1
 * more.
 */
#define LONG_BASE 256

struct scan {
	const struct opt_program *program;
	struct option *longs;
	char **negations; /* "no-NAME" of each row or NULL */
	char *shorts;
	size_t rows;
};

static size_t count_rows(const struct opt_program *program)
{
	size_t rows = 0;

	while (program->table[rows].name)
		rows++;
	return rows;
}

static void scan_end(struct scan *scan)
{
	for (size_t i = 0; scan->negations && i < scan->rows; i++)
		free(scan->negations[i]);
	free(scan->negations);
	free(scan->shorts);
	free(scan->longs);
}

static int argument_of(const struct opt *opt)
{
	if (opt->type == OPT_ACTION)
		return no_argument;
	return opt->type == OPT_BOOL || opt->bare ? optional_argument : required_argument;
}

static void add_short(struct scan *scan, const struct opt *opt)
{
	size_t len = strlen(scan->shorts);

	scan->shorts[len] = opt->key;
	if (opt->type != OPT_ACTION && opt->type != OPT_BOOL && !opt->bare)
		scan->shorts[len + 1] = ':';
}

static int scan_begin(struct scan *scan, const struct opt_program *program)
{
	struct option *next;

	*scan = (struct scan){.program = program, .rows = count_rows(program)};
	scan->longs = next = calloc(2 * scan->rows + 1, sizeof(*scan->longs));
	scan->negations = calloc(scan->rows + 1, sizeof(*scan->negations));
	scan->shorts = calloc(2 * scan->rows + 3, 1);
	if (!scan->longs || !scan->negations || !scan->shorts)
		goto no_memory;
	strcpy(scan->shorts, "-:"); /* operands in order, a missing argument as ':' */
	for (size_t i = 0; i < scan->rows; i++) {
		const struct opt *opt = &program->table[i];
		int val = LONG_BASE + 2 * (int)i;

		if (opt->type == OPT_BLOCKS)
			continue;
		*next++ = (struct option){opt->name, argument_of(opt), NULL, val};
		if (opt->key)
			add_short(scan, opt);
		if (opt->type != OPT_BOOL)
			continue;
		if (asprintf(&scan->negations[i], "no-%s", opt->name) < 0)
			goto no_memory;
		*next++ = (struct option){scan->negations[i], no_argument, NULL, val + 1};
	}
	optind = 0; /* glibc: start again */
	opterr = 0;
	return 0;

no_memory:
	scan_end(scan);
	return -ENOMEM;
}

static const struct opt *row_of(const struct scan *scan, int val)
{
	if (val >= LONG_BASE)
		return &scan->program->table[(val - LONG_BASE) / 2];
	for (size_t i = 0; i < scan->rows; i++) {
		if (scan->program->table[i].key == val)
			return &scan->program->table[i];
	}
	return NULL;
}

static bool has_prefix(const struct opt_program *program, const char *prefix, size_t len)
{
	for (const struct opt *opt = program->table; opt->name; opt++) {
		if (opt->type != OPT_BLOCKS && !strncmp(opt->name, prefix, len))
			return true;
	}
	return false;
}

static int unknown_option(const struct scan *scan, const char *word, char *why)
{
	const struct opt_program *program = scan->program;
	size_t len = strncmp(word, "--", 2) ? 0 : strcspn(word + 2, "=");
	const struct opt *near;
	char name[64];

	if (optopt && optopt < LONG_BASE) {
		snprintf(why, OPT_WHY_LEN, "unknown option -%c; see %s --help", optopt, program->name);
		return -EINVAL;
	}
	snprintf(name, sizeof(name), "%.*s", (int)len, word + 2);
	near = opt_nearest(program->table, name);
	if (has_prefix(program, name, len))
		snprintf(why, OPT_WHY_LEN, "--%s is ambiguous; write the option in full", name);
	else if (near && near->type != OPT_BLOCKS)
		snprintf(why, OPT_WHY_LEN, "unknown option --%s; did you mean --%s?", name, near->name);
	else
		snprintf(why, OPT_WHY_LEN, "unknown option --%s; see %s --help", name, program->name);
	return -EINVAL;
}

/* A mistake that getopt_long() found: @code is '?' or ':'. */
static int scan_mistake(const struct scan *scan, int code, const char *word, char *why)
{
	const struct opt *opt = optopt ? row_of(scan, optopt) : NULL;

	if (!opt)
		return unknown_option(scan, word, why);
	if (code == ':')
		snprintf(why, OPT_WHY_LEN, "--%s needs a value: --%s=%s", opt->name, opt->name,
			 opt->arg ? opt->arg : "VALUE");
	else
		snprintf(why, OPT_WHY_LEN, "--%s%s takes no value",
			 optopt >= LONG_BASE && optopt % 2 ? "no-" : "", opt->name);
	return -EINVAL;
}

/* 1: *opt and *value, or an operand (*opt is NULL); 0: the end, or "--" (the rest begins at optind). */
static int scan_next(struct scan *scan, int argc, char **argv, const struct opt **opt, const char **value,
		     char *why)
{
	int code = getopt_long(argc, argv, scan->shorts, scan->longs, NULL);

	if (code == -1)
		return 0;
	if (code == '?' || code == ':')
		return scan_mistake(scan, code, argv[optind - 1], why);
	*opt = code == 1 ? NULL : row_of(scan, code);
	*value = optarg;
	if (*opt && !optarg)
		*value = code >= LONG_BASE && code % 2 ? "no" : (*opt)->bare ? (*opt)->bare : "yes";
	return 1;
}

/* Moves argv[at] to argv[1 + nth], shifting what is between. */
static void move_operand(char **argv, int at, int nth)
{
	char *operand = argv[at];

	memmove(&argv[nth + 2], &argv[nth + 1], (size_t)(at - nth - 1) * sizeof(*argv));
	argv[nth + 1] = operand;
}

/* What the list @opt holds is replaced, and with it the blocks that stand beside it in the file. */
static void replace_list(const struct opt_program *program, const struct opt *opt, void *settings)
{
	opt_clear(opt, settings);
	for (const struct opt *row = program->table; row->name; row++) {
		if (row->type == OPT_BLOCKS && row->beside && !strcmp(row->beside, opt->name))
			opt_clear(row, settings);
	}
}

static int take_option(const struct opt_program *program, const struct opt *opt, void *settings,
		       const char *value, bool *seen, char *why)
{
	char reason[OPT_WHY_LEN];
	int err;

	if (opt->type == OPT_LIST && !*seen)
		replace_list(program, opt, settings);
	*seen = true;
	err = opt_assign(opt, settings, value, reason);
	if (err)
		snprintf(why, OPT_WHY_LEN, "--%s: %.*s", opt->name, OPT_WHY_LEN - 80, reason);
	return err == -ERANGE ? -EINVAL : err;
}

int opt_argv(const struct opt_program *program, void *settings, int argc, char **argv, char *why)
{
	const struct opt *opt;
	const char *value;
	struct scan scan;
	int noperands = 0, err;
	bool *seen;

	err = scan_begin(&scan, program);
	if (err)
		goto no_scan;
	seen = calloc(scan.rows + 1, sizeof(*seen));
	if (!seen) {
		err = -ENOMEM;
		goto no_seen;
	}
	while ((err = scan_next(&scan, argc, argv, &opt, &value, why)) > 0) {
		if (opt)
			err = take_option(program, opt, settings, value, &seen[opt - program->table], why);
		else
			move_operand(argv, optind - 1, noperands++);
		if (err < 0)
			break;
	}
	for (; !err && optind < argc; optind++)
		move_operand(argv, optind, noperands++);
	free(seen);
no_seen:
	scan_end(&scan);
no_scan:
	if (err == -ENOMEM)
		snprintf(why, OPT_WHY_LEN, "out of memory");
	return err ? err : noperands;
}

const char *opt_argv_peek(const struct opt_program *program, int argc, char **argv, const char *name)
{
	const char *value, *found = NULL;
	char why[OPT_WHY_LEN];
	const struct opt *opt;
	struct scan scan;

	if (scan_begin(&scan, program) < 0)
		return NULL;
	while (scan_next(&scan, argc, argv, &opt, &value, why) > 0) {
		if (opt && !strcmp(opt->name, name))
			found = value;
	}
	scan_end(&scan);
	return found;
}
