// SPDX-License-Identifier: GPL-2.0
/* Policy block: a helper thread blocks for the first; a signal cancels. */
#include <linux/types.h>

#include "helpers.h"
#include "policy.h"
#include "policy_block.h"

const struct taio_policy taio_policy_block = {
	.name = "block",
	.has_helpers = true,
	.blocks = true,
	.run = helpers_run,
	.help = helpers_run,
	.start = helpers_start,
	.cancelled = helpers_cancelled,
};
