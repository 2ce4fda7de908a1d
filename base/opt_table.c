/* SPDX-License-Identifier: MIT */
/*
 * The rows of a program's table, looked up or walked as a whole. No state; any thread, but a settings struct
 * is one thread's at a time.
 */
#include "opt_table.h"

#include "opt_value.h"

#include <errno.h>
#include <string.h>

bool opt_is_key(const struct opt *opt)
{
	return opt->type != OPT_ACTION && !opt->argv_only && opt->help;
}

const struct opt *opt_find_row(const struct opt *table, const char *name)
{
	for (const struct opt *opt = table; opt->name; opt++) {
		if (!strcmp(opt->name, name))
			return opt;
	}
	return NULL;
}

const struct opt *opt_find(const struct opt_program *program, const char *name)
{
	return opt_find_row(program->table, name);
}

int opt_set(const struct opt_program *program, void *settings, const char *name, const char *text, char *why)
{
	const struct opt *opt = opt_find(program, name);

	return opt ? opt_assign(opt, settings, text, why) : -ENOENT;
}

/* Do the words differ by one character inserted, omitted or replaced, or by two swapped? */
static bool is_slip(const char *word, const char *meant)
{
	while (*word && *word == *meant) {
		word++;
		meant++;
	}
	if (!*word && !*meant)
		return false;
	if (*word && *meant &&
	    (!strcmp(word + 1, meant + 1) ||
	     (word[0] == meant[1] && word[1] == meant[0] && !strcmp(word + 2, meant + 2))))
		return true;
	return (*word && !strcmp(word + 1, meant)) || (*meant && !strcmp(word, meant + 1));
}

const struct opt *opt_nearest(const struct opt *table, const char *name)
{
	for (const struct opt *opt = table; opt->name; opt++) {
		if (is_slip(name, opt->name))
			return opt;
	}
	return NULL;
}

static void zero_field(const struct opt *opt, void *settings)
{
	static const size_t widths[] = {
		[OPT_BOOL] = sizeof(bool),
		[OPT_UINT] = sizeof(unsigned int),
		[OPT_SIZE] = sizeof(uint64_t),
		[OPT_DURATION] = sizeof(uint64_t),
		[OPT_STRING] = sizeof(char *),
		[OPT_ENUM] = sizeof(int),
		[OPT_LIST] = sizeof(struct opt_list),
		[OPT_ACTION] = sizeof(bool),
		[OPT_BLOCKS] = sizeof(struct opt_blocks),
	};

	memset((char *)settings + opt->offset, 0, widths[opt->type]);
}

int opt_defaults(const struct opt_program *program, void *settings)
{
	char why[OPT_WHY_LEN];
	const struct opt *opt;
	int err;

	for (opt = program->table; opt->name; opt++)
		zero_field(opt, settings);
	for (opt = program->table; opt->name; opt++) {
		err = opt->deflt ? opt_assign(opt, settings, opt->deflt, why) : 0;
		if (err) {
			opt_free(program, settings);
			return err == -ENOMEM ? err : -EINVAL;
		}
	}
	return 0;
}

int opt_copy(const struct opt_program *program, const void *from, void *to)
{
	int err = 0;

	for (const struct opt *opt = program->table; !err && opt->name; opt++)
		err = opt_copy_value(opt, from, to);
	return err;
}

void opt_free(const struct opt_program *program, void *settings)
{
	for (const struct opt *opt = program->table; opt->name; opt++)
		opt_clear(opt, settings);
}

void opt_changes(const struct opt_program *program, const void *old_settings, const void *new_settings,
		 opt_change_fn *fn, void *arg)
{
	for (const struct opt *opt = program->table; opt->name; opt++) {
		if (!opt_equal(opt, old_settings, new_settings))
			fn(arg, opt);
	}
}
