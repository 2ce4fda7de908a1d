/* SPDX-License-Identifier: MIT */
/*
 * The life and the cancel of an operation under policy block of taio.ko, for SPIN. docs/cancel.md tells the protocol,
 * and maps each step here to the function in kmod/ that it stands for. tests/model/run checks it.
 *
 * Checked, in every interleaving: the properties named below; no invalid end state; and, in some of the
 * configurations, no cycle at all, so that every run ends, and where it ends every operation has completed: no assumption
 * of fairness is needed.
 *
 * Abstraction, and why it is sound:
 * - Sequential consistency. Every transition of the state word is a value-returning atomic, fully ordered in the kernel's
 *   memory model; all else that is shared is under a lock. Plain accesses beside them (op->helper before RUNNING) are
 *   ordered by them. A cmpxchg that fails orders nothing, and nothing relies on it: op_finish()'s exchange follows. Memory
 *   order is not checked here.
 * - A critical section of pool.idle.lock is one step: all that it reads or writes is guarded by that lock, but for at
 *   most one state word, and it waits for nothing inside. fs/aio's ctx_lock and proxy->lock are held over several steps
 *   and are modelled, but where they guard a single access.
 * - A try_cmpxchg loop is one step, the one in which it succeeds: those that fail change nothing.
 * - Callers of io_cancel(2) are one process, which takes any operation at any time any number of times: they exclude each
 *   other by ctx_lock. The same holds of TAIO_IOC_CANCEL (IOCTLS calls) by proxy->lock. Work items are one process
 *   that takes the next step of any of them.
 * - A transfer returns at any time with a result of its own (bytes, end of file, an error), or is broken off if a signal
 *   is pending, or never returns without one. Data that come later are a transfer that takes its step later. A sleeping
 *   task sees what it waits for, sooner or later: no wake-up is lost between the kernel's own prepare and schedule.
 * - A signal is a bit for each helper, as SIGKILL is in the kernel: sent twice it is pending once. Sending is a
 *   step of its own, after the cmpxchg.
 * - An operation is freed in the step of its completion, the earliest moment there is: a touch that can come after the
 *   real, later one comes after this one too.
 * - One user, one cap (HELPERS), one direction. An idle helper's time may end whenever it idles.
 *
 * LOOK: the process cannot end while a helper is in a transfer that only a signal ends, as the helper holds a lock that
 * one of its tasks waits for. The work item look() ends such a helper; it looks at each again and again.
 *
 * Not covered: how operations on streams wait (wait.pml), the reserve for writes and turns among users, threads that the
 * kernel refuses, unloading, and lock order below proxy->lock (lockdep's, in the VM).
 */

#ifndef OPS
#define OPS 2		/* 2 or 3 */
#endif
#ifndef HELPERS
#define HELPERS 1	/* helpers at most: 1 or 2 */
#endif
#ifndef SUBMITTERS
#define SUBMITTERS 1	/* threads in io_submit(2): 1 or 2 */
#endif
#ifndef IOCTLS
#define IOCTLS 1	/* calls of TAIO_IOC_CANCEL at most */
#endif

/* The properties: never true, there to be named in what the checker says. Hidden: no part of the state. */
hidden byte no_touch_after_free;
hidden byte one_completion;
hidden byte no_stale_signal;	/* when a transfer begins no signal is pending or on its way to its helper */
hidden byte undisturbed;	/* what was not cancelled gets the result of its transfer */
hidden byte cancel_answered;	/* a cancelled operation completes, whatever else may wait for ever */
hidden byte nothing_lost;	/* each operation is in a transfer, or waits for a full pool */
hidden byte nothing_left;	/* after all is over: no entry, no count, no signal */
hidden byte memory_there;	/* no transfer after the address space is gone */
hidden byte signal_aimed;	/* a signal has a helper to go to */
#define HOLDS(property, condition) assert((condition) || property)
#define touch(op) HOLDS(no_touch_after_free, !freed[op])

