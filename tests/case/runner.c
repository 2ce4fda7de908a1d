/* SPDX-License-Identifier: MIT */
/*
 * Runs each case in a process of its own. The runner reaps the processes that a case leaves behind, and there
 * must be none. The report of a case is in shared memory and so outlives it.
 */
#include "tests/case/runner.h"

#include "tests/case/options.h"
#include "tests/case/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED_LIMIT_MS 15000
#define THREADS_END_MS	2000

const char *suite_name;

static void (*scene_finish)(struct scene *s);

static struct {
	unsigned int passed, failed, skipped;
} totals;

int suite_begin(const struct suite *suite, int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');

	suite_name = slash ? slash + 1 : argv[0];
	scene_finish = suite->finish;
	if (!options_parse(suite, argc, argv)) {
		options_usage(suite);
		return 2;
	}
	if (options_list(suite))
		return 0;
	signal(SIGPIPE, SIG_IGN);
	if (!report_make() || prctl(PR_SET_CHILD_SUBREAPER, 1)) {
		perror(suite_name);
		return 1;
	}
	return -1;
}

int suite_end(void)
{
	printf("%s: %u passed, %u failed", suite_name, totals.passed, totals.failed);
	if (totals.skipped)
		printf(", %u skipped", totals.skipped);
	printf("\n");
	if (totals.failed || !(totals.passed + totals.skipped))
		return 1;
	return totals.passed ? 0 : EXIT_SKIP;
}

/* Without those that taio.ko adds, which outlive what they were added for. */
static unsigned int threads_of_ours(void)
{
	return entries_of("/proc/self/task") - threads_called("taio-worker");
}

/* A joined thread may still be listed for a moment after pthread_join(3). */
static void check_threads_ended(unsigned int before)
{
	int64_t until = now_ms() + THREADS_END_MS;

	while (threads_of_ours() > before && now_ms() < until)
		pause_ms(1);
	CHECK_EQ(threads_of_ours(), before);
}

_Noreturn static void case_child(const struct run *run)
{
	unsigned int fds, threads;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the runner is killed, its case ends too */
	fds = entries_of("/proc/self/fd");
	threads = threads_of_ours();
	run->tc->run(run->scene);
	scene_finish(run->scene);
	CHECK_EQ(entries_of("/proc/self/fd"), fds);
	check_threads_ended(threads);
	exit(0);
}

static void case_ended(struct run *run, int status)
{
	if (*report->failure)
		return;
	if (WIFSIGNALED(status))
		failure_add("signal %s", sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == EXIT_SKIP)
		run->is_skipped = true;
	else if (WEXITSTATUS(status))
		failure_add("exit status %d", WEXITSTATUS(status));
}

static void case_wait(struct run *run, pid_t pid)
{
	int status = 0;

	if (child_ends(pid, run->limit_ms, &status)) {
		case_ended(run, status);
		return;
	}
	failure_add("time limit");
	stacks_print(pid);
	kill(pid, SIGKILL);
	if (child_ends(pid, KILLED_LIMIT_MS, &status))
		return;
	failure_add("and the process cannot be killed");
	stacks_print(pid);
}

/* Processes that the case left are our children now, in the group of the case. Each must end once killed. */
static void orphans_reap(pid_t group)
{
	int64_t until = now_ms() + KILLED_LIMIT_MS;
	bool is_left = false;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && now_ms() < until) {
		if (pid)
			continue;
		is_left = true;
		kill(-group, SIGKILL);
		pause_ms(1);
	}
	if (!pid)
		failure_add("a process that the case has left cannot be killed");
	else if (is_left && !*report->failure)
		failure_add("the case has left a process");
}

void case_run(struct run *run)
{
	pid_t pid;

	memset(report, 0, sizeof(*report));
	run->begin_ms = now_ms();
	run->is_skipped = false;
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		case_child(run);
	case_wait(run, pid);
	orphans_reap(pid);
}

void case_report(const struct run *run)
{
	const char *text = *report->failure ? report->failure : report->note;
	const char *verdict = *report->failure ? "FAIL" : run->is_skipped ? "skip" : "ok";

	printf("%-4s %-19s %-4s %-52s %6jd ms%s%s\n", verdict, run->variant, run->kind, run->name,
	       (intmax_t)(now_ms() - run->begin_ms), *text ? "  " : "", text);
	if (*report->failure && *report->note)
		printf("     (%s)\n", report->note);
	fflush(stdout);
	if (*report->failure)
		totals.failed++;
	else if (run->is_skipped)
		totals.skipped++;
	else
		totals.passed++;
}

void missing_report(const char *variant, const char *why, bool is_failure)
{
	printf("%-4s %-19s %s\n", is_failure ? "FAIL" : "skip", variant, why);
	if (is_failure)
		totals.failed++;
	else
		totals.skipped++;
}
