/* SPDX-License-Identifier: MIT */
/*
 * Policy worker of taio.ko, for SPIN: kmod/workers.c, kmod/policy_worker.c. One worker of a submitter, which the kernel's
 * vhost_task_fn() runs, and a helper, which stands for all that carries out what has no worker. docs/worker.md tells
 * the protocol. tests/model/run checks it.
 *
 * Checked, in every interleaving: the properties named below, and no invalid end state.
 *
 * Abstraction, and why it is sound:
 * - A critical section of workers_lock is one step: it waits for nothing inside, and holds at most one transition of a
 *   state word. proxy->lock is held over several steps and is modelled. Memory order is not checked here.
 * - A transfer returns at any time with a result of its own, or is broken off if anything is pending, or never returns
 *   without that. A stop, a freeze and the like are one bit (FOREIGN of them at most): they make the worker handle what
 *   is pending, and are over then.
 * - The helper can be cancelled at any time: that is cancel.pml's. A work item completes what was given up.
 * - io_cancel(2) is one process, which takes any operation at any time; then the end of the process cancels all.
 * - An operation is freed in the step of its completion, a worker as soon as the work item that reaps it may do so.
 *
 * Not covered: several workers of a submitter, what has waited behind others (wait.pml), the caps.
 */
#ifndef OPS
#define OPS 2
#endif
#ifndef FOREIGN
#define FOREIGN 1
#endif

hidden byte no_touch_after_free;
hidden byte one_completion;
hidden byte no_stale_interrupt;	/* when a transfer begins no interrupt is pending or on its way */
hidden byte undisturbed;	/* what was not cancelled gets the result of its transfer */
hidden byte cancel_answered;	/* at rest what was cancelled has completed, even if the worker is stopped */
hidden byte nothing_left;
#define HOLDS(property, condition) assert((condition) || property)

mtype:state = { ARMING, WAITING, RUNNING, CANCELLED, CANCELLING, DONE };
mtype:worker = { NOT_MADE, IDLE, RESERVED, HANDED, BUSY, ENDED };

#define NONE 255

/* struct taio_op */
mtype:state state[OPS] = ARMING;
bool has_worker[OPS];		/* op->worker */
bool freed[OPS], completed[OPS], asked[OPS], cancellable[OPS];
byte reqs;
bool proxy_lock, submitting = true;
chan helpers = [OPS] of { byte };	/* WAITING, nobody has it yet */
chan given_up = [OPS] of { byte };

/* struct taio_worker */
mtype:worker worker = NOT_MADE;
byte its = NONE;		/* worker->op */
bool is_killed;
bool is_interrupted, arrived;	/* worker->interrupt */
bool gone;			/* freed */

/* its thread */
bool note, foreign, kill;	/* pending */
bool returned;			/* our functions are over: vhost_task_stop() may return */
byte nforeign;

#define touch(op) HOLDS(no_touch_after_free, !freed[op])
#define pending() (note || foreign || kill)

/* op_life.c: op_complete() */
inline complete(o)
{
	HOLDS(one_completion, !completed[o]);
	touch(o);
	completed[o] = true;
	cancellable[o] = false;
	freed[o] = true;
	reqs--
}

/* workers.c: part(), end() */
inline part()
{
	has_worker[its] = false;
	its = NONE;
	worker = (is_killed -> ENDED : IDLE)
}

/* workers.c: finish(). @cut: the transfer was broken off. */
inline finish(o, cut)
{
	d_step {
		HOLDS(undisturbed, !cut || state[o] == CANCELLING);
		state[o] = DONE;
		part()
	};
	atomic { !proxy_lock -> complete(o); o = NONE; cut = false }
}

/* get_signal(): what is pending is handled; a callback of ours would be a touch of the worker. */
inline handle_pending()
{
	d_step {
		if
		:: note -> HOLDS(no_touch_after_free, !gone); note = false; arrived = true
		:: else
		fi;
		foreign = false
	}
}

#ifdef MUTANT_BEGINS_AT_ONCE
#define MAY_BEGIN true
#else
#define MAY_BEGIN (!pending())
#endif

/* vhost_task_fn(), and workers.c: worker_main(), worker_killed(), pass_on() */
proctype thread()
{
	byte o = NONE;
	bool cut;

	do
	:: pending() ->
		handle_pending();
		if
		:: kill -> break
		:: !kill
		fi
	:: atomic { MAY_BEGIN && worker == HANDED && state[its] == WAITING ->
		/* begin() */
		touch(its);
		HOLDS(no_stale_interrupt, !is_interrupted || arrived);
		is_interrupted = false;
		o = its;
		state[o] = RUNNING;
		worker = BUSY };
		HOLDS(no_stale_interrupt, state[o] == CANCELLING || !note);
		if
		:: cut = false
		:: pending() -> cut = true
		fi;
		if
#ifndef MUTANT_NO_RETRY
		:: atomic { cut && state[o] == RUNNING -> state[o] = WAITING; worker = HANDED; o = NONE; cut = false }
		:: cut && state[o] == CANCELLING -> finish(o, cut)
#else
		:: cut -> finish(o, cut)
#endif
		:: !cut -> finish(o, cut)
		fi
	:: atomic { !pending() && worker == IDLE -> worker = ENDED }; goto out	/* its idle time is up */
	od;
	skip;
	d_step {
		is_killed = true;
		HOLDS(no_stale_interrupt, !is_interrupted || arrived);
		is_interrupted = false;
		if
		:: worker == IDLE -> worker = ENDED
		:: worker == RESERVED -> part()
		:: worker == HANDED && state[its] == WAITING ->
#ifdef MUTANT_LEAVES_OP
			worker = ENDED
#else
			o = its; state[o] = RUNNING; worker = BUSY
#endif
		:: else
		fi
	};
	if
	:: o != NONE ->
		atomic { !proxy_lock -> proxy_lock = true };
		if
		:: atomic { state[o] == RUNNING -> state[o] = WAITING; part(); helpers!o; proxy_lock = false; o = NONE }
		:: atomic { state[o] == CANCELLING -> proxy_lock = false; cut = true }; finish(o, cut)
		fi
	:: else
	fi;
out:	/* A cancel that takes the operation back ends it. */
	worker == ENDED;
	returned = true;
	/* do_exit() */
	handle_pending()
}