mtype:state = { ARMING, WAITING, RUNNING, CANCELLED, CANCELLING, DONE };
mtype:result = { OWN, INTERRUPTED };
mtype:step = { QUEUED, UNLISTED };

#define NONE	255
#define IDLE	254	/* container: on the wait queue, empty */

/* struct taio_op */
mtype:state state[OPS];
byte helper[OPS] = NONE;	/* op->helper */
bool listed[OPS];		/* op->link: in proxy->ops */
bool freed[OPS];
mtype:step work[OPS];		/* op->work, which completes it as cancelled */

/* fs/aio */
bool cancellable[OPS];		/* iocb->ki_list: in ctx->active_reqs */
byte reqs;			/* iocbs that have not completed */
byte mm_users = SUBMITTERS;
bool exited;			/* exit_aio() has returned; the address space goes */

bool ctx_lock, proxy_lock;

/* pool; all under pool.idle.lock */
byte container[HELPERS] = NONE;
chan admitted = [OPS] of { byte };	/* pool.queue */
chan refused = [OPS] of { byte };	/* user->queue */
byte busy, nhelpers;
bool grow;			/* the work item that makes helpers is queued */
bool start[HELPERS];		/* kthread_run() */

bool pending[HELPERS];		/* TIF_SIGPENDING of each helper */

/* Bookkeeping of the properties. */
byte coming[HELPERS];		/* cancels decided, their signal not sent yet */
bool asked[OPS];		/* cancelled before it completed */
bool completed[OPS];

#ifdef LOOK
bool dying;			/* the process has been killed */
byte holds[HELPERS] = NONE;	/* container->op, until it is released */
bool asleep[HELPERS];		/* in a transfer that only a signal ends */
#define DYING	dying
#else
#define DYING	false
#endif

/* --- helpers.c: the pool. Each is part of one critical section, and so of one step. --- */

inline helper_wake(o, h)
{
	container[h] = o;
#ifdef LOOK
	holds[h] = o;
#endif
#ifndef MUTANT_AIMS_LATE
	helper[o] = h
#endif
}

inline hand_over(o)
{
	if
	:: container[0] == IDLE -> helper_wake(o, 0)
#if HELPERS > 1
	:: container[1] == IDLE -> helper_wake(o, 1)
#ifdef MUTANT_WAKES_TWO
	:: container[0] == IDLE && container[1] == IDLE -> helper_wake(o, 0); helper_wake(o, 1)
#endif
#endif
	:: else ->
		admitted!o;
		if
		:: nhelpers < busy -> grow = true
		:: else
		fi
	fi
}

/* With admit_next(). */
inline release(o)
{
	touch(o);
	busy--;
	if
	:: refused?next -> busy++; hand_over(next)
	:: empty(refused)
	fi;
	next = NONE
}

/* --- op_life.c: op_complete(), in two steps --- */

/* Guard: !proxy_lock */
inline op_unlist(o)
{
	touch(o);
#ifndef MUTANT_STAYS_LISTED
	listed[o] = false
#endif
}

/* Guard: MAY_COMPLETE(), as fs/aio takes its lock only while the iocb is on its list. */
#define MAY_COMPLETE(o) (!cancellable[o] || !ctx_lock)
inline ki_complete(o)
{
	HOLDS(one_completion, !completed[o]);
	touch(o);
	completed[o] = true;
	cancellable[o] = false;
	reqs--;
#ifdef MUTANT_MMGET
	mm_users--;
#endif
	freed[o] = true;
	state[o] = 0;
	helper[o] = NONE;
	asked[o] = false
}

inline op_complete(o)
{
	atomic { !proxy_lock -> op_unlist(o) };
#ifdef MUTANT_EARLY_FREE
	freed[o] = true;
	d_step { MAY_COMPLETE(o) -> freed[o] = false };
#endif
	d_step { MAY_COMPLETE(o) -> ki_complete(o) }
}

