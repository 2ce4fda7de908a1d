/* SPDX-License-Identifier: MIT */
/*
 * A mode: what a run does with its connections. Its callbacks learn what happens to each connection and
 * decide what it does next.
 */
#ifndef MODE_H
#define MODE_H

#include "base/opt.h"
#include "conn.h"

struct run;

/* Every mode, in the order in which --help lists them. mode_NAME is defined in one of mode_*.c. */
// clang-format off
#define MODES(X) \
	X(echo)  \
	X(http)  \
	X(idle)  \
	X(churn)
// clang-format on

/* What a mode accepts in addition to the options that all modes accept. */
enum mode_takes {
	TAKES_URL = 1 << 0, /* a URL as target */
	TAKES_RATE = 1 << 1,
	TAKES_DEADLINE = 1 << 2,
	TAKES_REQUEST = 1 << 3,
	TAKES_RESUME = 1 << 4,
	TAKES_ON_CLOSE = 1 << 5,
};

struct mode {
	struct opt_command command; /* its name, and its text in --help and the manual */
	unsigned int takes;	    /* enum mode_takes */
	const struct proto *proto;  /* fixed, or NULL: chosen by --request */
	const char *unit;	    /* what is counted and timed: "requests" */
	bool ramps;		    /* all connections are opened before the load begins */
	/* Connections are only held, and the result is when the server closes each. Measurement starts with
	 * the first connect, and read buffers are small. */
	bool holds;
	size_t conn_size; /* of its state per connection (conn->mode_state) */

	struct conn_callbacks conn;
	/* Begins on a scheduled connection what was planned for @planned_ns. */
	void (*begin)(struct conn *conn, uint64_t planned_ns);
	/* Optional: the measured interval lasts until then, if that is later than --duration. */
	uint64_t (*measure_until_ns)(const struct run *run);
	/* Optional: the load is over. Counts what is still open. */
	void (*on_end)(struct run *run);
	/* True if nothing further can happen. */
	bool (*is_over)(const struct run *run);
};

#define MODE_DECLARE(name) extern const struct mode mode_##name;
MODES(MODE_DECLARE)
#undef MODE_DECLARE

#endif
