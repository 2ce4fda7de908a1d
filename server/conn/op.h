/* SPDX-License-Identifier: MIT */
/*
 * Starts and cancels the operations of connections. Started operations are gathered and submitted to the ring
 * at the next turn (turn.c). Until its event, an operation holds a reference on its connection.
 */
#ifndef CONN_OP_H
#define CONN_OP_H

#include "conn.h"

/* Operations that @nconns connections may have in flight, and the probe, if there is one. */
static inline unsigned int conn_ops(const struct shard *shard, unsigned int nconns)
{
	return 2 * nconns + (shard->probe.is_open ? PROBE_OPS : 0);
}

/* Makes room for the operations of @nconns connections, so that starting one cannot fail. 0 or -ENOMEM. */
int conn_op_reserve(struct shard *shard, unsigned int nconns);

/*
 * Waits until connect(2), which has begun, is over: a write of no bytes, which tcp_sendmsg() answers once the
 * socket is connected (0) or cannot be (-errno).
 */
void conn_op_connect(struct conn *c);
/* Waits until the socket has room for more (POLLOUT). */
void conn_op_room(struct conn *c);
void conn_op_read(struct conn *c, char *data, size_t len);
void conn_op_write(struct conn *c, const char *data, size_t len);
void conn_op_read_file(struct conn *c, int afd, char *data, size_t len, uint64_t offset);

/* Asks for the event of @op sooner; does nothing if @op is idle or was already asked. */
void conn_op_cancel(struct conn *c, struct op *op);

/* A cancel was requested, and the event has not arrived. */
static inline bool conn_op_is_cancelling(const struct op *op)
{
	return !op_is_idle(op) && op->cancelled;
}

#endif
