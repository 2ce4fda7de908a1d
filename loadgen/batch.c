/* SPDX-License-Identifier: MIT */
/* The gathered operations of one turn. Invariant outside batch_flush(): begun is 0. */
#include "batch.h"

#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int batch_init(struct batch *batch, size_t nconns)
{
	/* Reads are moved behind the writes for one submission of both. */
	*batch = (struct batch){
		.writes = calloc(2 * nconns, sizeof(*batch->writes)),
		.reads = calloc(nconns, sizeof(*batch->reads)),
	};
	if (batch->writes && batch->reads)
		return 0;
	batch_fini(batch);
	return -ENOMEM;
}

void batch_fini(struct batch *batch)
{
	free(batch->writes);
	free(batch->reads);
	*batch = (struct batch){0};
}

static bool withdraw_from(struct iocb **iocbs, size_t *len, size_t from, const struct iocb *iocb)
{
	for (size_t i = from; i < *len; i++) {
		if (iocbs[i] != iocb)
			continue;
		memmove(&iocbs[i], &iocbs[i + 1], (--*len - i) * sizeof(*iocbs));
		return true;
	}
	return false;
}

bool batch_withdraw(struct batch *batch, struct iocb *iocb)
{
	return withdraw_from(batch->writes, &batch->nwrites, batch->begun, iocb) ||
	       withdraw_from(batch->reads, &batch->nreads, 0, iocb);
}

/* run_event() may gather and withdraw meanwhile: both act behind begun. */
static void submit_all(struct batch *batch, struct run *run)
{
	while (batch->begun < batch->nwrites) {
		int n = taio_submit(run->ring, (long)(batch->nwrites - batch->begun),
				    batch->writes + batch->begun);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			run_event(run, batch->writes[batch->begun++], n);
		else
			batch->begun += (size_t)n;
	}
}

void batch_flush(struct batch *batch, struct run *run)
{
	if (!batch->nwrites && !batch->nreads)
		return;
	if (run->mode->on_flush)
		run->mode->on_flush(run);
	memcpy(batch->writes + batch->nwrites, batch->reads, batch->nreads * sizeof(*batch->reads));
	batch->nwrites += batch->nreads;
	batch->nreads = 0;
	submit_all(batch, run);
	batch->nwrites -= batch->begun;
	memmove(batch->writes, batch->writes + batch->begun, batch->nwrites * sizeof(*batch->writes));
	batch->begun = 0;
}
