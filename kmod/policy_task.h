/* SPDX-License-Identifier: GPL-2.0 */
/* Policy task: the operation waits as with park; then the submitter transfers in its own task work. */
#ifndef TAIO_POLICY_TASK_H
#define TAIO_POLICY_TASK_H

#include "policy.h"

extern const struct taio_policy taio_policy_task;

#endif
