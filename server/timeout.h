/* SPDX-License-Identifier: MIT */
/*
 * The timeouts of a connection, one row each. A row is the option NAME-timeout with its default, smallest
 * value and help; the deadline class of a connection that waits for it; the close reason when it has passed;
 * and what starts the time anew: NOTHING, INPUT (new bytes for the service) or OUTPUT (bytes that the peer
 * took).
 */
#ifndef TIMEOUT_H
#define TIMEOUT_H

/* clang-format off */
#define TIMEOUTS(X)                                                                                          \
	X(HANDSHAKE, handshake, "10s", 0, HANDSHAKE, NOTHING,                                                \
	  "Maximum time for a TLS handshake.",                                                               \
	  "0 disables a timeout. Each one ends by io_cancel of the pending operation.")                      \
	X(HEADER, header, "10s", 0, HEADER, NOTHING,                                                         \
	  "Maximum time for a request's header, from its first byte.", NULL)                                 \
	X(IDLE, idle, "60s", 0, IDLE, INPUT,                                                                 \
	  "Maximum time for a connection to stay idle.", NULL)                                               \
	X(WRITE, write, "30s", 0, WRITE, OUTPUT,                                                             \
	  "Maximum time for the peer to take any of what it is sent.", NULL)                                 \
	X(LINGER, linger, "2s", 1000, LINGER, NOTHING,                                                       \
	  "Maximum time for the peer to close after the last byte was sent.", NULL)
/* clang-format on */

/* Each class has one timeout, so that a list of its connections is in the order of their deadlines. */
enum deadline_class {
	DEADLINE_NONE,
#define DEADLINE_ENUM(CLASS, ...) DEADLINE_##CLASS,
	TIMEOUTS(DEADLINE_ENUM)
#undef DEADLINE_ENUM
		DEADLINE_NCLASSES
};

#endif
