/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints: the steps of an operation's life. The kernel address of its iocb identifies an operation. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM taio

#if !defined(TAIO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TAIO_TRACE_H

#include <linux/tracepoint.h>

struct taio_op;

/* For readers of the binary records. */
TRACE_DEFINE_ENUM(TAIO_POLICY_BLOCK);
TRACE_DEFINE_ENUM(TAIO_POLICY_PARK);
TRACE_DEFINE_ENUM(TAIO_POLICY_TASK);
TRACE_DEFINE_ENUM(TAIO_POLICY_WORKER);
TRACE_DEFINE_ENUM(OP_ARMING);
TRACE_DEFINE_ENUM(OP_WAITING);
TRACE_DEFINE_ENUM(OP_RUNNING);

#define show_rw(rw) __print_symbolic(rw, { READ, "read" }, { WRITE, "write" })

#define show_policy(policy)                                                                        \
	__print_symbolic(policy, { TAIO_POLICY_BLOCK, "block" }, { TAIO_POLICY_PARK, "park" },      \
			 { TAIO_POLICY_TASK, "task" }, { TAIO_POLICY_WORKER, "worker" })

/* The states in which a cancel can find an operation. */
#define show_state(state)                                                                          \
	__print_symbolic(state, { OP_ARMING, "arming" }, { OP_WAITING, "waiting" }, { OP_RUNNING, "running" })

DECLARE_EVENT_CLASS(taio_op_class,
	TP_PROTO(const struct taio_op *op),
	TP_ARGS(op),
	TP_STRUCT__entry(
		__field(const void *, iocb)
		__field(int, rw)
		__field(int, policy)
		__field(int, submitter)
		__field(size_t, bytes)
	),
	TP_fast_assign(
		__entry->iocb = op->iocb;
		__entry->rw = op->rw;
		__entry->policy = op->proxy->policy_id;
		__entry->submitter = op->pid;
		__entry->bytes = iov_iter_count(&op->iter);
	),
	TP_printk("iocb=%p %s policy=%s submitter=%d bytes=%zu", __entry->iocb, show_rw(__entry->rw),
		  show_policy(__entry->policy), __entry->submitter, __entry->bytes)
);

/* It was not completed inside io_submit(2). */
DEFINE_EVENT(taio_op_class, taio_submit, TP_PROTO(const struct taio_op *op), TP_ARGS(op));

/* It waits: for a helper, or for the file. */
DEFINE_EVENT(taio_op_class, taio_queue, TP_PROTO(const struct taio_op *op), TP_ARGS(op));

/* Its runner, which is current, transfers. ioprio: the I/O priority of current. */
TRACE_EVENT(taio_start,
	TP_PROTO(const struct taio_op *op),
	TP_ARGS(op),
	TP_STRUCT__entry(
		__field(const void *, iocb)
		__field(int, rw)
		__field(int, policy)
		__field(int, submitter)
		__field(int, ioprio)
	),
	TP_fast_assign(
		__entry->iocb = op->iocb;
		__entry->rw = op->rw;
		__entry->policy = op->proxy->policy_id;
		__entry->submitter = op->pid;
		__entry->ioprio = get_current_ioprio();
	),
	TP_printk("iocb=%p %s policy=%s submitter=%d ioprio=%d/%d", __entry->iocb, show_rw(__entry->rw),
		  show_policy(__entry->policy), __entry->submitter, IOPRIO_PRIO_CLASS(__entry->ioprio),
		  (int)IOPRIO_PRIO_DATA(__entry->ioprio))
);

/* A cancel found it in state @was. */
TRACE_EVENT(taio_cancel,
	TP_PROTO(const struct taio_op *op, int was),
	TP_ARGS(op, was),
	TP_STRUCT__entry(
		__field(const void *, iocb)
		__field(int, was)
	),
	TP_fast_assign(
		__entry->iocb = op->iocb;
		__entry->was = was;
	),
	TP_printk("iocb=%p was=%s", __entry->iocb, show_state(__entry->was))
);

/* Its event goes to the ring. */
TRACE_EVENT(taio_complete,
	TP_PROTO(const struct taio_op *op, long res),
	TP_ARGS(op, res),
	TP_STRUCT__entry(
		__field(const void *, iocb)
		__field(long, res)
	),
	TP_fast_assign(
		__entry->iocb = op->iocb;
		__entry->res = res;
	),
	TP_printk("iocb=%p res=%ld", __entry->iocb, __entry->res)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
