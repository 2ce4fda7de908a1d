/* SPDX-License-Identifier: MIT */
/*
 * kmod_semantics_test: what the manual in kmod/uapi/taio.h promises, promise by promise. Where it says "as the file
 * itself does" the same calls are made on the file and their results compared, so that the kernel that runs is
 * the oracle.
 */
#ifndef TAIO_TESTS_SEMANTICS_H
#define TAIO_TESTS_SEMANTICS_H

#include "kmod.h"

/* scratch.c: files, users and limits that several cases need. */

/* An unlinked regular file of @nbytes of pattern 0, on a file system that keeps its data in memory. */
int scratch_file(size_t nbytes);
/* Likewise on the ext4 that KMOD_DISK_DIR names: it has a block device below. */
int scratch_disk_file(size_t nbytes);
/* Both ends in the pipe2(2) order. */
void scratch_pipe(int fds[2]);
/* A connected TCP pair over the loopback; [0] is the end to wrap. */
void scratch_tcp(int fds[2]);
/* [0] the terminal in raw mode, [1] its master. */
void scratch_tty(int fds[2]);
/* What a class of file is called when a case runs over all of them. */
enum scratch_kind { SCRATCH_TCP, SCRATCH_PIPE, SCRATCH_TTY, SCRATCH_FILE, SCRATCH_NKINDS };
extern const char *const scratch_names[SCRATCH_NKINDS];
/* A file of that kind open for reading; [1] is what feeds it, or -1. */
void scratch_make(enum scratch_kind kind, int fds[2]);

/* The calling thread becomes @uid, for good, and keeps only the capabilities of mask @caps (1 << CAP_...). */
void become_user(uid_t uid, uint64_t caps);
/* The calling thread's user for file accesses and what follows from it, until it is set back to 0. */
void act_as_user(uid_t uid);
/* How many descriptors this process has open. */
unsigned int fds_open(void);
/* Attaches with the default state and no flags, or fails the case. */
int wrap(int fd, enum taio_policy_id policy, uint32_t flags);
/* Likewise with exactly @state. */
int wrap_state(int fd, enum taio_policy_id policy, uint32_t flags, uint32_t state);
/* Waits until TAIO_IOC_INFO on @proxy tells of @n operations in flight. */
void until_inflight_(int proxy, unsigned int n);
#define until_inflight(proxy, n) (HERE(), until_inflight_(proxy, n))

/* attach_cases.c */
case_fn attach_refuses_files_that_cannot_be_proxied, attach_refuses_unknown_bits, attach_refuses_a_state_it_cannot_keep,
	attach_of_less_state_needs_privilege, attach_survives_bad_pointers, attach_without_a_free_descriptor_leaks_nothing,
	ioctl_numbers_are_ours_alone, proxy_holds_the_file, proxy_follows_the_mode_of_the_file,
	cloexec_is_set_when_asked_for, info_tells_what_the_proxy_is, info_counts_what_is_in_flight;
/* sync_cases.c */
case_fn sync_calls_on_a_file_go_as_on_the_file, proxy_of_a_file_has_its_own_position, sync_calls_on_streams_go_as_on_the_file,
	sync_read_waits_and_is_interrupted, proxy_polls_as_the_file, epoll_reports_edges_of_the_proxy,
	aio_poll_on_the_proxy, nonblocking_gives_eagain, nowait_flag_gives_eagain;
/* uring_cases.c */
case_fn uring_on_a_stream_proxy, uring_on_a_file_proxy, uring_poll_on_the_proxy, uring_cancel_on_the_proxy;
/* op_cases.c */
case_fn offset_on_a_socket_is_espipe, zero_length_is_zero_at_once, vectors_of_all_sizes, bad_vectors_fail_as_on_the_file,
	file_ops_at_offsets_leave_the_position, append_appends, eof_of_a_file_is_zero;
/* cred_cases.c */
case_fn file_write_has_the_submitters_credentials, file_write_without_cred_has_the_helpers, message_has_the_submitters_credentials,
	dropped_privilege_is_seen_by_ops_to_come;
/* limit_cases.c */
case_fn fsize_limit_holds_for_helpers, fsize_limit_of_the_submission_counts, fsize_without_the_bit_is_unlimited,
	user_at_its_cap_hinders_no_other, full_pool_never_starves_writes;
/* cancel_all_cases.c */
case_fn cancel_ioctl_ends_everything, cancel_ioctl_reaches_ops_of_others, cancel_ioctl_leaves_other_proxies,
	cancel_ioctl_on_an_idle_proxy_is_zero, helpers_cannot_be_signalled;
/* observe_cases.c */
case_fn ioprio_of_the_submitter_reaches_file_ops, ioprio_reaches_the_block_layer, file_io_is_charged_to_the_cgroup,
	streams_take_no_io_context, inflight_list_shows_the_op, tracepoints_come_in_order, module_stays_while_proxies_live;

#endif
