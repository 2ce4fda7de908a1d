/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite of aio/taio.h: what a case is and what it may use.
 *
 * The table of cases and the choice of engines are main.c's; tests/case runs them and has what is not a
 * ring's.
 */
#ifndef TAIO_TESTS_SUITE_H
#define TAIO_TESTS_SUITE_H

#include "aio/taio.h"
#include "tests/case/check.h"
#include "tests/case/link.h"
#include "tests/case/op.h"
#include "tests/case/pattern.h"
#include "tests/case/process.h"
#include "tests/case/runner.h"

#include <stdatomic.h>
#include <stdint.h>

enum {
	LINK_SOCKETS = LINK_TCP | LINK_UNIX,
	LINK_STREAMS = LINK_SOCKETS | LINK_PIPE,
	/* But where a terminal has rules of its own: its end, -EFAULT. */
	LINK_WAITING = LINK_STREAMS | LINK_TTY,
};

#define SCENE_LINKS 128

/* What a case works with; one ring and its links, used by one thread. */
struct scene {
	const char *engine;
	enum link_kind kind;
	unsigned int flags; /* of struct taio_params */
	bool by_fd;	    /* sleep in poll(2) on taio_fd() as an event loop does; else in taio_wait() */
	long rounds;	    /* of a race */
	struct taio *ring;
	struct link *links[SCENE_LINKS];
	unsigned int nlinks;
};

/* scene.c: the ring. entries and helpers_max as in struct taio_params. */
void scene_ring(struct scene *s, unsigned int entries, unsigned int helpers_max);
void scene_close_ring(struct scene *s);
/* Nothing may be in flight; then closes everything. The runner calls it after each case. */
void scene_finish(struct scene *s);

/* Without a ring (yet) the link is made and not attached. */
struct link *scene_link(struct scene *s);
/* A ring with the engine's own number of helpers, and a link. */
struct link *scene_open(struct scene *s, unsigned int entries);
void link_attach(struct scene *s, struct link *link);
void link_detach(struct scene *s, struct link *link);

/* Another one in its place. */
void link_renew(struct scene *s, struct link *link);

/* scene.c: submits operations and takes their events. */
int op_try(struct scene *s, struct op *op);
void op_start_(struct scene *s, struct op *op);
/* 0 or -ENOENT, or the case fails. */
int op_cancel_(struct scene *s, struct op *op);

/* Hands out events, waiting at most @timeout_ms for the first one; returns how many. */
int collect(struct scene *s, int timeout_ms);
long await_(struct scene *s, struct op *op);
void await_all_(struct scene *s, struct op *ops, unsigned int nops);
/* No event comes within a short while. */
void stay_quiet_(struct scene *s);
/* Writes to the link's near end through the ring until it would have to wait; returns how many bytes. */
size_t fill_(struct scene *s, struct link *link, uint64_t offset, uint64_t seed, int settle_ms);

#define op_start(s, op)		(HERE(), op_start_(s, op))
#define op_cancel(s, op)	(HERE(), op_cancel_(s, op))
#define await(s, op)		(HERE(), await_(s, op))
#define await_all(s, ops, nops) (HERE(), await_all_(s, ops, nops))
#define stay_quiet(s)		(HERE(), stay_quiet_(s))
/* Until it stays full: TCP frees room once more when a delayed acknowledgement comes, a terminal when the
 * kernel has brought on what it was given. */
#define fill(s, link, offset, seed)                                                                          \
	(HERE(), fill_(s, link, offset, seed, (s)->kind == LINK_TCP ? 300 : (s)->kind == LINK_TTY ? 20 : 1))

/* transfer_cases.c */
case_fn read_of_waiting_data_completes_once, read_completes_once_when_data_arrives, write_completes_once,
	vectors_scatter_and_gather, zero_length_completes_with_zero, many_ops_on_many_links_complete_once,
	several_reads_share_a_link_without_loss, duplex_streams_arrive_byte_exact,
	write_waits_until_the_peer_reads, nowait_turns_waiting_into_eagain, poll_completes_with_revents,
	poll_reports_what_is_ready_at_once, bad_buffer_is_reported_and_the_ring_goes_on, eventfd_is_a_stream;
/* end_cases.c */
case_fn peer_close_ends_waiting_read_with_zero, peer_close_after_data_gives_data_then_zero,
	write_to_closed_peer_fails, peer_close_ends_waiting_write, reset_ends_waiting_read,
	half_close_leaves_the_other_direction, peer_close_without_ops_does_not_spin,
	hangup_ends_waiting_ops_of_a_terminal;
/* cancel_cases.c */
case_fn cancel_at_once_gives_one_event, cancel_while_waiting_gives_ecanceled,
	cancelled_read_takes_no_later_data, cancel_of_a_finished_op_adds_no_event,
	cancel_of_a_reaped_op_is_enoent, second_cancel_adds_no_event, cancel_of_a_waiting_write,
	cancel_of_one_leaves_the_others, cancel_of_a_waiting_poll, cancel_of_a_herd_gives_each_its_event,
	cancelled_iocb_can_be_used_again;
/* race_cases.c */
case_fn cancel_raced_with_data, cancel_raced_with_room, cancel_raced_with_peer_close,
	herd_cancel_raced_with_data, sleep_on_fd_never_misses_an_event;
/* life_cases.c */
case_fn close_lets_go_of_buffers_and_data, close_with_unreaped_events, exit_with_ops_in_flight,
	quick_exit_with_ops_in_flight, kill_with_ops_in_flight, submit_never_blocks,
	waiting_reads_do_not_starve_their_writes, waiting_reads_do_not_starve_file_reads,
	rings_in_two_threads, descriptor_can_be_attached_again, proxies_are_where_the_engine_has_them,
	attach_refuses_what_it_cannot_take;
/* ring_cases.c */
case_fn full_ring_says_eagain_and_keeps_what_it_has, batch_is_taken_up_to_the_room,
	batch_is_taken_up_to_a_bad_op, bad_arguments_are_refused, fd_wakes_a_sleeper,
	fd_is_quiet_after_empty_reap, unasked_data_does_not_spin, wait_times_out, wait_is_interrupted,
	open_names_an_exhausted_sysctl, unknown_engine_is_einval, auto_picks_what_works_and_says_why,
	name_is_what_was_asked_for;
/* file_cases.c */
case_fn file_reads_and_writes_at_offsets, file_vectors, file_end_gives_short_read_then_zero,
	file_many_in_flight_complete_once, file_poll_is_refused, file_cancel_gives_one_event,
	file_close_with_ops_in_flight, direct_file_wakes_and_moves_blocks, device_without_nowait_answers;

#endif
