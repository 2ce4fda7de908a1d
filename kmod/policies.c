// SPDX-License-Identifier: GPL-2.0
/* A row for each policy. */
#include "compat.h"
#include "policies.h"
#include "policy_block.h"
#include "policy_park.h"
#include "policy_task.h"
#include "policy_worker.h"

static const struct taio_policy *const policies[TAIO_NPOLICIES] = {
	[TAIO_POLICY_BLOCK] = &taio_policy_block,
	[TAIO_POLICY_PARK] = &taio_policy_park,
	[TAIO_POLICY_TASK] = &taio_policy_task,
	[TAIO_POLICY_WORKER] = COMPAT_HAS_THREADS ? &taio_policy_worker : NULL,
};

const struct taio_policy *policy_get(enum taio_policy_id id)
{
	return policies[id];
}
