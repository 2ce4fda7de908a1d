/* SPDX-License-Identifier: MIT */
/*
 * The table of cases and their runner: every case on every engine and link that it applies to, each in a
 * process of its own under a time limit. After the case that process must have no descriptor and no thread
 * more than before. The report of a case, its last place included, lies in shared memory and so outlives it.
 */
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROUNDS_DEFAULT 20000
#else
#define ROUNDS_DEFAULT 100000
#endif

#define CASE_LIMIT_MS  20000
#define RACE_LIMIT_MS  180000
#define THREADS_END_MS 2000
#define ENGINES_MAX    16
#define EXIT_SKIP      77

enum case_flags {
	CASE_VARIANTS = 1 << 0, /* also asleep on taio_fd(), and reaping by system call */
	CASE_RACE = 1 << 1,	/* may take long */
	CASE_ONCE = 1 << 2,	/* not of one engine: runs as engine "auto" */
};

struct test_case {
	const char *name;
	case_fn *run;
	unsigned int links; /* mask of enum link_kind */
	unsigned int flags;
};

#define CASE(fn, ...)                                                                                        \
	{                                                                                                    \
		.name = #fn, .run = fn, __VA_ARGS__                                                          \
	}
#define ON(mask) .links = LINK_##mask
#define AS(mask) .flags = CASE_##mask

