/* SPDX-License-Identifier: MIT */
/* What each event means in each state of a connection. After conn_create() nothing else writes conn.state. */
#ifndef CONN_FSM_H
#define CONN_FSM_H

#include "conn.h"

enum conn_event {
	ON_READ,	/* a read brought bytes */
	ON_EOF,		/* a read brought the end */
	ON_READ_ERROR,	/* a read failed */
	ON_WRITE,	/* a write moved bytes */
	ON_WRITE_ERROR, /* a write failed */
	ON_FILE,	/* the read of a file brought bytes */
	ON_FILE_ERROR,	/* it failed, or found the file shorter than promised */
	ON_CANCELLED,	/* an operation came back cancelled */
	ON_DEADLINE,	/* a deadline has passed: @res is its class; nothing was cancelled yet */
	ON_RESUME,	/* what the service's session waited for has happened */
	ON_DRAIN,	/* the server stops: finish what is under way */
	ON_STOP,	/* the drain timeout has passed */
	ON_EVICT,	/* its place is needed */
	CONN_NEVENTS
};

/* An event of @c; @res is the operation's result, 0 where there is none. @c may be gone afterwards. */
void conn_fsm(struct conn *c, enum conn_event event, long res);

/* Begins a connection just created: the first read goes out. */
void conn_fsm_start(struct conn *c);

const char *conn_state_name(enum conn_state state);

/* For the test that walks the table: whether the cell has a step. */
bool conn_fsm_has(enum conn_state state, enum conn_event event);

#endif
