/* SPDX-License-Identifier: MIT */
/* taio-load: the command line around one run. One thread. */
#include "report.h"
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum exit_code { EXIT_OK, EXIT_RUN, EXIT_USAGE };

static const struct mode *const modes[] = {&mode_echo, &mode_http, &mode_idle, &mode_churn};

static const struct mode *mode_find(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(name, modes[i]->name))
			return modes[i];
	}
	return NULL;
}

static int complain(enum exit_code code, const char *why)
{
	fprintf(stderr, "taio-load: %s\n", why);
	return code;
}

static void on_signal(int number)
{
	run_interrupt = 1;
}

/* The second ^C ends the program at once. A server that resets is an error of a connection, not of ours. */
static void take_signals(void)
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
	char why[RUN_WHY_LEN] = "";
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
	take_signals();
	err = run_loop(run, why);
	if (!err)
		err = write_results(run, why);
	code = err || report_failure(run, why) ? complain(EXIT_RUN, why) : EXIT_OK;
	run_close(run);
no_run:
	free(run);
	return code;
}

static int dispatch(struct settings *set, int argc, char **argv)
{
	char why[OPT_WHY_LEN] = "";
	const struct mode *mode;
	int operands;

	operands = opt_argv(&taio_load_program, set, argc, argv, why);
	if (operands < 0)
		return complain(EXIT_USAGE, why);
	if (set->help) {
		opt_help(&taio_load_program, stdout);
		return EXIT_OK;
	}
	if (set->version) {
		printf("taio-load %s\n", TAIO_VERSION);
		return EXIT_OK;
	}
	mode = operands ? mode_find(argv[1]) : NULL;
	if (!mode) {
		snprintf(why, sizeof(why),
			 operands ? "unknown mode '%.50s'; echo, http, idle or churn"
				  : "no mode%.0s; see taio-load --help",
			 operands ? argv[1] : "");
		return complain(EXIT_USAGE, why);
	}
	if (operands != 2)
		return complain(EXIT_USAGE,
				operands < 2 ? "no target: HOST:PORT or a URL" : "more than one target");
	return load(set, mode, argv[2]);
}

int main(int argc, char **argv)
{
	struct settings set;
	int code;

	/* For the build, which installs the manual; not an option of the user's. */
	if (argc == 2 && !strcmp(argv[1], "--man")) {
		opt_man(&taio_load_program, stdout);
		return EXIT_OK;
	}
	if (opt_defaults(&taio_load_program, &set) < 0)
		return complain(EXIT_RUN, "out of memory");
	code = dispatch(&set, argc, argv);
	opt_free(&taio_load_program, &set);
	return code;
}