static const struct test_case cases[] = {
	CASE(read_of_waiting_data_completes_once, ON(WAITING), AS(VARIANTS)),
	CASE(read_completes_once_when_data_arrives, ON(WAITING), AS(VARIANTS)),
	CASE(write_completes_once, ON(WAITING), AS(VARIANTS)),
	CASE(vectors_scatter_and_gather, ON(WAITING)),
	CASE(zero_length_completes_with_zero, ON(WAITING)),
	CASE(many_ops_on_many_links_complete_once, ON(WAITING), AS(VARIANTS)),
	CASE(several_reads_share_a_link_without_loss, ON(WAITING), AS(VARIANTS)),
	CASE(duplex_streams_arrive_byte_exact, ON(WAITING), AS(VARIANTS)),
	CASE(write_waits_until_the_peer_reads, ON(WAITING), AS(VARIANTS)),
	CASE(nowait_turns_waiting_into_eagain, ON(WAITING)),
	CASE(poll_completes_with_revents, ON(WAITING)),
	CASE(poll_reports_what_is_ready_at_once, ON(WAITING)),
	CASE(bad_buffer_is_reported_and_the_ring_goes_on, ON(STREAMS)),

	CASE(peer_close_ends_waiting_read_with_zero, ON(STREAMS), AS(VARIANTS)),
	CASE(peer_close_after_data_gives_data_then_zero, ON(STREAMS)),
	CASE(write_to_closed_peer_fails, ON(STREAMS)),
	CASE(peer_close_ends_waiting_write, ON(STREAMS)),
	CASE(reset_ends_waiting_read, ON(TCP)),
	CASE(half_close_leaves_the_other_direction, ON(SOCKETS)),
	CASE(peer_close_without_ops_does_not_spin, ON(STREAMS)),
	CASE(hangup_ends_waiting_ops_of_a_terminal, ON(TTY), AS(VARIANTS)),

	CASE(cancel_at_once_gives_one_event, ON(WAITING), AS(VARIANTS)),
	CASE(cancel_while_waiting_gives_ecanceled, ON(WAITING), AS(VARIANTS)),
	CASE(cancelled_read_takes_no_later_data, ON(WAITING)),
	CASE(cancel_of_a_finished_op_adds_no_event, ON(WAITING), AS(VARIANTS)),
	CASE(cancel_of_a_reaped_op_is_enoent, ON(WAITING)),
	CASE(second_cancel_adds_no_event, ON(WAITING)),
	CASE(cancel_of_a_waiting_write, ON(WAITING)),
	CASE(cancel_of_one_leaves_the_others, ON(WAITING)),
	CASE(cancel_of_a_waiting_poll, ON(WAITING)),
	CASE(cancel_of_a_herd_gives_each_its_event, ON(WAITING), AS(VARIANTS)),
	CASE(cancelled_iocb_can_be_used_again, ON(WAITING)),

	CASE(cancel_raced_with_data, ON(WAITING), AS(RACE)),
	CASE(cancel_raced_with_room, ON(WAITING), AS(RACE)),
	CASE(cancel_raced_with_peer_close, ON(STREAMS), AS(RACE)),
	CASE(herd_cancel_raced_with_data, ON(WAITING), AS(RACE)),
	CASE(sleep_on_fd_never_misses_an_event, ON(WAITING), AS(RACE)),

	CASE(close_lets_go_of_buffers_and_data, ON(WAITING)),
	CASE(close_with_unreaped_events, ON(WAITING)),
	CASE(exit_with_ops_in_flight, ON(WAITING)),
	CASE(quick_exit_with_ops_in_flight, ON(WAITING)),
	CASE(kill_with_ops_in_flight, ON(WAITING)),
	CASE(submit_never_blocks, ON(WAITING)),
	CASE(waiting_reads_do_not_starve_their_writes, ON(WAITING)),
	CASE(waiting_reads_do_not_starve_file_reads, ON(WAITING)),
	CASE(rings_in_two_threads, ON(WAITING)),
	CASE(descriptor_can_be_attached_again, ON(WAITING)),
	CASE(proxies_are_where_the_engine_has_them, .links = LINK_WAITING | LINK_FILE),
	CASE(attach_refuses_what_it_cannot_take, ON(WAITING)),

	CASE(full_ring_says_eagain_and_keeps_what_it_has, ON(WAITING), AS(VARIANTS)),
	CASE(batch_is_taken_up_to_the_room, ON(WAITING)),
	CASE(batch_is_taken_up_to_a_bad_op, ON(WAITING)),
	CASE(bad_arguments_are_refused, ON(WAITING)),
	CASE(fd_wakes_a_sleeper, ON(WAITING)),
	CASE(fd_is_quiet_after_empty_reap, ON(WAITING), AS(VARIANTS)),
	CASE(unasked_data_does_not_spin, ON(SOCKETS)),
	CASE(wait_times_out, ON(WAITING)),
	CASE(wait_is_interrupted, ON(WAITING)),

	CASE(file_reads_and_writes_at_offsets, ON(FILE), AS(VARIANTS)),
	CASE(file_vectors, ON(FILE)),
	CASE(file_end_gives_short_read_then_zero, ON(FILE)),
	CASE(file_many_in_flight_complete_once, ON(FILE), AS(VARIANTS)),
	CASE(file_poll_is_refused, ON(FILE)),
	CASE(file_cancel_gives_one_event, ON(FILE)),
	CASE(file_close_with_ops_in_flight, ON(FILE)),
	CASE(direct_file_wakes_and_moves_blocks, ON(NONE), AS(VARIANTS)),
	CASE(device_without_nowait_answers, ON(NONE), AS(VARIANTS)),

	CASE(eventfd_is_a_stream, ON(NONE), AS(VARIANTS)),
	CASE(name_is_what_was_asked_for, ON(NONE)),
	CASE(open_names_an_exhausted_sysctl, ON(NONE)),
	CASE(unknown_engine_is_einval, ON(NONE), AS(ONCE)),
	CASE(auto_picks_what_works_and_says_why, ON(NONE), AS(ONCE)),
};

static const struct {
	const char *name;
	enum link_kind kind;
} kinds[] = {
	{"tcp", LINK_TCP}, {"unix", LINK_UNIX}, {"pipe", LINK_PIPE},
	{"tty", LINK_TTY}, {"file", LINK_FILE}, {"none", LINK_NONE},
};

static const struct {
	const char *suffix;
	unsigned int ring_flags;
	bool by_fd;
} variants[] = {
	{"", 0, false},
	{"+fd", 0, true},
	{"+syscall", TAIO_REAP_SYSCALL, false},
};

