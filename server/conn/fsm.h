/* SPDX-License-Identifier: MIT */
/* What each event means in each state of a connection. After conn_create() nothing but this and advance.c
 * writes conn.state. */
#ifndef CONN_FSM_H
#define CONN_FSM_H

#include "conn.h"

enum conn_event {
	ON_READ,	/* a read returned bytes */
	ON_EOF,		/* a read reached the end of input */
	ON_READ_ERROR,	/* a read failed */
	ON_WRITE,	/* a write moved bytes */
	ON_WRITE_ERROR, /* a write failed */
	ON_ROOM,	/* the socket has room for the last record of TLS in the kernel */
	ON_FILE,	/* a read of a file returned bytes */
	ON_FILE_ERROR,	/* it failed, or the file is shorter than promised */
	ON_CANCELLED,	/* an operation completed as cancelled */
	ON_DEADLINE,	/* a deadline has passed; @res is its close reason; nothing has been cancelled yet */
	ON_END,		/* a session has asked for the end of it; @res is the close reason */
	ON_BACK,	/* a thread has carried out a step of the handshake; @res is its enum step */
	ON_RESUME,	/* what the service's session waited for has happened */
	ON_DRAIN,	/* the server stops, or its listener is gone: finish what is under way */
	ON_STOP,	/* the drain timeout has passed */
	ON_EVICT,	/* its place is needed */
	CONN_NEVENTS
};

/* Handles an event of @c; @res is the operation's result, or 0 if there is none. @c may be freed by it. */
void conn_fsm(struct conn *c, enum conn_event event, long res);

/* Starts a connection that was just created: queues its first read. */
void conn_fsm_start(struct conn *c);

const char *conn_state_name(enum conn_state state);

/* For the test that walks the table: does the cell have a step? */
bool conn_fsm_has(enum conn_state state, enum conn_event event);

#endif
