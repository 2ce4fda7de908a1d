/* SPDX-License-Identifier: GPL-2.0 */
/* The list of policies. */
#ifndef TAIO_POLICIES_H
#define TAIO_POLICIES_H

#include "policy.h"
#include "uapi/taio.h"

/* @id is below TAIO_NPOLICIES. NULL: this kernel does not export what the policy needs. */
const struct taio_policy *policy_get(enum taio_policy_id id);

#endif