/* --- op_life.c: op_cancel(), in two steps; under proxy_lock, and fs/aio's caller under ctx_lock, too --- */

inline op_cancel_move(o)
{
	touch(o);
	asked[o] = true;
	was = state[o];
	if
	:: was == ARMING -> state[o] = CANCELLED; was = 0
	:: was == WAITING -> state[o] = CANCELLED
	:: was == RUNNING ->
		HOLDS(signal_aimed, helper[o] != NONE);
		coming[helper[o]]++;
#ifndef MUTANT_LATE_SIGNAL
		state[o] = CANCELLING
#endif
	:: else -> was = 0
	fi
}

/* policy->cancelled(): helpers_cancelled() */
inline op_cancel_act(o)
{
	if
	:: atomic { was == WAITING -> touch(o);
		if
#ifndef MUTANT_STAYS_QUEUED
		:: admitted??[eval(o)] -> admitted??eval(o); release(o); work[o] = QUEUED
		:: refused??[eval(o)] -> refused??eval(o); work[o] = QUEUED
#endif
		:: else
		fi }
	:: d_step { was == RUNNING -> touch(o);
		coming[helper[o]]--;
		pending[helper[o]] = true;
#ifdef MUTANT_LATE_SIGNAL
		if
		:: state[o] == RUNNING -> state[o] = CANCELLING
		:: else
		fi
#endif
	   }
	:: else
	fi
}

/* --- the parties --- */

/* op_submit(), for operations first to last - 1 */
proctype submitter(byte op; byte last)
{
	byte next = NONE;
	bool queued;

	do
	:: op < last ->
		d_step { !proxy_lock -> state[op] = ARMING; listed[op] = true; reqs++
#ifdef MUTANT_MMGET
			; mm_users++
#endif
		};
		/* kiocb_set_cancel_fn() */
		d_step { !ctx_lock -> cancellable[op] = true };
		/* helpers_start() */
		atomic {
			touch(op);
			queued = state[op] == ARMING;
			if
			:: queued ->
				state[op] = WAITING;
				if
				:: busy < HELPERS -> busy++; hand_over(op)
				:: else -> refused!op
				fi
			:: else
			fi
		};
		if
		:: queued
		:: else -> op_complete(op)
		fi;
		d_step { op++; queued = false }
	:: atomic { op == last -> mm_users--; break }
	od
}

proctype helper_main(byte h)
{
	byte op = NONE, next = NONE;
	mtype:state was;
	mtype:result res;

end:	do
	:: start[h];
		/* helper_next() */
more:		atomic {
			if
			:: admitted?op
			:: empty(admitted) -> container[h] = IDLE
			fi;
#ifndef MUTANT_AIMS_LATE
			if
			:: op != NONE -> helper[op] = h
			:: else
			fi
#endif
#ifdef LOOK
			if
			:: op != NONE -> holds[h] = op
			:: else
			fi
#endif
		};
		if
		:: op != NONE
		:: else ->
			atomic {
				if
				:: container[h] != IDLE -> op = container[h]; container[h] = NONE
				:: container[h] == IDLE -> container[h] = NONE; nhelpers--; start[h] = false; goto end
				fi
			}
		fi;
		/* helper_run() */
		d_step {
			touch(op);
			was = state[op];
			if
			:: was == WAITING ->
				state[op] = RUNNING;
				HOLDS(no_stale_signal, !pending[h] && !coming[h])
			:: else
			fi
		};
#ifdef MUTANT_AIMS_LATE
		helper[op] = h;
#endif
		if
		:: was == WAITING ->
			/* op_run(): the second choice is a transfer that nothing ends but a signal */
			if
			:: DYING -> res = INTERRUPTED	/* cargo_is_abandoned() */
			:: else ->
				if
				:: res = OWN
#ifdef LOOK
				:: asleep[h] = true; d_step { pending[h] -> asleep[h] = false; res = INTERRUPTED }
#else
				:: skip; pending[h] -> res = INTERRUPTED
#endif
				fi
			fi;
			HOLDS(memory_there, !exited)
		:: else -> res = INTERRUPTED
		fi;
		/* op_finish() */
		d_step {
			touch(op);
			was = state[op];
			HOLDS(undisturbed, res == OWN || was != RUNNING || DYING);
			res = 0;
#ifdef MUTANT_LOOKS_FIRST
		};
		d_step {
#endif
			state[op] = DONE
		};
		/* signal_take() */
		if
		:: was == CANCELLING ->
#ifdef MUTANT_NO_WAIT
			pending[h] = false
#else
#ifdef MUTANT_NO_FLUSH
			pending[h]
#else
			d_step { pending[h] -> pending[h] = false }
#endif
#endif
		:: else
		fi;
		atomic { was = 0; release(op)
#ifdef LOOK
			; holds[h] = NONE
#endif
		};
		op_complete(op);
#ifdef MUTANT_STAYS_LISTED
		d_step { !proxy_lock -> listed[op] = false };
#endif
		op = NONE;
		goto more
	od
}

