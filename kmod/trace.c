// SPDX-License-Identifier: GPL-2.0
/* The code of the tracepoints. It reads the structs that trace.h only names, so callers need not see them. */
#include <linux/ioprio.h>

#include "op.h"
#include "op_state.h"
#include "proxy.h"

#define CREATE_TRACE_POINTS
#include "trace.h"
