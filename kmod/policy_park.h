/* SPDX-License-Identifier: GPL-2.0 */
/* Policy park: when the file wakes, a work item transfers. */
#ifndef TAIO_POLICY_PARK_H
#define TAIO_POLICY_PARK_H

#include "policy.h"

extern const struct taio_policy taio_policy_park;

#endif