/* Engines without which this library is not what it says. Others may be missing where they cannot work. */
static const char *const required[] = {"poll", "epoll", "threads:block", "threads:park"};

static struct {
	const char *engine, *link, *pattern;
	const char *require; /* further engines that must work here */
	long rounds;
	bool list;
} options = {.pattern = "*", .rounds = ROUNDS_DEFAULT};

static struct {
	unsigned int passed, failed, skipped;
} totals;

struct report *report;

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void fail_at(const struct place *place, const char *format, ...)
{
	size_t room = sizeof(report->failure);
	va_list args;
	int len;

	if (atomic_flag_test_and_set(&report->failed))
		for (;;)
			pause(); /* another thread's failure is being written */
	len = snprintf(report->failure, room, "%s:%d: ", base_name(place->file), place->line);
	va_start(args, format);
	vsnprintf(report->failure + len, room - (size_t)len, format, args);
	va_end(args);
	_exit(1);
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->note, sizeof(report->note), format, args);
	va_end(args);
}

void skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->note, sizeof(report->note), format, args);
	va_end(args);
	_exit(EXIT_SKIP);
}

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
		usleep(1000);
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

/* True if the child has ended by itself; else it is killed, and the report says where it was. */
static bool child_ends(pid_t pid, int limit_ms)
{
	int pidfd = pidfd_open(pid, 0);
	bool ended = pidfd >= 0 && is_readable(pidfd, limit_ms);

	if (!ended) {
		kill(pid, SIGKILL);
		if (!is_readable(pidfd, 10000)) {
			fprintf(stderr, "process %d cannot be killed\n", (int)pid);
			exit(1);
		}
	}
	close(pidfd);
	return ended;
}

static void failure_describe(bool ended, int status)
{
	const struct place *at = atomic_load(&report->at);
	char what[64];

	if (*report->failure)
		return;
	if (!ended)
		snprintf(what, sizeof(what), "time limit");
	else if (WIFSIGNALED(status))
		snprintf(what, sizeof(what), "signal %s", sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(what, sizeof(what), "exit status %d", WEXITSTATUS(status));
	snprintf(report->failure, sizeof(report->failure), "%s after %s:%d", what,
		 at ? base_name(at->file) : "start", at ? at->line : 0);
}

static void result_print(const char *verdict, const struct scene *s, const char *where, const char *name,
			 int64_t ms)
{
	const char *text = *report->failure ? report->failure : report->note;

	printf("%-4s %-19s %-4s %-52s %5jd ms%s%s\n", verdict, s->engine, where, name, (intmax_t)ms,
	       *text ? "  " : "", text);
	if (*report->failure && *report->note)
		printf("     (%s)\n", report->note);
	fflush(stdout);
}

static void case_run(const struct test_case *tc, struct scene *s, const char *where, const char *name)
{
	int64_t begin = now_ms();
	int status = 0;
	bool ended;
	pid_t pid;

	memset(report, 0, sizeof(*report));
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		case_child(tc, s);
	ended = child_ends(pid, tc->flags & CASE_RACE ? RACE_LIMIT_MS : CASE_LIMIT_MS);
	waitpid(pid, &status, 0);
	if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		result_print("ok", s, where, name, now_ms() - begin);
		totals.passed++;
	} else if (ended && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
		result_print("skip", s, where, name, now_ms() - begin);
		totals.skipped++;
	} else {
		failure_describe(ended, status);
		result_print("FAIL", s, where, name, now_ms() - begin);
		totals.failed++;
	}
}

static void case_run_variants(const struct test_case *tc, const char *engine, unsigned int kind)
{
	for (unsigned int v = 0; v < ARRAY_LEN(variants); v++) {
		struct scene s = {.engine = engine, .kind = kinds[kind].kind, .rounds = options.rounds};
		char name[96];

		if (v && !(tc->flags & CASE_VARIANTS))
			break;
		snprintf(name, sizeof(name), "%s%s", tc->name, variants[v].suffix);
		if (fnmatch(options.pattern, name, 0))
			continue;
		s.flags = variants[v].ring_flags;
		s.by_fd = variants[v].by_fd;
		case_run(tc, &s, kinds[kind].name, name);
	}
}

