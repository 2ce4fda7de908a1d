/* SPDX-License-Identifier: MIT */
/*
 * The runner: every chosen case in each variant (policy, INLINE, kind of file), in a process of its own under
 * a time limit. It is the reaper of whatever processes a case leaves, which must be none, and looks at the
 * module after each case. The report of a case lies in shared memory and so outlives it.
 */
#include "kmod.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SKIP 77

#define ROUNDS_DEFAULT 20000
#define KILLS_DEFAULT  50

/* Generous: two emulated processors, perhaps under a debug kernel. A single event has a tighter limit. */
#define CASE_LIMIT_MS	120000
#define ROUND_LIMIT_MS	20
#define KILL_LIMIT_MS	2000
#define KILLED_LIMIT_MS 15000
#define SETTLE_LIMIT_MS 15000
#define THREADS_END_MS	2000

static const char *const policies[TAIO_NPOLICIES] = {
	[TAIO_POLICY_BLOCK] = "block",
	[TAIO_POLICY_PARK] = "park",
	[TAIO_POLICY_TASK] = "task",
};

static const struct {
	const char *name;
	enum link_kind kind;
} kinds[] = {
	{"tcp", LINK_TCP}, {"pipe", LINK_PIPE}, {"tty", LINK_TTY}, {"file", LINK_FILE}, {"none", LINK_NONE},
};

static const struct {
	const char *suffix;
	uint32_t flags;
} variants[] = {
	{"", 0},
	{"+inline", TAIO_ATTACH_INLINE},
	{"+coop", TAIO_ATTACH_COOP}, /* of policy TASK, and for what depends on the moment */
};

/* Of the module; a case may set them, and they are put back after it. */
static const char *const param_names[] = {"helpers_max", "user_max", "idle_ms"};

static struct {
	const char *pattern, *policy, *link;
	long rounds, kills;
	uint64_t seed;
	bool list;
} options = {.pattern = "*", .rounds = ROUNDS_DEFAULT, .kills = KILLS_DEFAULT};

static struct {
	unsigned int passed, failed;
} totals;

static const struct test_case *table;
static unsigned int ntable;

