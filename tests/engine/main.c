/* SPDX-License-Identifier: MIT */
/* Runs every case on every engine and link that it applies to. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROUNDS_DEFAULT 20000
#else
#define ROUNDS_DEFAULT 100000
#endif

#define CASE_LIMIT_MS 20000
#define RACE_LIMIT_MS 180000
#define ENGINES_MAX   16

static const struct {
	const char *suffix;
	unsigned int ring_flags;
	bool by_fd;
} variants[] = {
	{"", 0, false},
	{"+fd", 0, true},
	{"+syscall", TAIO_REAP_SYSCALL, false},
};

/* Engines that must work on every host. The others are skipped where they do not. */
static const char *const required[] = {ENGINES_REQUIRED}; /* cmake/engines.cmake */

static struct {
	const char *engine;
	const char *require; /* further engines that must work here */
	long slots;	     /* that a ring begins with: 1 makes it one of many contexts */
} options;

static const struct option_row option_rows[] = {
	{"engine", "NAME[:POLICY]", .text = &options.engine},
	{"require", "NAME[:POLICY]", .text = &options.require},
	{"slots", "N", .count = &options.slots},
};

static const struct suite suite = {
	.options = option_rows,
	.noptions = ARRAY_LEN(option_rows),
	.rounds = ROUNDS_DEFAULT,
	.finish = scene_finish,
};

/* TAIO_SLOW: an emulated guest's factor, as for the server's tests. */
static int case_limit_ms(const struct test_case *tc)
{
	const char *slow = getenv("TAIO_SLOW");

	if (tc->flags & CASE_RACE)
		return RACE_LIMIT_MS;
	return CASE_LIMIT_MS * (slow && atoi(slow) > 1 ? atoi(slow) : 1);
}

static void case_run_variants(const struct test_case *tc, const char *engine, const struct link_name *kind)
{
	for (unsigned int v = 0; v < ARRAY_LEN(variants); v++) {
		struct scene s = {.engine = engine,
				  .kind = kind->kind,
				  .flags = variants[v].ring_flags,
				  .slots = (unsigned int)options.slots,
				  .by_fd = variants[v].by_fd,
				  .rounds = suite_rounds};
		char name[96];
		struct run run = {.tc = tc,
				  .scene = &s,
				  .variant = engine,
				  .kind = kind->name,
				  .name = name,
				  .limit_ms = case_limit_ms(tc)};

		if (v && !(tc->flags & CASE_VARIANTS))
			break;
		snprintf(name, sizeof(name), "%s%s", tc->name, variants[v].suffix);
		if (!is_case_chosen(name))
			continue;
		case_run(&run);
		case_report(&run);
	}
}

static void engine_run(const char *engine, unsigned int flags)
{
	for (unsigned int kind = 0; kind < LINK_KINDS; kind++) {
		if (!is_kind_chosen(&link_names[kind]))
			continue;
		for (const struct test_case *const *tc = cases_begin; tc < cases_end; tc++)
			if (((*tc)->links & link_names[kind].kind) && ((*tc)->flags & CASE_ONCE) == flags)
				case_run_variants(*tc, engine, &link_names[kind]);
	}
}

/* "kmod" names all of its policies. */
static bool is_named(const char *engine, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(engine, name, len) && (!engine[len] || engine[len] == ':');
}

static bool is_chosen(const char *engine)
{
	return !options.engine || is_named(engine, options.engine);
}

static bool is_required(const char *engine)
{
	for (unsigned int i = 0; i < ARRAY_LEN(required); i++)
		if (!strcmp(engine, required[i]))
			return true;
	return options.require && is_named(engine, options.require);
}

/* Returns how many of the chosen engines there are, working or not. */
static unsigned int engines_run(void)
{
	static struct taio_probe probes[ENGINES_MAX];
	unsigned int nprobes = 0, chosen = 0;

	while (nprobes < ENGINES_MAX && taio_probe(nprobes, &probes[nprobes]))
		nprobes++;
	for (unsigned int i = 0; i < ARRAY_LEN(required); i++) {
		unsigned int p = 0;

		while (p < nprobes && strcmp(probes[p].name, required[i]))
			p++;
		if (p == nprobes && is_chosen(required[i]) && ++chosen)
			missing_report(required[i], "not in the library", true);
	}
	for (unsigned int i = 0; i < nprobes; i++) {
		if (!is_chosen(probes[i].name))
			continue;
		chosen++;
		if (probes[i].works)
			engine_run(probes[i].name, 0);
		else
			missing_report(probes[i].name, probes[i].why, is_required(probes[i].name));
	}
	if (is_chosen("auto") && ++chosen)
		engine_run("auto", CASE_ONCE);
	return chosen;
}

int main(int argc, char **argv)
{
	int status = suite_begin(&suite, argc, argv);

	if (status >= 0)
		return status;
	printf("races: %ld rounds%s\n", suite_rounds, ROUNDS_DEFAULT < 100000 ? " (under a sanitizer)" : "");
	if (!engines_run()) {
		fprintf(stderr, "%s: no engine '%s'\n", suite_name, options.engine);
		return 2;
	}
	return suite_end();
}