/* Whether @name is one of the comma-separated @list. */
static bool is_listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, name, len) && (!at[len] || at[len] == ','))
			return true;
	}
	return false;
}

static void engine_run(const char *engine, unsigned int flags)
{
	for (unsigned int kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		if (options.link && !is_listed(options.link, kinds[kind].name))
			continue;
		for (unsigned int i = 0; i < ARRAY_LEN(cases); i++)
			if ((cases[i].links & kinds[kind].kind) && (cases[i].flags & CASE_ONCE) == flags)
				case_run_variants(&cases[i], engine, kind);
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

static void engine_missing(const char *engine, const char *why)
{
	bool fails = is_required(engine);

	printf("%-4s %-19s %s\n", fails ? "FAIL" : "skip", engine, why);
	if (fails)
		totals.failed++;
	else
		totals.skipped++;
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
			engine_missing(required[i], "not in the library");
	}
	for (unsigned int i = 0; i < nprobes; i++) {
		if (!is_chosen(probes[i].name))
			continue;
		chosen++;
		if (probes[i].works)
			engine_run(probes[i].name, 0);
		else
			engine_missing(probes[i].name, probes[i].why);
	}
	if (is_chosen("auto") && ++chosen)
		engine_run("auto", CASE_ONCE);
	return chosen;
}

static void list_print(void)
{
	for (unsigned int i = 0; i < ARRAY_LEN(cases); i++) {
		printf("%s", cases[i].name);
		for (unsigned int kind = 0; kind < ARRAY_LEN(kinds); kind++)
			if (cases[i].links & kinds[kind].kind)
				printf(" %s", kinds[kind].name);
		printf("\n");
	}
}

/* Whether each of the comma-separated @list is a kind of file. */
static bool are_links(const char *list)
{
	unsigned int listed = 1, known = 0;

	for (const char *at = list; (at = strchr(at, ',')); at++)
		listed++;
	for (unsigned int kind = 0; kind < ARRAY_LEN(kinds); kind++)
		known += is_listed(list, kinds[kind].name);
	return known == listed;
}

static bool options_parse(int argc, char **argv)
{
	static const struct option known[] = {
		{"engine", required_argument, NULL, 'e'},
		{"link", required_argument, NULL, 'l'},
		{"case", required_argument, NULL, 'c'},
		{"rounds", required_argument, NULL, 'r'},
		{"require", required_argument, NULL, 'R'},
		{"list", no_argument, NULL, 'L'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'e')
			options.engine = optarg;
		else if (c == 'l')
			options.link = optarg;
		else if (c == 'c')
			options.pattern = optarg;
		else if (c == 'r')
			options.rounds = atol(optarg);
		else if (c == 'R')
			options.require = optarg;
		else if (c == 'L')
			options.list = true;
		else
			return false;
	}
	return optind == argc && options.rounds > 0 && (!options.link || are_links(options.link));
}

int main(int argc, char **argv)
{
	if (!options_parse(argc, argv)) {
		fprintf(stderr, "usage: engine_test [--engine NAME[:POLICY]] [--case GLOB] [--rounds N] "
				"[--link tcp,unix,pipe,tty,file,none] [--require NAME[:POLICY]] [--list]\n");
		return 2;
	}
	if (options.list) {
		list_print();
		return 0;
	}
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	printf("races: %ld rounds%s\n", options.rounds,
	       ROUNDS_DEFAULT < 100000 ? " (under a sanitizer)" : "");
	if (!engines_run()) {
		fprintf(stderr, "engine_test: no engine '%s'\n", options.engine);
		return 2;
	}
	printf("%u passed, %u failed", totals.passed, totals.failed);
	if (totals.skipped)
		printf(", %u skipped", totals.skipped);
	printf("\n");
	if (totals.failed || !(totals.passed + totals.skipped))
		return 1;
	return totals.passed ? 0 : EXIT_SKIP;
}