static unsigned int entries_of(const char *path)
{
	unsigned int count = 0;
	DIR *dir = opendir(path);

	CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* A joined thread may be listed for a moment longer than pthread_join(3) takes. */
static void check_threads_ended(unsigned int before)
{
	int64_t until = now_ms() + THREADS_END_MS;

	while (entries_of("/proc/self/task") > before && now_ms() < until)
		pause_ms(1);
	CHECK_EQ(entries_of("/proc/self/task"), before);
}

_Noreturn static void case_child(const struct test_case *tc, struct scene *s)
{
	unsigned int fds = entries_of("/proc/self/fd"), threads = entries_of("/proc/self/task");

	tc->run(s);
	scene_finish(s);
	CHECK_EQ(entries_of("/proc/self/fd"), fds);
	check_threads_ended(threads);
	exit(0);
}

static void failure_set(const char *format, const char *what)
{
	const struct place *at = atomic_load(&report->at);
	const char *slash = at ? strrchr(at->file, '/') : NULL;
	size_t len = strlen(report->failure);

	if (*report->failure)
		len += (size_t)snprintf(report->failure + len, sizeof(report->failure) - len, "; ");
	if (len >= sizeof(report->failure))
		return;
	len += (size_t)snprintf(report->failure + len, sizeof(report->failure) - len, format, what);
	if (at && len < sizeof(report->failure))
		snprintf(report->failure + len, sizeof(report->failure) - len, " (last at %s:%d)",
			 slash ? slash + 1 : at->file, at->line);
}

static void case_ended(int status)
{
	if (*report->failure || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return;
	if (WIFSIGNALED(status))
		failure_set("signal %s", sigabbrev_np(WTERMSIG(status)));
	else
		failure_set("%s", "exit status not 0");
}

/* False if the process is still there after all that can be done. */
static bool case_wait(pid_t pid, int limit_ms)
{
	int status = 0;

	if (child_ends(pid, limit_ms, &status)) {
		case_ended(status);
		return true;
	}
	failure_set("%s", "time limit");
	stacks_print(pid);
	kill(pid, SIGKILL);
	if (child_ends(pid, KILLED_LIMIT_MS, &status))
		return true;
	failure_set("%s", "and the process cannot be killed");
	stacks_print(pid);
	return false;
}

/* Processes that the case left were given to us; they are in its group, and each must end once killed. */
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
		failure_set("%s", "a process that the case has left cannot be killed");
	else if (is_left && !*report->failure)
		failure_set("%s", "the case has left a process");
}

static void result_print(const char *variant, const char *kind, const char *name, int64_t ms)
{
	const char *text = *report->failure ? report->failure : report->note;

	printf("%-4s %-12s %-4s %-52s %6jd ms%s%s\n", *report->failure ? "FAIL" : "ok", variant, kind, name,
	       (intmax_t)ms, *text ? "  " : "", text);
	if (*report->failure && *report->note)
		printf("     (%s)\n", report->note);
	fflush(stdout);
}

static int case_limit_ms(const struct test_case *tc, const struct scene *s)
{
	int64_t ms = CASE_LIMIT_MS;

	if (tc->flags & CASE_LONG)
		ms += s->rounds * ROUND_LIMIT_MS + s->kills * KILL_LIMIT_MS;
	return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

static void case_run(const struct test_case *tc, struct scene *s, const char *variant, const char *kind)
{
	long refcnt = module_refcnt(), params[ARRAY_LEN(param_names)];
	int64_t begin = now_ms();
	char why[256];
	pid_t pid;

	memset(report, 0, sizeof(*report));
	for (unsigned int i = 0; i < ARRAY_LEN(params); i++)
		params[i] = param_get(param_names[i]);
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a runner that is cut short takes its case along */
		case_child(tc, s);
	}
	case_wait(pid, case_limit_ms(tc, s));
	orphans_reap(pid);
	for (unsigned int i = 0; i < ARRAY_LEN(params); i++)
		param_set(param_names[i], params[i]);
	if (!(tc->flags & CASE_KEEPS) && !module_settles(refcnt, SETTLE_LIMIT_MS, why, sizeof(why)))
		failure_set("%s", why);
	result_print(variant, kind, tc->name, now_ms() - begin);
	if (*report->failure)
		totals.failed++;
	else
		totals.passed++;
}

static bool policy_applies(const struct test_case *tc, unsigned int policy, enum link_kind kind)
{
	bool is_block_only = tc->flags & (CASE_ONCE | CASE_BLOCK) || kind & (LINK_TTY | LINK_FILE);

	if (policy != TAIO_POLICY_BLOCK && is_block_only)
		return false;
	return !options.policy || !strcmp(options.policy, policies[policy]);
}

static unsigned int variants_of(const struct test_case *tc, unsigned int policy)
{
	if (tc->flags & CASE_ONCE)
		return 1;
	return policy == TAIO_POLICY_TASK && tc->flags & CASE_LONG ? 3 : 2;
}

static void case_run_policy(const struct test_case *tc, unsigned int policy, unsigned int kind)
{
	unsigned int n = variants_of(tc, policy);

	for (unsigned int i = 0; i < n; i++) {
		struct scene s = {.policy = policy, .flags = variants[i].flags, .kind = kinds[kind].kind};
		char variant[32];

		s.rounds = (options.rounds + n - 1) / n;
		s.kills = (options.kills + n - 1) / n;
		snprintf(variant, sizeof(variant), "%s%s", tc->flags & CASE_ONCE ? "-" : policies[policy],
			 variants[i].suffix);
		case_run(tc, &s, variant, kinds[kind].name);
	}
}

static void case_run_variants(const struct test_case *tc)
{
	for (unsigned int policy = 0; policy < TAIO_NPOLICIES; policy++)
		for (unsigned int kind = 0; kind < ARRAY_LEN(kinds); kind++) {
			if (!(tc->links & kinds[kind].kind) || !policy_applies(tc, policy, kinds[kind].kind))
				continue;
			if (!options.link || !strcmp(options.link, kinds[kind].name))
				case_run_policy(tc, policy, kind);
		}
}

static void list_print(void)
{
	for (unsigned int i = 0; i < ntable; i++) {
		printf("%s", table[i].name);
		for (unsigned int kind = 0; kind < ARRAY_LEN(kinds); kind++)
			if (table[i].links & kinds[kind].kind)
				printf(" %s", kinds[kind].name);
		printf("\n");
	}
}

static bool options_parse(int argc, char **argv)
{
	static const struct option known[] = {
		{"case", required_argument, NULL, 'c'},	 {"policy", required_argument, NULL, 'p'},
		{"link", required_argument, NULL, 'l'},	 {"rounds", required_argument, NULL, 'r'},
		{"kills", required_argument, NULL, 'k'}, {"seed", required_argument, NULL, 's'},
		{"list", no_argument, NULL, 'L'},	 {0},
	};
	int c;

	options.seed = (uint64_t)now_ms() * 1000003 + (uint64_t)getpid();
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'c')
			options.pattern = optarg;
		else if (c == 'p')
			options.policy = optarg;
		else if (c == 'l')
			options.link = optarg;
		else if (c == 'r')
			options.rounds = atol(optarg);
		else if (c == 'k')
			options.kills = atol(optarg);
		else if (c == 's')
			options.seed = strtoull(optarg, NULL, 0);
		else if (c == 'L')
			options.list = true;
		else
			return false;
	}
	return optind == argc && options.rounds > 0 && options.kills > 0;
}

