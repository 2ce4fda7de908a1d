/* SPDX-License-Identifier: MIT */
/*
 * The timeouts of a connection, one row each: the deadline class, the option NAME-timeout with its default
 * and minimum (us), the close reason once it has passed, what restarts it (NOTHING, INPUT: new bytes from the
 * peer, or OUTPUT: bytes that the peer took, see conn/deadline.c), and the option's help and manual text.
 */
#ifndef TIMEOUT_H
#define TIMEOUT_H

/* clang-format off */
#define TIMEOUTS(X)                                                                                          \
	X(CONNECT, connect, "5s", 0, CONNECT, NOTHING,                                                       \
	  "Maximum time for a connection to a backend to be made.", NULL)                                    \
	X(HANDSHAKE, handshake, "10s", 0, HANDSHAKE, NOTHING,                                                \
	  "Maximum time for a TLS handshake.",                                                               \
	  "0 disables this timeout, and likewise those for header, idle and write. When a timeout expires, " \
	  "the pending operation is cancelled with io_cancel.")                                              \
	X(HEADER, header, "10s", 0, HEADER, NOTHING,                                                         \
	  "Maximum time for a request's header, from its first byte.",                                       \
	  "Likewise for the header of the PROXY protocol, from the start of the connection.")                               \
	X(IDLE, idle, "60s", 0, IDLE, INPUT,                                                                 \
	  "Maximum time that a connection may stay idle.",                                                   \
	  "While the peer has yet to take what was sent, write-timeout counts instead.")                     \
	X(WRITE, write, "30s", 0, WRITE, OUTPUT,                                                             \
	  "Maximum time the peer may go without taking any output.",                                                \
	  "What the peer acknowledges counts, so that a slow reader is not cut off. A peer that has stopped " \
	  "is noticed within a quarter of this time more.")                                                  \
	X(LINGER, linger, "2s", 1000, LINGER, OUTPUT,                                                        \
	  "Maximum time for the peer to close after it has taken the last byte.",                            \
	  "It begins again with what the peer takes, and ends within a quarter of this time more.")
/* clang-format on */

/* Each class has one timeout for a listener (conn/group.h), so a list of its connections is in the order of
 * their deadlines. */
enum deadline_class {
	DEADLINE_NONE,
#define DEADLINE_ENUM(CLASS, ...) DEADLINE_##CLASS,
	TIMEOUTS(DEADLINE_ENUM)
#undef DEADLINE_ENUM
		DEADLINE_NCLASSES
};

#endif
