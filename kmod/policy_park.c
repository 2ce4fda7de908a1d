// SPDX-License-Identifier: GPL-2.0
/*
 * Policy park: a work item transfers without waiting, with the submitter's address space and credentials. There is
 * nothing to signal: an operation that waits is taken off its queue, and a transfer does not block.
 */
#include "helpers.h"
#include "op.h"
#include "policy_park.h"
#include "proxy.h"
#include "queue.h"

static void park_run(struct taio_queue *queue, struct taio_op *op)
{
	queue_give_to_work(queue);
}

const struct taio_policy taio_policy_park = {
	.name = "park",
	.run = park_run,
	.help = helpers_run,
	.cancelled = helpers_cancelled,
};
