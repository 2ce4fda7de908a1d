/* SPDX-License-Identifier: MIT */
/* taio: from the command line to a command, and from its outcome to the exit status. */
#include "client.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2

#define COMMAND_ROW(id, name) [COMMAND_##id] = name##_run,
static command_fn *const runs[COMMAND_COUNT] = {COMMANDS(COMMAND_ROW)};
#undef COMMAND_ROW

static int usage(const char *what, const char *word)
{
	fail("%s%s; see taio --help", what, word);
	return EXIT_USAGE;
}

static enum command find_command(const char *name)
{
	enum command command = 0;

	while (command < COMMAND_COUNT && strcmp(taio_program.commands[command].name, name))
		command++;
	return command;
}

/* Reports an option of another command, which would be ignored. */
static int check_options(enum command command, char **given)
{
	const char *name = taio_program.commands[command].name;

	for (const struct opt *opt = taio_program.table; opt->name; opt++) {
		const char *owners = option_owners(opt);

		if (!owners || option_is_of(owners, name) || !given[opt - taio_program.table])
			continue;
		fail("--%s is an option of taio %s, not of taio %s", opt->name, owners, name);
		return EXIT_USAGE;
	}
	return 0;
}

/* How many operands a command may have: the one that is its target, or as many as there are. */
static int max_operands(const char *operands)
{
	return strstr(operands, "...") ? INT_MAX - 1 : *operands != '\0';
}

/* @words: the command and its operands, in argv, which goes on behind them. */
static int run_command(struct settings *settings, int nwords, char **words, char **given)
{
	enum command command;
	const char *operands;
	int status;

	if (!nwords)
		return usage("no command given", "");
	command = find_command(words[0]);
	if (command == COMMAND_COUNT)
		return usage("unknown command ", words[0]);
	operands = taio_program.commands[command].operands;
	if (nwords > 1 + max_operands(operands))
		return usage("unexpected argument ", words[1 + max_operands(operands)]);
	if (nwords == 1 && *operands)
		return usage("missing operand: ", operands);
	words[nwords] = NULL;
	settings->program = &words[1];
	status = check_options(command, given);
	return status ? status : runs[command](settings, *operands ? words[1] : "");
}

/* Output is buffered: a full disk may show only here. */
static int finish_output(int status)
{
	if (fflush(stdout) || ferror(stdout))
		return fail("cannot write to standard output");
	return status;
}

static int run(struct settings *settings, int argc, char **argv, char **given)
{
	char why[OPT_WHY_LEN];
	int nwords;

	for (const struct opt *opt = taio_program.table; opt->name; opt++)
		given[opt - taio_program.table] = (char *)opt_argv_peek(&taio_program, argc, argv, opt->name);
	nwords = opt_argv(&taio_program, settings, argc, argv, why);
	if (nwords < 0) {
		fail("%s", why);
		return EXIT_USAGE;
	}
	if (settings->help)
		opt_help(&taio_program, stdout);
	else if (settings->version)
		printf("taio %s\n", TAIO_VERSION);
	else if (settings->man)
		opt_man(&taio_program, stdout);
	else
		return finish_output(run_command(settings, nwords, argv + 1, given));
	return finish_output(0);
}

int main(int argc, char **argv)
{
	struct settings settings;
	char *given[64] = {0};
	int status;

	if (opt_defaults(&taio_program, &settings))
		return fail("out of memory");
	status = run(&settings, argc, argv, given);
	opt_free(&taio_program, &settings);
	if (status == 1 && client_signal()) {
		sigset_t all;

		/* Everything is cleaned up: end by the signal, as its sender expects. */
		signal(client_signal(), SIG_DFL);
		sigfillset(&all);
		sigprocmask(SIG_UNBLOCK, &all, NULL);
		raise(client_signal());
	}
	return status;
}
