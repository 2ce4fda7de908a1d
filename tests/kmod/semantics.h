/* SPDX-License-Identifier: MIT */
/*
 * kmod_semantics_test: what the manual in kmod/uapi/taio.h promises, promise by promise. Where it says "as on
 * the file itself" the same calls are made on the file and their results compared, so that the kernel that
 * runs is the oracle.
 */
#ifndef TAIO_TESTS_SEMANTICS_H
#define TAIO_TESTS_SEMANTICS_H

#include "kmod.h"

/* scratch.c: files, users and limits that several cases need. */

/* An unlinked regular file of @nbytes of pattern 0, on a file system that keeps its data in memory. */
int scratch_file(size_t nbytes);
/* Likewise in the directory that SCRATCH names: ext4 on a block device. */
int scratch_disk_file(size_t nbytes);
/* Both ends in the pipe2(2) order. */
void scratch_pipe(int fds[2]);
/* What a class of file is called when a case runs over all of them. */
enum scratch_kind { SCRATCH_TCP, SCRATCH_PIPE, SCRATCH_TTY, SCRATCH_FILE, SCRATCH_NKINDS };
extern const char *const scratch_names[SCRATCH_NKINDS];
/* A file of that kind open for reading; [1] is what feeds it, or -1. */
void scratch_make(enum scratch_kind kind, int fds[2]);
/* Every descriptor that was not open at the start of the program and is none of the scene's links'. */
void scratch_close(const struct scene *s);

/* The calling thread becomes @uid, for good, and keeps only the capabilities of mask @caps (1 << CAP_...). */
void become_user(uid_t uid, uint64_t caps);
/* The calling thread's user for file accesses and what follows from it, until it is set back to 0. */
void act_as_user(uid_t uid);
/* Attaches with the default state and no flags, or fails the case. */
int wrap(int fd, enum taio_policy_id policy, uint32_t flags);
/* Likewise with exactly @state. */
int wrap_state(int fd, enum taio_policy_id policy, uint32_t flags, uint32_t state);
/* Waits until TAIO_IOC_INFO on @proxy tells of @n operations in flight. */
void until_inflight_(int proxy, unsigned int n);
#define until_inflight(proxy, n) (HERE(), until_inflight_(proxy, n))

/*
 * All helpers that the user may have are taken: they write to a terminal that nobody reads, so that what is
 * submitted next waits for a helper. jam_clear() reads the terminal and lets things go on.
 */
struct jam {
	struct ring ring;
	struct op ops[2];
	int tty[2], proxy;
	long user_max; /* before */
};

void jam_start(struct jam *jam);
void jam_clear(struct jam *jam);
void jam_end(struct jam *jam);

#define HELPERS_MAX 64

/* Process ids of the kernel threads that are called taio/N; returns how many. */
unsigned int helpers_find(pid_t pids[HELPERS_MAX]);

#define ONCE  CASE_ONCE
#define BLOCK CASE_BLOCK

