/* SPDX-License-Identifier: MIT */
/*
 * Runs programs of the fuzzer one after the other, each in a process of its own, and looks after each at the
 * module, the kernel's log, and whether everything of it has ended. The first failure ends the run.
 */
#include "fuzz.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_DEFAULT 20
#define TELL_MS		60000
#define PROGRAM_MS	90000

struct shared *shared;

static struct {
	uint64_t seed;
	bool has_seed;
	long seconds, programs, again;
	const char *drop;
	bool trace, calls, help;
} options;

static const char usage_text[] =
	"usage: kmod_fuzz [OPTION...]\n"
	"  --seconds S      run programs for S seconds (20)\n"
	"  --programs N     run N programs\n"
	"  --seed N         the first program's seed; those after it have N+1, ... Alone: that one program\n"
	"  --again N        run the program of --seed N times\n"
	"  --drop CALL,...  leave these calls out; changes no other\n"
	"  --trace          print each call on stderr before it is made\n"
	"  --calls          print how often each call was made\n";

/* --- options --- */

static bool number_read(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 0);
	return *text && !*end && !errno;
}

static bool options_read(int argc, char **argv)
{
	static const struct option rows[] = {
		{"seconds", required_argument, NULL, 's'},
		{"programs", required_argument, NULL, 'p'},
		{"seed", required_argument, NULL, 'S'},
		{"again", required_argument, NULL, 'a'},
		{"drop", required_argument, NULL, 'd'},
		{"trace", no_argument, NULL, 't'},
		{"calls", no_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	uint64_t number = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		if (strchr("spSa", option) && !number_read(optarg, &number))
			return false;
		switch (option) {
		case 's':
			options.seconds = (long)number;
			break;
		case 'p':
			options.programs = (long)number;
			break;
		case 'a':
			options.again = (long)number;
			break;
		case 'S':
			options.seed = number;
			options.has_seed = true;
			break;
		case 'd':
			options.drop = optarg;
			break;
		case 't':
			options.trace = true;
			break;
		case 'c':
			options.calls = true;
			break;
		case 'h':
			options.help = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

static void options_complete(void)
{
	if (!options.has_seed)
		options.seed = seed_mix((uint64_t)now_ms(), (uint64_t)getpid()) >> 16;
	else if (options.again)
		options.programs = options.again;
	else if (!options.programs && !options.seconds)
		options.programs = 1;
	if (!options.programs && !options.seconds)
		options.seconds = SECONDS_DEFAULT;
}

/* --- memory that all processes share, which exec keeps as a descriptor --- */

static bool shared_map(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (shared == MAP_FAILED)
		return false;
	report = &shared->report;
	return true;
}

static bool shared_create(void)
{
	int fd = memfd_create("kmod_fuzz", 0);

	if (fd < 0 || ftruncate(fd, sizeof(*shared)) || dup2(fd, SHARED_FD) < 0)
		return false;
	close(fd);
	return shared_map();
}

/* --- one program --- */

static void actors_print(void)
{
	unsigned int n = atomic_load(&shared->nactors);

	for (unsigned int i = 0; i < n && i < ACTORS_MAX; i++)
		printf("  actor %u: call %u, %s\n", i, atomic_load(&shared->at[i].number),
		       calls_begin[atomic_load(&shared->at[i].call) % (unsigned int)(calls_end - calls_begin)]
			       ->name);
}

/* Waits for the first process of the program, and has stopped ones go on. */
static bool program_await(pid_t pid, int *status)
{
	const struct timespec tick = {.tv_nsec = 10000000};
	int64_t until = now_ms() + PROGRAM_MS;
	sigset_t child;
	pid_t got;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		while ((got = waitpid(-1, status, WNOHANG)) > 0)
			if (got == pid)
				return true;
		if (now_ms() > until)
			return false;
		sigtimedwait(&child, NULL, &tick);
		kill(-pid, SIGCONT);
	}
}

static void complain(uint64_t seed, const char *what)
{
	printf("FAIL seed %ju: %s\n", (uintmax_t)seed, what);
	actors_print();
	printf("  to repeat: kmod_fuzz --seed %ju --again 1000\n", (uintmax_t)seed);
	fflush(stdout);
}

/* After an exec the program's other signals kill, until it has handlers again. */
static bool is_crash(int status)
{
	int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	return signal && signal != SIGKILL && signal != SIGUSR1 && signal != SIGUSR2 && signal != SIGIO;
}

static bool program_judge(uint64_t seed, pid_t pid, long refcnt)
{
	bool ends, is_good = true;
	int status = 0;
	char why[256];

	ends = program_await(pid, &status);
	if (!ends) {
		complain(seed, "the program does not end by itself");
		stacks_print(pid);
		is_good = false;
	} else if (shared->report.failure[0]) {
		complain(seed, shared->report.failure);
		is_good = false;
	} else if (is_crash(status)) {
		snprintf(why, sizeof(why), "the program ended with signal %d", WTERMSIG(status));
		complain(seed, why);
		is_good = false;
	}
	if (!judge_end(pid)) {
		complain(seed, "a process does not end after SIGKILL");
		is_good = false;
	} else if (!judge_module(refcnt, why, sizeof(why))) {
		complain(seed, why);
		is_good = false;
	}
	if (judge_kernel()) {
		complain(seed, "the kernel complained");
		is_good = false;
	}
	return is_good;
}

static bool program_once(uint64_t seed, long refcnt)
{
	sigset_t none;
	pid_t pid;

	memset(&shared->report, 0, sizeof(shared->report));
	memset((void *)shared->at, 0, sizeof(shared->at));
	atomic_store(&shared->nactors, 0);
	atomic_store(&shared->forks, 0);
	judge_announce(seed);
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("kmod_fuzz: fork");
		return false;
	}
	if (!pid) {
		setpgid(0, 0);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		program_run(seed);
	}
	setpgid(pid, pid);
	return program_judge(seed, pid, refcnt);
}

/* --- the run --- */

static uint64_t calls_total(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < CALLS_MAX; i++)
		sum += atomic_load(&shared->calls[i]);
	return sum;
}

static void calls_print(void)
{
	for (const struct call *const *call = calls_begin; call < calls_end; call++)
		printf("  %-14s %9ju\n", (*call)->name,
		       (uintmax_t)atomic_load(&shared->calls[call - calls_begin]));
}

static bool goes_on(long done, int64_t begin_ms)
{
	if (options.programs && done >= options.programs)
		return false;
	return !options.seconds || now_ms() - begin_ms < options.seconds * 1000;
}

static void totals_print(const char *verdict, long done, int64_t begin_ms)
{
	printf("%s: %ld programs in %jd s: %ju calls, %ju proxies, %ju iocbs accepted, %ju refused, %ju "
	       "events, "
	       "%ju cancels, %ju bytes through streams\n",
	       verdict, done, (intmax_t)(now_ms() - begin_ms) / 1000, (uintmax_t)calls_total(),
	       (uintmax_t)shared->attached, (uintmax_t)shared->accepted, (uintmax_t)shared->refused,
	       (uintmax_t)shared->events, (uintmax_t)shared->cancels, (uintmax_t)shared->stream_bytes);
	fflush(stdout);
}

static bool run(void)
{
	int64_t begin_ms = now_ms(), told_ms = begin_ms;
	long refcnt = module_refcnt(), done = 0;
	bool is_good = true;

	printf("kmod_fuzz: seed %ju\n", (uintmax_t)options.seed);
	judge_begin();
	for (; is_good && goes_on(done, begin_ms); done++) {
		is_good = program_once(options.again ? options.seed : options.seed + (uint64_t)done, refcnt);
		if (now_ms() - told_ms >= TELL_MS) {
			told_ms = now_ms();
			totals_print("so far", done + 1, begin_ms);
		}
	}
	if (options.calls)
		calls_print();
	totals_print(is_good ? "ok" : "FAILED", done, begin_ms);
	return is_good;
}

static void settings_fill(struct settings *settings)
{
	const struct passwd *alice = getpwnam("alice");

	settings->alice = alice ? alice->pw_uid : 65534;
	settings->trace = options.trace;
	snprintf(settings->drop, sizeof(settings->drop), "%s", options.drop ? options.drop : "");
}

int main(int argc, char **argv)
{
	uint64_t seed;
	sigset_t child;

	if (argc == 3 && !strcmp(argv[1], INHERIT)) {
		if (number_read(argv[2], &seed) && shared_map())
			program_inherit(seed);
		return 1;
	}
	if (!options_read(argc, argv)) {
		fputs(usage_text, stderr);
		return 2;
	}
	if (options.help) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (access(TAIO_DEVICE, R_OK | W_OK)) {
		fprintf(stderr, "kmod_fuzz: skipped: %s: %s (taio.ko is not loaded)\n", TAIO_DEVICE,
			strerror(errno));
		return EXIT_SKIP;
	}
	if (!shared_create()) {
		perror("kmod_fuzz");
		return 1;
	}
	settings_fill(&shared->settings);
	options_complete();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	return run() ? 0 : 1;
}
