/* SPDX-License-Identifier: MIT */
/* The cases of kmod_race_test. */
#ifndef TAIO_TESTS_KMOD_RACE_H
#define TAIO_TESTS_KMOD_RACE_H

#include "kmod.h"
#include "tests/case/gate.h"

/* race_cases.c */
case_fn cancel_raced_with_data, cancel_raced_with_pipe_room, cancel_raced_with_tcp_room,
	cancel_raced_with_peer_close;
/* file_race_cases.c */
case_fn cancel_raced_with_file;
/* arm_cases.c */
case_fn cancel_raced_with_submit, herd_cancel_raced_with_data, submit_raced_with_data;
/* signal_cases.c */
case_fn cancels_disturb_no_other_op, cancels_disturb_no_file_op;

#endif
