/* SPDX-License-Identifier: MIT */
/* The table of cases: every case on every engine and link that it applies to. */
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

enum case_flags {
	CASE_VARIANTS = 1 << 0, /* also asleep on taio_fd(), and reaping by system call */
	CASE_RACE = 1 << 1,	/* may take long */
	CASE_ONCE = 1 << 2,	/* not of one engine: runs as engine "auto" */
};

static const struct test_case cases[] = {
	CASE(read_of_waiting_data_completes_once, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(read_completes_once_when_data_arrives, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(write_completes_once, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(vectors_scatter_and_gather, ON(WAITING)),
	CASE(zero_length_completes_with_zero, ON(WAITING)),
	CASE(many_ops_on_many_links_complete_once, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(several_reads_share_a_link_without_loss, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(duplex_streams_arrive_byte_exact, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(write_waits_until_the_peer_reads, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(nowait_turns_waiting_into_eagain, ON(WAITING)),
	CASE(poll_completes_with_revents, ON(WAITING)),
	CASE(poll_reports_what_is_ready_at_once, ON(WAITING)),
	CASE(bad_buffer_is_reported_and_the_ring_goes_on, ON(STREAMS)),

	CASE(peer_close_ends_waiting_read_with_zero, ON(STREAMS), AS(CASE_VARIANTS)),
	CASE(peer_close_after_data_gives_data_then_zero, ON(STREAMS)),
	CASE(write_to_closed_peer_fails, ON(STREAMS)),
	CASE(peer_close_ends_waiting_write, ON(STREAMS)),
	CASE(reset_ends_waiting_read, ON(TCP)),
	CASE(half_close_leaves_the_other_direction, ON(SOCKETS)),
	CASE(peer_close_without_ops_does_not_spin, ON(STREAMS)),
	CASE(hangup_ends_waiting_ops_of_a_terminal, ON(TTY), AS(CASE_VARIANTS)),

	CASE(cancel_at_once_gives_one_event, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(cancel_while_waiting_gives_ecanceled, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(cancelled_read_takes_no_later_data, ON(WAITING)),
	CASE(cancel_of_a_finished_op_adds_no_event, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(cancel_of_a_reaped_op_is_enoent, ON(WAITING)),
	CASE(second_cancel_adds_no_event, ON(WAITING)),
	CASE(cancel_of_a_waiting_write, ON(WAITING)),
	CASE(cancel_of_one_leaves_the_others, ON(WAITING)),
	CASE(cancel_of_a_waiting_poll, ON(WAITING)),
	CASE(cancel_of_a_herd_gives_each_its_event, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(cancelled_iocb_can_be_used_again, ON(WAITING)),

	CASE(cancel_raced_with_data, ON(WAITING), AS(CASE_RACE)),
	CASE(cancel_raced_with_room, ON(WAITING), AS(CASE_RACE)),
	CASE(cancel_raced_with_peer_close, ON(STREAMS), AS(CASE_RACE)),
	CASE(herd_cancel_raced_with_data, ON(WAITING), AS(CASE_RACE)),
	CASE(sleep_on_fd_never_misses_an_event, ON(WAITING), AS(CASE_RACE)),

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

	CASE(full_ring_says_eagain_and_keeps_what_it_has, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(batch_is_taken_up_to_the_room, ON(WAITING)),
	CASE(batch_is_taken_up_to_a_bad_op, ON(WAITING)),
	CASE(bad_arguments_are_refused, ON(WAITING)),
	CASE(fd_wakes_a_sleeper, ON(WAITING)),
	CASE(fd_is_quiet_after_empty_reap, ON(WAITING), AS(CASE_VARIANTS)),
	CASE(unasked_data_does_not_spin, ON(SOCKETS)),
	CASE(wait_times_out, ON(WAITING)),
	CASE(wait_is_interrupted, ON(WAITING)),

	CASE(file_reads_and_writes_at_offsets, ON(FILE), AS(CASE_VARIANTS)),
	CASE(file_vectors, ON(FILE)),
	CASE(file_end_gives_short_read_then_zero, ON(FILE)),
	CASE(file_many_in_flight_complete_once, ON(FILE), AS(CASE_VARIANTS)),
	CASE(file_poll_is_refused, ON(FILE)),
	CASE(file_cancel_gives_one_event, ON(FILE)),
	CASE(file_close_with_ops_in_flight, ON(FILE)),
	CASE(direct_file_wakes_and_moves_blocks, ON(NONE), AS(CASE_VARIANTS)),
	CASE(device_without_nowait_answers, ON(NONE), AS(CASE_VARIANTS)),

	CASE(eventfd_is_a_stream, ON(NONE), AS(CASE_VARIANTS)),
	CASE(name_is_what_was_asked_for, ON(NONE)),
	CASE(open_names_an_exhausted_sysctl, ON(NONE)),
	CASE(unknown_engine_is_einval, ON(NONE), AS(CASE_ONCE)),
	CASE(auto_picks_what_works_and_says_why, ON(NONE), AS(CASE_ONCE)),
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
	const char *engine;
	const char *require; /* further engines that must work here */
} options;

static const struct option_row option_rows[] = {
	{"engine", "NAME[:POLICY]", .text = &options.engine},
	{"require", "NAME[:POLICY]", .text = &options.require},
};

static const struct suite suite = {
	.cases = cases,
	.ncases = ARRAY_LEN(cases),
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
		for (unsigned int i = 0; i < ARRAY_LEN(cases); i++)
			if ((cases[i].links & link_names[kind].kind) && (cases[i].flags & CASE_ONCE) == flags)
				case_run_variants(&cases[i], engine, &link_names[kind]);
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