/* Thousands of operations want hundreds of descriptors in more than one process. */
static bool runner_prepare(void)
{
	struct rlimit files = {.rlim_cur = 16384, .rlim_max = 16384};

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return false;
	signal(SIGPIPE, SIG_IGN);
	random_seed(options.seed);
	return !prctl(PR_SET_CHILD_SUBREAPER, 1) && !setrlimit(RLIMIT_NOFILE, &files);
}

/* A program that was killed lets go of its proxies a moment later: what the module holds then is none of ours. */
static void former_users_leave(void)
{
	int64_t until = now_ms() + SETTLE_LIMIT_MS;

	while (module_refcnt() > 0 && now_ms() < until)
		pause_ms(10);
}

int kmod_main(int argc, char **argv, const struct test_case *cases, unsigned int ncases)
{
	const char *program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];

	table = cases;
	ntable = ncases;
	if (!options_parse(argc, argv)) {
		fprintf(stderr,
			"usage: %s [--case GLOB] [--policy block|park|task] [--link tcp|pipe|tty|file|none]\n"
			"\t[--rounds N] [--kills N] [--seed N] [--list]\n",
			program);
		return 2;
	}
	if (options.list) {
		list_print();
		return 0;
	}
	if (access(TAIO_DEVICE, R_OK | W_OK)) {
		fprintf(stderr, "%s: skipped: %s: %s (taio.ko is not loaded)\n", program, TAIO_DEVICE,
			strerror(errno));
		return EXIT_SKIP;
	}
	if (!runner_prepare()) {
		perror(program);
		return 1;
	}
	former_users_leave();
	printf("%s: %ld rounds, %ld kills, seed %ju\n", program, options.rounds, options.kills,
	       (uintmax_t)options.seed);
	for (unsigned int i = 0; i < ncases; i++)
		if (!fnmatch(options.pattern, cases[i].name, 0))
			case_run_variants(&cases[i]);
	printf("%s: %u passed, %u failed\n", program, totals.passed, totals.failed);
	return totals.failed || !totals.passed ? 1 : 0;
}
