/* SPDX-License-Identifier: MIT */
/*
 * Every chosen case in each variant: policy, INLINE, kind of file. Looks at the module after each of them: no
 * operation in flight, every reference to submitters' state dropped, its own reference count back.
 */
#include "kmod.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ROUNDS_DEFAULT 20000
#define KILLS_DEFAULT  50

/* Generous: two emulated processors, perhaps under a debug kernel. A single event has a tighter limit. */
#define CASE_LIMIT_MS	120000
#define ROUND_LIMIT_MS	20
#define KILL_LIMIT_MS	2000
#define SETTLE_LIMIT_MS 15000

static const char *const policies[TAIO_NPOLICIES] = {
	[TAIO_POLICY_BLOCK] = "block",
	[TAIO_POLICY_PARK] = "park",
	[TAIO_POLICY_TASK] = "task",
	[TAIO_POLICY_WORKER] = "worker",
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
	const char *policy;
	long kills;
	uint64_t seed;
} options = {.kills = KILLS_DEFAULT};

static const struct option_row option_rows[] = {
	{"policy", "block|park|task|worker", .text = &options.policy},
	{"kills", "N", .count = &options.kills},
	{"seed", "N", .number = &options.seed},
};

static int case_limit_ms(const struct test_case *tc, const struct scene *s)
{
	int64_t ms = CASE_LIMIT_MS;

	if (tc->flags & CASE_LONG)
		ms += s->rounds * ROUND_LIMIT_MS + s->kills * KILL_LIMIT_MS;
	return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

static void case_run_on_module(struct run *run)
{
	long refcnt = module_refcnt(), params[ARRAY_LEN(param_names)];
	char why[256];

	for (unsigned int i = 0; i < ARRAY_LEN(params); i++)
		params[i] = param_get(param_names[i]);
	case_run(run);
	for (unsigned int i = 0; i < ARRAY_LEN(params); i++)
		param_set(param_names[i], params[i]);
	if (!(run->tc->flags & CASE_KEEPS) && !module_settles(refcnt, SETTLE_LIMIT_MS, why, sizeof(why)))
		failure_add("%s", why);
	case_report(run);
}

static bool policy_applies(const struct test_case *tc, unsigned int policy, enum link_kind kind)
{
	bool blocks = policy == TAIO_POLICY_BLOCK || policy == TAIO_POLICY_WORKER;
	bool chosen[TAIO_NPOLICIES] = {
		[TAIO_POLICY_BLOCK] = tc->flags & (CASE_ONCE | CASE_BLOCK),
		[TAIO_POLICY_WORKER] = tc->flags & CASE_WORKER,
	};

	if (tc->flags & (CASE_ONCE | CASE_BLOCK | CASE_WORKER) && !chosen[policy])
		return false;
	if (kind & (LINK_TTY | LINK_FILE) && !blocks)
		return false;
	if (policy == TAIO_POLICY_WORKER && !has_workers())
		return false;
	return !options.policy || !strcmp(options.policy, policies[policy]);
}

static unsigned int variants_of(const struct test_case *tc, unsigned int policy)
{
	if (tc->flags & (CASE_ONCE | CASE_PLAIN))
		return 1;
	return policy == TAIO_POLICY_TASK && tc->flags & CASE_LONG ? 3 : 2;
}

static void case_run_policy(const struct test_case *tc, unsigned int policy, const struct link_name *kind)
{
	unsigned int n = variants_of(tc, policy);

	for (unsigned int i = 0; i < n; i++) {
		struct scene s = {.policy = policy, .flags = variants[i].flags, .kind = kind->kind};
		char variant[32];
		struct run run = {
			.tc = tc, .scene = &s, .variant = variant, .kind = kind->name, .name = tc->name};

		s.rounds = (suite_rounds + n - 1) / n;
		s.kills = (options.kills + n - 1) / n;
		run.limit_ms = case_limit_ms(tc, &s);
		snprintf(variant, sizeof(variant), "%s%s", tc->flags & CASE_ONCE ? "-" : policies[policy],
			 variants[i].suffix);
		case_run_on_module(&run);
	}
}

static void case_run_variants(const struct test_case *tc)
{
	for (unsigned int policy = 0; policy < TAIO_NPOLICIES; policy++)
		for (unsigned int i = 0; i < LINK_KINDS; i++) {
			const struct link_name *kind = &link_names[i];

			if (!(tc->links & kind->kind) || !policy_applies(tc, policy, kind->kind))
				continue;
			if (is_kind_chosen(kind))
				case_run_policy(tc, policy, kind);
		}
}

/* A program that was killed lets go of its proxies a moment later: what the module holds then is not ours. */
static void former_users_leave(void)
{
	int64_t until = now_ms() + SETTLE_LIMIT_MS;

	while (module_refcnt() > 0 && now_ms() < until)
		pause_ms(10);
}

int kmod_main(int argc, char **argv, case_fn *finish)
{
	/* Thousands of operations want hundreds of descriptors in more than one process. */
	struct rlimit files = {.rlim_cur = 16384, .rlim_max = 16384};
	const struct suite suite = {
		.options = option_rows,
		.noptions = ARRAY_LEN(option_rows),
		.rounds = ROUNDS_DEFAULT,
		.finish = finish,
	};
	int status;

	options.seed = (uint64_t)now_ms() * 1000003 + (uint64_t)getpid();
	status = suite_begin(&suite, argc, argv);
	if (status >= 0)
		return status;
	if (access(TAIO_DEVICE, R_OK | W_OK)) {
		fprintf(stderr, "%s: skipped: %s: %s (taio.ko is not loaded)\n", suite_name, TAIO_DEVICE,
			strerror(errno));
		return EXIT_SKIP;
	}
	if (setrlimit(RLIMIT_NOFILE, &files)) {
		perror(suite_name);
		return 1;
	}
	random_seed(options.seed);
	former_users_leave();
	printf("%s: %ld rounds, %ld kills, seed %ju\n", suite_name, suite_rounds, options.kills,
	       (uintmax_t)options.seed);
	for (const struct test_case *const *tc = cases_begin; tc < cases_end; tc++)
		if (is_case_chosen((*tc)->name))
			case_run_variants(*tc);
	return suite_end();
}
