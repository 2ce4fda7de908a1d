/* SPDX-License-Identifier: GPL-2.0 */
/* Policy worker: a thread of the submitter's own process blocks for the operation. */
#ifndef TAIO_POLICY_WORKER_H
#define TAIO_POLICY_WORKER_H

#include "policy.h"

extern const struct taio_policy taio_policy_worker;

#endif