/* X(case, kinds of file, flags). The last one unloads and reloads the module. */
#define CASES(X)                                                                                             \
	X(attach_refuses_files_that_cannot_be_proxied, NONE, ONCE)                                           \
	X(attach_refuses_unknown_bits, NONE, ONCE)                                                           \
	X(attach_refuses_a_state_it_cannot_keep, NONE, ONCE)                                                 \
	X(attach_of_less_state_needs_privilege, NONE, ONCE)                                                  \
	X(attach_survives_bad_pointers, NONE, ONCE)                                                          \
	X(attach_without_a_free_descriptor_leaks_nothing, NONE, ONCE)                                        \
	X(ioctl_numbers_are_ours_alone, NONE, ONCE)                                                          \
	X(proxy_holds_the_file, NONE, 0)                                                                     \
	X(proxy_follows_the_mode_of_the_file, NONE, 0)                                                       \
	X(cloexec_is_set_when_asked_for, NONE, ONCE)                                                         \
	X(info_tells_what_the_proxy_is, NONE, 0)                                                             \
	X(info_counts_what_is_in_flight, STREAMS, 0)                                                         \
                                                                                                             \
	X(sync_calls_on_a_file_go_as_on_the_file, NONE, BLOCK)                                               \
	X(proxy_of_a_file_has_its_own_position, NONE, BLOCK)                                                 \
	X(sync_calls_on_streams_go_as_on_the_file, NONE, 0)                                                  \
	X(sync_read_waits_and_is_interrupted, STREAMS, 0)                                                    \
	X(proxy_polls_as_the_file, STREAMS, 0)                                                               \
	X(epoll_reports_edges_of_the_proxy, STREAMS, ONCE)                                                   \
	X(aio_poll_on_the_proxy, STREAMS | LINK_FILE, 0)                                                     \
	X(nonblocking_gives_eagain, STREAMS, 0)                                                              \
	X(nowait_flag_gives_eagain, STREAMS, 0)                                                              \
                                                                                                             \
	X(uring_on_a_stream_proxy, STREAMS, 0)                                                               \
	X(uring_on_a_file_proxy, NONE, BLOCK)                                                                \
	X(uring_poll_on_the_proxy, STREAMS, 0)                                                               \
	X(uring_cancel_on_the_proxy, STREAMS, 0)                                                             \
                                                                                                             \
	X(offset_on_a_socket_is_espipe, TCP, 0)                                                              \
	X(listening_socket_fails_at_once, NONE, 0)                                                           \
	X(zero_length_is_zero_at_once, STREAMS | LINK_FILE, 0)                                               \
	X(vectors_of_all_sizes, STREAMS | LINK_FILE, 0)                                                      \
	X(bad_vectors_fail_as_on_the_file, PARKABLE | LINK_FILE, 0)                                          \
	X(file_ops_at_offsets_leave_the_position, NONE, BLOCK)                                               \
	X(append_appends, NONE, BLOCK)                                                                       \
	X(eof_of_a_file_is_zero, NONE, BLOCK)                                                                \
                                                                                                             \
	X(file_write_has_the_submitters_credentials, NONE, BLOCK)                                            \
	X(file_write_without_cred_has_the_helpers, NONE, BLOCK)                                              \
	X(message_has_the_submitters_credentials, NONE, 0)                                                   \
	X(credentials_are_those_of_the_submission, NONE, BLOCK)                                              \
                                                                                                             \
	X(fsize_limit_holds_for_helpers, NONE, BLOCK)                                                        \
	X(fsize_limit_of_the_submission_counts, NONE, BLOCK)                                                 \
	X(fsize_without_the_bit_is_unlimited, NONE, BLOCK)                                                   \
	X(user_at_its_cap_hinders_no_other, STREAMS, BLOCK)                                                  \
	X(full_pool_never_starves_writes, STREAMS, BLOCK)                                                    \
	X(raised_cap_starts_what_waits, NONE, BLOCK)                                                         \
                                                                                                             \
	X(wait_queue_that_goes_is_let_go, NONE, 0)                                                           \
	X(ready_in_vain_does_not_spin, NONE, 0)                                                              \
	X(ioctls_of_32_bit_programs, NONE, ONCE)                                                             \
                                                                                                             \
	X(cancel_ioctl_ends_everything, STREAMS, 0)                                                          \
	X(cancel_ioctl_reaches_ops_of_others, STREAMS, 0)                                                    \
	X(cancel_ioctl_leaves_other_proxies, STREAMS, 0)                                                     \
	X(helpers_cannot_be_signalled, STREAMS, BLOCK)                                                       \
                                                                                                             \
	X(ioprio_of_the_submitter_reaches_file_ops, NONE, ONCE)                                              \
	X(ioprio_reaches_the_block_layer, NONE, ONCE)                                                        \
	X(file_io_is_charged_to_the_cgroup, NONE, ONCE)                                                      \
	X(streams_take_no_io_context, STREAMS, 0)                                                            \
	X(inflight_list_shows_the_op, STREAMS, 0)                                                            \
	X(tracepoints_come_in_order, STREAMS, 0)                                                             \
	X(module_stays_while_it_is_used, TCP, 0)

#define DECLARE(fn, links_of, flags_of) case_fn fn;
CASES(DECLARE)

#endif
