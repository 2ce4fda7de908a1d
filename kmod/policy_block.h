/* SPDX-License-Identifier: GPL-2.0 */
/* Policy block: a helper thread blocks for the operation. */
#ifndef TAIO_POLICY_BLOCK_H
#define TAIO_POLICY_BLOCK_H

#include "policy.h"

extern const struct taio_policy taio_policy_block;

#endif
