/* SPDX-License-Identifier: MIT */
/* The one writer of conn.state: what each event means in each state. Worker's thread only. */
#ifndef CONN_FSM_H
#define CONN_FSM_H

#include "conn.h"

/* An event of @c; @res is the operation's result, 0 where there is none. @c may be gone afterwards. */
void conn_fsm(struct conn *c, int event, long res);

/* Begins a connection just created: the first read goes out. */
void conn_fsm_start(struct conn *c);

const char *conn_state_name(enum conn_state state);

/* For the test that walks the table: whether the cell has a step. */
bool conn_fsm_has(enum conn_state state, enum conn_event event);

#endif