/* complete_given_up(), and grow() */
proctype workqueue()
{
end:	do
	:: d_step { work[0] == QUEUED && !proxy_lock -> op_unlist(0); work[0] = UNLISTED }
	:: d_step { work[0] == UNLISTED && MAY_COMPLETE(0) -> ki_complete(0); work[0] = 0 }
	:: d_step { work[1] == QUEUED && !proxy_lock -> op_unlist(1); work[1] = UNLISTED }
	:: d_step { work[1] == UNLISTED && MAY_COMPLETE(1) -> ki_complete(1); work[1] = 0 }
#if OPS > 2
	:: d_step { work[2] == QUEUED && !proxy_lock -> op_unlist(2); work[2] = UNLISTED }
	:: d_step { work[2] == UNLISTED && MAY_COMPLETE(2) -> ki_complete(2); work[2] = 0 }
#endif
	:: d_step { grow ->
		if
		:: len(admitted) > 0 && nhelpers < busy ->
			nhelpers++;
			if
			:: !start[0] -> start[0] = true
#if HELPERS > 1
			:: else -> start[1] = true
#endif
			fi
		:: else -> grow = false
		fi }
	od
}

#ifdef LOOK
/* end_with_process() */
#define LOOK_AT(h) d_step { dying && LOOKED_FOR(h) -> \
	touch(holds[h]); state[holds[h]] = CANCELLING; asked[holds[h]] = true; pending[h] = true }
#ifdef MUTANT_LOOKS_NOT_AT_STATE
#define LOOKED_FOR(h) (holds[h] != NONE && state[holds[h]] != CANCELLING)
#else
#define LOOKED_FOR(h) (holds[h] != NONE && state[holds[h]] == RUNNING)
#endif
proctype look()
{
end:	do
	:: LOOK_AT(0)
#if HELPERS > 1
	:: LOOK_AT(1)
#endif
	od
}
#endif

/* The next of proxy->ops, which nobody changes under proxy_lock; or the end of them. */
inline ioctl_cancel_next()
{
	do
	:: op < OPS && !listed[op] -> op++
	:: else -> break
	od;
	if
	:: op < OPS -> op_cancel_move(op)
	:: else -> proxy_lock = false
	fi
}

/* TAIO_IOC_CANCEL, by whoever has the proxy: ioctl_cancel() */
proctype ioctl_cancel()
{
	byte op, calls, next = NONE;
	mtype:state was;

	do
	:: d_step { calls < IOCTLS && !proxy_lock -> proxy_lock = true; calls++; ioctl_cancel_next() };
		do
		:: op < OPS ->
			op_cancel_act(op);
			d_step { was = 0; op++; ioctl_cancel_next() }
		:: else -> op = 0; break
		od
	:: atomic { calls = IOCTLS; break }
	od
}

