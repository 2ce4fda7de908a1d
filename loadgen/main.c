/* SPDX-License-Identifier: MIT */
/* taio-load: parses the command line and executes one run. Single-threaded. */
#include "hgrm.h"
#include "json.h"
#include "loop.h"
#include "modes.h"
#include "options.h"
#include "report.h"
#include "run.h"
#include "setup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum exit_code { EXIT_OK, EXIT_RUN, EXIT_USAGE };

static int complain(enum exit_code code, const char *why)
{
	fprintf(stderr, "taio-load: %s\n", why);
	return code;
}

static void on_signal(int number)
{
	run_interrupt = 1;
}

/* A second ^C ends the program at once. SIGPIPE is ignored: a reset is the error of one connection. */
static void set_signals(void)
{
	struct sigaction ends = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
	struct sigaction ignored = {.sa_handler = SIG_IGN};

	sigaction(SIGINT, &ends, NULL);
	sigaction(SIGTERM, &ends, NULL);
	sigaction(SIGPIPE, &ignored, NULL);
}

static int write_results(const struct run *run, char *why)
{
	const struct settings *set = run->set;
	int err = 0;

	if (!set->json || strcmp(set->json, "-"))
		report_print(run, stdout);
	fflush(stdout);
	if (set->json)
		err = json_write(run, set->json, why);
	if (!err && set->hgrm)
		err = hgrm_write(run, set->hgrm, why);
	return err;
}

static int load(const struct settings *set, const struct mode *mode, const char *target)
{
	char why[WHY_LEN] = "";
	struct run *run;
	int err, code;

	run = malloc(sizeof(*run));
	if (!run)
		return complain(EXIT_RUN, "out of memory");
	err = run_open(run, set, mode, target, why);
	if (err) {
		code = complain(err == -EINVAL ? EXIT_USAGE : EXIT_RUN, why);
		goto no_run;
	}
	set_signals();
	err = loop_run(run, why);
	if (!err)
		err = write_results(run, why);
	code = err || report_failure(run, why) ? complain(EXIT_RUN, why) : EXIT_OK;
	run_close(run);
no_run:
	free(run);
	return code;
}

/* "echo, http, idle or churn" */
static const char *mode_names(char *text, size_t len)
{
	const char *separator = "";
	size_t used = 0;

	for (size_t i = 0; i < NMODES && used < len; i++) {
		used += (size_t)snprintf(text + used, len - used, "%s%s", separator, modes[i]->command.name);
		separator = i + 2 == NMODES ? " or " : ", ";
	}
	return text;
}

/* @words: the operands, MODE TARGET. */
static int run_operands(const struct settings *set, int n, char **words)
{
	char why[WHY_LEN], names[200];
	const struct mode *mode;

	if (!n)
		return complain(EXIT_USAGE, "no mode given; see taio-load --help");
	mode = mode_find(words[0]);
	if (!mode) {
		snprintf(why, sizeof(why), "unknown mode '%.50s'; use %s", words[0],
			 mode_names(names, sizeof(names)));
		return complain(EXIT_USAGE, why);
	}
	if (n < 2)
		return complain(EXIT_USAGE, "no target given; use HOST:PORT or a URL");
	if (n > 2) {
		snprintf(why, sizeof(why), "unexpected argument '%.100s'; give one target", words[2]);
		return complain(EXIT_USAGE, why);
	}
	return load(set, mode, words[1]);
}

static int dispatch(struct settings *set, int argc, char **argv)
{
	const struct opt_program *program = options_program();
	char why[OPT_WHY_LEN] = "";
	int operands;

	operands = opt_argv(program, set, argc, argv, why);
	if (operands < 0)
		return complain(EXIT_USAGE, why);
	if (set->help) {
		opt_help(program, stdout);
		return EXIT_OK;
	}
	if (set->version) {
		printf("taio-load %s\n", TAIO_VERSION);
		return EXIT_OK;
	}
	return run_operands(set, operands, argv + 1);
}

int main(int argc, char **argv)
{
	const struct opt_program *program = options_program();
	struct settings set;
	int code;

	/* Used by the build to generate the manual; not a user option. */
	if (argc == 2 && !strcmp(argv[1], "--man")) {
		opt_man(program, stdout);
		return EXIT_OK;
	}
	if (opt_defaults(program, &set) < 0)
		return complain(EXIT_RUN, "out of memory");
	code = dispatch(&set, argc, argv);
	opt_free(program, &set);
	return code;
}
