/* SPDX-License-Identifier: MIT */
/*
 * Operations of connections on their way into the ring: gathered during a turn, submitted in one batch.
 * From io_read() and the like until its event the op is in flight and holds a reference on its connection.
 */
#ifndef CONN_OP_H
#define CONN_OP_H

#include "conn.h"

/* Makes room in the batch for @nconns connections, so that starting an operation cannot fail. 0 or -ENOMEM.
 */
int io_reserve(struct shard *shard, unsigned int nconns);
void io_fini(struct shard *shard);

void io_read(struct conn *c, char *data, size_t len);
void io_write(struct conn *c, const char *data, size_t len);
void io_read_file(struct conn *c, int afd, char *data, size_t len, uint64_t offset);

/* Asks for the op's event sooner; nothing happens if it is not in flight or was asked before. */
void io_cancel_op(struct conn *c, struct op *op);

/* What becomes of an operation that the ring refuses for another reason than being full. */
typedef void io_refused(struct op *op, long err);

/* Gives the batch to the ring. What it has no room for stays for the next turn. */
void io_flush(struct shard *shard, io_refused *refused);

#endif
