/* SPDX-License-Identifier: MIT */
/* Cancel against everything that may happen at the same moment. */
#include "race.h"

static const struct test_case cases[] = {
	CASE(cancel_raced_with_data, ON(STREAMS), AS(CASE_LONG)),
	CASE(cancel_raced_with_pipe_room, ON(PIPE), AS(CASE_LONG)),
	CASE(cancel_raced_with_tcp_room, ON(TCP), AS(CASE_LONG)),
	CASE(cancel_raced_with_file, ON(FILE), AS(CASE_LONG)),
	CASE(cancel_raced_with_peer_close, ON(PARKABLE), AS(CASE_LONG)),
	CASE(cancel_raced_with_submit, ON(STREAMS), AS(CASE_LONG)),
	CASE(herd_cancel_raced_with_data, ON(STREAMS), AS(CASE_LONG)),
	CASE(submit_raced_with_data, ON(STREAMS), AS(CASE_LONG)),

	CASE(cancels_disturb_no_other_op, ON(STREAMS), AS(CASE_LONG | CASE_BLOCK)),
	CASE(cancels_disturb_no_file_op, ON(FILE), AS(CASE_LONG | CASE_BLOCK)),
};

int main(int argc, char **argv)
{
	return kmod_main(argc, argv, cases, ARRAY_LEN(cases));
}
