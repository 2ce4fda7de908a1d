/* SPDX-License-Identifier: MIT */
/* What a run does with its connections: told what happens to each, it begins the next thing. Loop thread
 * only. */
#ifndef MODE_H
#define MODE_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct run;
struct proto;

struct mode {
	const char *name;
	const struct proto *proto; /* fixed, or NULL: as --request says */
	bool ramps;		   /* connections are opened before the load begins, by the run */
	bool measures_ramp;	   /* what happens while they are opened counts */

	/* A connection from run->ready is to begin what was planned for @planned_ns. */
	void (*begin)(struct conn *conn, uint64_t planned_ns);
	void (*on_open)(struct conn *conn);
	void (*on_answer)(struct conn *conn);
	/* The server has ended an established connection; @err is 0 or a positive errno. Must end it too. */
	void (*on_hangup)(struct conn *conn, int err);
	/* The slot is free: no socket, nothing in flight. */
	void (*on_gone)(struct conn *conn);

	/* Optional: gathered operations are about to be submitted. */
	void (*on_flush)(struct run *run);
	/* Optional: the first session ticket of this connection is in conn->ticket. */
	void (*on_ticket)(struct conn *conn);
	bool takes_stray; /* bytes that belong to no request are no error */
	/* Optional: the load is over. Counts what is still open. */
	void (*on_end)(struct run *run);
	/* True if nothing further can happen. */
	bool (*is_over)(const struct run *run);
};

extern const struct mode mode_echo;
extern const struct mode mode_http;
extern const struct mode mode_idle;
extern const struct mode mode_churn;

#endif
