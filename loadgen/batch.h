/* SPDX-License-Identifier: MIT */
/*
 * Operations gathered during a turn of the loop, given to the ring in one taio_submit(). Writes go first: an
 * answer may then be there by the time its read is tried. Loop thread only.
 */
#ifndef BATCH_H
#define BATCH_H

#include <libaio.h>
#include <stdbool.h>
#include <stddef.h>

struct batch {
	struct iocb **writes, **reads; /* each has room for every connection's one */
	size_t nwrites, nreads;
	size_t begun; /* of writes[]: given to the ring already, while batch_flush() runs */
};

struct run;

/* Room for @nconns operations of each kind. 0 or -ENOMEM. */
int batch_init(struct batch *batch, size_t nconns);
void batch_fini(struct batch *batch);

static inline void batch_add_write(struct batch *batch, struct iocb *iocb)
{
	batch->writes[batch->nwrites++] = iocb;
}

static inline void batch_add_read(struct batch *batch, struct iocb *iocb)
{
	batch->reads[batch->nreads++] = iocb;
}

/* Takes @iocb out if the ring has not got it yet. O(operations gathered): for ends of connections only. */
bool batch_withdraw(struct batch *batch, struct iocb *iocb);

/*
 * Submits. What the ring has no room for stays for the next flush; what it refuses for another reason is
 * reported by run_event() like a completion.
 */
void batch_flush(struct batch *batch, struct run *run);

#endif
