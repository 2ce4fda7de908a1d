/* SPDX-License-Identifier: MIT */
/* The cases of kmod_death_test: what ends, or is taken away, while operations are in flight. */
#ifndef TAIO_TESTS_KMOD_DEATH_H
#define TAIO_TESTS_KMOD_DEATH_H

#include "kmod.h"

/* kill_cases.c */
case_fn kill_with_a_thousand_ops_in_flight, exit_with_ops_in_flight, io_destroy_ends_ops_in_flight;
/* close_cases.c */
case_fn close_of_target_ends_nothing, close_of_proxy_ends_nothing, close_of_both_ends_nothing,
	close_of_both_then_cancel_lets_the_file_go, close_of_peer_ends_reads, close_of_peer_ends_writes,
	close_raced_with_data;
/* process_cases.c */
case_fn child_that_exits_ends_nothing, child_that_execs_ends_nothing, child_goes_on_after_its_parent,
	exec_ends_ops_and_keeps_the_bytes, exec_of_a_second_thread, exec_that_fails_ends_nothing,
	proxy_outlives_exec, proxy_passed_to_another_process, proxy_outlives_its_attacher;
/* thread_cases.c */
case_fn ops_outlive_the_thread_that_submitted, thread_exit_raced_with_data, ops_outlive_the_leader,
	ops_outlive_the_exec_of_their_submitter, stopped_submitter_loses_nothing,
	stopped_submitter_can_be_cancelled, signals_to_the_submitter_end_nothing;
/* memory_cases.c */
case_fn unmapped_read_buffer_behaves_as_stock, half_unmapped_read_buffer_behaves_as_stock,
	unmapped_write_buffer_behaves_as_stock, remapped_buffer_takes_the_bytes;

#endif
