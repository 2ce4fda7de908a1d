// SPDX-License-Identifier: GPL-2.0
/* The code of the tracepoints. It alone looks into what trace.h names; those who trace know no more than the name. */
#include <linux/ioprio.h>

#include "op.h"
#include "op_state.h"
#include "proxy.h"

#define CREATE_TRACE_POINTS
#include "trace.h"
