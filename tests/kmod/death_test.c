/* SPDX-License-Identifier: MIT */
/* What ends, or is taken away, while operations are in flight. */
#include "death.h"

static const struct test_case cases[] = {
	CASE(kill_with_a_thousand_ops_in_flight, ON(KILLABLE), AS(CASE_LONG)),
	CASE(exit_with_ops_in_flight, ON(STREAMS)),
	CASE(io_destroy_ends_ops_in_flight, ON(STREAMS)),

	CASE(close_of_target_ends_nothing, ON(STREAMS)),
	CASE(close_of_proxy_ends_nothing, ON(STREAMS)),
	CASE(close_of_both_ends_nothing, ON(STREAMS)),
	CASE(close_of_both_then_cancel_lets_the_file_go, ON(PARKABLE)),
	CASE(close_of_peer_ends_reads, ON(STREAMS)),
	CASE(close_of_peer_ends_writes, ON(PARKABLE)),
	CASE(close_raced_with_data, ON(PARKABLE), AS(CASE_LONG)),

	CASE(child_that_exits_ends_nothing, ON(STREAMS)),
	CASE(child_that_execs_ends_nothing, ON(STREAMS)),
	CASE(child_goes_on_after_its_parent, ON(STREAMS)),
	CASE(exec_ends_ops_and_keeps_the_bytes, ON(STREAMS)),
	CASE(exec_of_a_second_thread, ON(STREAMS)),
	CASE(exec_that_fails_ends_nothing, ON(STREAMS)),
	CASE(proxy_outlives_exec, ON(STREAMS)),
	CASE(proxy_passed_to_another_process, ON(STREAMS)),
	CASE(proxy_outlives_its_attacher, ON(STREAMS)),

	CASE(ops_outlive_the_thread_that_submitted, ON(STREAMS)),
	CASE(thread_exit_raced_with_data, ON(PARKABLE), AS(CASE_LONG)),
	CASE(ops_outlive_the_leader, ON(STREAMS)),
	CASE(ops_outlive_the_exec_of_their_submitter, ON(STREAMS)),
	CASE(stopped_submitter_loses_nothing, ON(STREAMS)),
	CASE(stopped_submitter_can_be_cancelled, ON(STREAMS)),
	CASE(signals_to_the_submitter_end_nothing, ON(STREAMS)),

	CASE(unmapped_read_buffer_behaves_as_stock, ON(STREAMS)),
	CASE(half_unmapped_read_buffer_behaves_as_stock, ON(PARKABLE)),
	CASE(unmapped_write_buffer_behaves_as_stock, ON(PARKABLE)),
	CASE(remapped_buffer_takes_the_bytes, ON(STREAMS)),
};

int main(int argc, char **argv)
{
	return kmod_main(argc, argv, cases, ARRAY_LEN(cases));
}