/* Is anything waiting that should not? All that can move has moved. */
inline check_rest()
{
	n = 0;
	op = 0;
	do
	:: op < OPS && state[op] == RUNNING -> n++; op++
	:: op < OPS && state[op] != RUNNING -> op++
	:: else -> break
	od;
	HOLDS(nothing_lost, n == busy && busy <= HELPERS);
	op = 0;
	do
	:: op < OPS ->
		HOLDS(cancel_answered, !asked[op]);
		HOLDS(nothing_lost, completed[op] || state[op] == RUNNING || (state[op] == WAITING && busy == HELPERS));
		op++
	:: else -> break
	od;
	op = 0;
	n = 0
}

inline check_end()
{
	op = 0;
	do
	:: op < OPS ->
		HOLDS(nothing_lost, completed[op]);
		HOLDS(nothing_left, freed[op] && !cancellable[op] && !listed[op] && !work[op]);
		op++
	:: else -> break
	od;
	n = 0;
	do
	:: n < HELPERS -> HOLDS(nothing_left, container[n] == NONE && !pending[n] && !coming[n]); n++
	:: else -> break
	od;
	HOLDS(nothing_left, !busy && !nhelpers && empty(admitted) && empty(refused) && !ctx_lock && !proxy_lock);
	op = 0;
	n = 0
}

/* ctx_lock and in it proxy_lock, and the transition of what is on ctx->active_reqs: cancel_iocb() */
#define IO_CANCEL(n) d_step { !ctx_lock && !proxy_lock && cancellable[n] -> \
	ctx_lock = true; proxy_lock = true; op = n; op_cancel_move(n) }

/*
 * The other threads of the submitters' process: io_cancel(2), as often as they like. Then the process dies, at any moment
 * or when all is at rest: exit_aio().
 */
proctype process()
{
	byte op, n, next = NONE;
	mtype:state was;

	do
	:: if
	   :: IO_CANCEL(0)
	   :: IO_CANCEL(1)
#if OPS > 2
	   :: IO_CANCEL(2)
#endif
	   fi;
	   op_cancel_act(op);
	   d_step { cancellable[op] = false; ctx_lock = false; proxy_lock = false; op = 0; was = 0 }
	:: break
	od;
#ifdef LOOK
	if
	:: dying = true
	:: skip; timeout -> d_step { check_rest(); dying = true }
	fi;
#if HELPERS > 1
	!asleep[0] && !asleep[1];
#else
	!asleep[0];
#endif
	mm_users == 0;
#else
	if
	:: mm_users == 0
	:: skip; timeout -> d_step { check_rest() }; mm_users == 0
	fi;
#endif
	atomic { !ctx_lock -> ctx_lock = true };
	do
	:: op < OPS ->
		d_step { !proxy_lock ->
			proxy_lock = true;
			if
			:: cancellable[op] -> op_cancel_move(op)
			:: else
			fi
		};
		op_cancel_act(op);
		d_step { cancellable[op] = false; proxy_lock = false; op++; was = 0 }
	:: else -> break
	od;
	atomic { ctx_lock = false; op = 0 };
	reqs == 0;
	exited = true;
	timeout;
	d_step { check_end() }
}

/* The helpers last: what ends before them leaves no state behind by ending. */
init {
	atomic {
#if SUBMITTERS == 1
		run submitter(0, OPS);
#else
		run submitter(0, 1);
		run submitter(1, OPS);
#endif
		run process();
#if IOCTLS
		run ioctl_cancel();
#endif
		run workqueue();
#if defined(LOOK) && !defined(MUTANT_NO_LOOK)
		run look();
#endif
		run helper_main(0);
#if HELPERS > 1
		run helper_main(1)
#endif
	}
}