/* workers.c: reap() */
#ifdef MUTANT_FREES_EARLY
#define MAY_FREE true
#else
#define MAY_FREE (!is_interrupted || arrived)
#endif
proctype reaper()
{
end:	atomic { worker == ENDED && returned && MAY_FREE -> gone = true }
}

/* What interrupts the thread besides us. */
proctype others()
{
end:	do
	:: atomic { nforeign < FOREIGN && worker != NOT_MADE && !returned -> nforeign++; foreign = true }
	:: atomic { worker != NOT_MADE && !returned -> kill = true; break }
	od
}

/* op.c: op_create(); op_life.c: op_begin(); policy_worker.c: worker_start() */
proctype submitter()
{
	byte o;

	do
	:: o < OPS ->
		/* workers_reserve() */
		d_step {
			if
			:: worker == NOT_MADE || worker == IDLE -> worker = RESERVED; its = o; has_worker[o] = true
			:: else
			fi
		};
		d_step { reqs++; cancellable[o] = true };
		atomic { !proxy_lock -> proxy_lock = true };
		atomic {
			if
			:: state[o] == CANCELLED -> given_up!o
			/* workers_hand() */
			:: state[o] == ARMING && has_worker[o] -> state[o] = WAITING; worker = HANDED
			:: state[o] == ARMING && !has_worker[o] -> state[o] = WAITING; helpers!o
			fi;
			proxy_lock = false;
			o++
		}
	:: else -> break
	od;
	submitting = false
}

/* Whoever else carries operations out. */
proctype helper()
{
	byte o = NONE;

end:	do
	:: atomic { helpers?o -> touch(o);
		if
		:: state[o] == WAITING -> state[o] = RUNNING
		:: else
		fi };
		/* It may be stuck until a cancel comes. */
		if
		:: state[o] == RUNNING
		:: state[o] != RUNNING
		fi;
		state[o] = DONE;
		atomic { !proxy_lock -> complete(o); o = NONE }
	od
}

/* op_life.c: complete_given_up(); workers.c: workers_completed() */
proctype completer()
{
	byte o = NONE;

end:	do
	:: atomic { given_up?o -> touch(o); assert(state[o] == CANCELLED); state[o] = DONE;
		if
		:: has_worker[o] -> assert(worker == RESERVED && its == o); part()
		:: else
		fi };
		atomic { !proxy_lock -> complete(o); o = NONE }
	od
}

/* op_life.c: op_cancel(), with proxy->lock; policy_worker.c: worker_cancelled() */
inline cancel(o)
{
	d_step {
		touch(o);
		asked[o] = true;
		cancellable[o] = false;
		was = state[o];
		if
		:: was == ARMING || was == WAITING -> state[o] = CANCELLED
		:: was == RUNNING -> state[o] = CANCELLING
		:: else
		fi
	};
	if
	:: was == WAITING ->
		atomic {
			touch(o);
			if
			:: has_worker[o] && worker == HANDED ->	/* workers_take_back() */
#ifndef MUTANT_LEFT_TO_WORKER
				part();
				given_up!o
#else
				skip
#endif
			:: helpers??[eval(o)] -> helpers??eval(o); given_up!o
			:: else	/* the helper has it */
			fi
		}
	:: was == RUNNING ->
		/* workers_interrupt() */
		d_step {
			touch(o);
			if
			:: has_worker[o] ->
				HOLDS(no_touch_after_free, !gone);
				HOLDS(no_stale_interrupt, !is_interrupted);
				is_interrupted = true;
				arrived = false;
				note = true
			:: else
			fi
		}
	:: else
	fi
}

#define IO_CANCEL(n) cancellable[n] && !completed[n] && !proxy_lock -> o = n; proxy_lock = true

/* io_cancel(2), then the end of the process: exit_aio() */
proctype process()
{
	mtype:state was;
	byte o;

	do
	:: atomic {
		if
		:: IO_CANCEL(0)
		:: IO_CANCEL(1)
#if OPS > 2
		:: IO_CANCEL(2)
#endif
		fi
	   };
		cancel(o);
		d_step { proxy_lock = false; o = 0; was = 0 }
	:: break
	od;
	if
	:: true
	:: true; timeout ->
		d_step {
			o = 0;
			do
			:: o < OPS -> HOLDS(cancel_answered, !asked[o] || completed[o]); o++
			:: else -> break
			od;
			o = 0
		}
	fi;
	!submitting;
	do
	:: o < OPS ->
		atomic { !proxy_lock -> proxy_lock = true };
		if
		:: cancellable[o] && !completed[o] -> cancel(o)
		:: else
		fi;
		d_step { proxy_lock = false; o++; was = 0 }
	:: else -> break
	od;
	reqs == 0;
	timeout;
	d_step {
		HOLDS(nothing_left, worker == NOT_MADE || gone);
		HOLDS(nothing_left, empty(helpers) && empty(given_up) && !proxy_lock && !note);
		o = 0;
		do
		:: o < OPS -> HOLDS(nothing_left, completed[o] && !has_worker[o]); o++
		:: else -> break
		od
	}
}

init {
	atomic {
		run submitter(); run thread(); run others(); run helper(); run completer(); run reaper(); run process()
	}
}
