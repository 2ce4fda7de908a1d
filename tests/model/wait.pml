/* SPDX-License-Identifier: MIT */
/*
 * How operations wait in one direction of a stream of taio.ko, for SPIN: kmod/queue.c, with the runners of the policies
 * park and task. tests/model/run checks it.
 *
 * Checked, in every interleaving: the properties named below, and no invalid end state.
 *
 * Abstraction, and why it is sound:
 * - A critical section of proxy->lock is one step: all that it reads or writes is guarded by that lock, and it waits for
 *   nothing inside. Memory order is not checked here.
 * - One try of the file is one step, and so is its wake function, some time after the step that brought the data.
 * - Callers of io_cancel(2) are one process, which takes any operation at any time: they exclude each other by ctx_lock, and
 *   everybody else here by proxy->lock. TAIO_IOC_CANCEL is the same, for it holds that lock.
 * - An operation is freed in the step of its completion, and a proxy with its last reference: the earliest moments.
 *
 * FAULTS: what the runner tries may need a page of the user's that is missing, or a lock that somebody has. It then leaves
 * the first to a helper, and the queue stays busy.
 *
 * LATER: a try may come to nothing for want of memory, with data there. Nothing wakes it, so the clock has a work item try
 * again. Whether there are data is looked at outside the lock.
 *
 * HELD: the other work items of the user may sleep for good, and those of the queue do not begin then.
 *
 * Not covered: policy block, where a helper takes the place of the try (cancel.pml); several submitters, among whom a
 * runner hands the queue on; a cancel of an operation that INLINE has tried, before it is in the queue.
 */
#ifndef OPS
#define OPS 3
#endif
#ifndef DATA
#define DATA 2		/* tries that succeed */
#endif
#ifndef VAIN
#define VAIN 1		/* wake-ups without data */
#endif
/* INLINE: the submitter tries first. TASK: the runner is the submitter's task work, which holds the file. */

hidden byte one_completion;
hidden byte no_touch_after_free;
hidden byte in_order;		/* what moves data completes in the order of submission */
hidden byte nothing_lost;	/* at rest nothing waits for data that are there */
hidden byte cancel_answered;	/* at rest what was cancelled has completed */
hidden byte nothing_left;
hidden byte one_runner;
#define HOLDS(property, condition) assert((condition) || property)

#define NONE 255

/* the direction; proxy->lock */
bool ready = true, busy;
chan ops = [OPS] of { byte };
byte trying = NONE;
bool cancelled[OPS];		/* while it was tried */
bool queued;			/* the runner is to run: work item, or task work */
bool helped;			/* @trying is in a queue for helpers */
#ifdef FAULTS
bool needs_helper[OPS];
#endif
#ifdef LATER
bool scarce = true;		/* the next try with data lacks memory */
bool stopped;			/* stop_work() is over */
#endif

chan dead = [OPS] of { byte };	/* cancelled in the list: the queue of completions */

byte data, brought;
bool hooked = true;
byte files = 1;			/* references to the proxy's file: the descriptor's, each kiocb's, task work's */
byte refs = 1;			/* of the proxy: its file's, and one while it is busy */
bool freed;			/* the proxy */

byte reqs;			/* kiocbs of fs/aio */
bool cancellable[OPS], completed[OPS], asked[OPS], submitted[OPS];
byte last = NONE;		/* the latest that has moved data */
bool exiting, exited, in_submit = true;
bool open = true;		/* the descriptor */
bool running;
bool held_up;			/* the user's other work items sleep, so that none of his begins */

#define touch() HOLDS(no_touch_after_free, !freed)

inline complete(o)
{
	HOLDS(one_completion, !completed[o]);
	completed[o] = true;
#ifdef FAULTS
	needs_helper[o] = false;
#endif
	cancellable[o] = false;
	reqs--;
	files--
}

/* The same for one that has moved data. */
inline complete_own(o)
{
	HOLDS(in_order, last == NONE || o > last);
	last = o;
	complete(o)
}

/* queue.c: look(), under proxy->lock; policy->run() */
inline look()
{
	if
	:: !busy && ready && len(ops) > 0 ->
		busy = true;
#ifndef MUTANT_HOLDS_NOTHING
		refs++;
#endif
		queued = true;
#ifdef TASK
		files++
#endif
	:: else
	fi
}

/* proxy.c: proxy_put() */
inline proxy_put()
{
	refs--;
	if
	:: refs == 0 -> freed = true
	:: else
	fi
}

/* queue.c: hook_wake() */
inline wake()
{
	if
	:: hooked -> touch(); ready = true; look()
	:: else
	fi
}

proctype peer()
{
	byte vain;

	do
	:: brought < DATA -> atomic { data++; brought++ }; atomic { wake() }
	:: vain < VAIN -> vain++; atomic { wake() }
	:: atomic { brought == DATA -> break }
	od
}

/* helpers.c: take_back(); queue.c: queue_drop_tried() */
inline take_back(o)
{
#ifndef MUTANT_LEFT_TO_THE_HELPER
	helped = false;
#endif
	trying = NONE;
	busy = false;
	proxy_put();
	ops??eval(o);
	ready = true;
	dead!o;
	look()
}

/* One try. @ready is cleared before it, under proxy->lock. */
inline try(got)
{
#ifndef MUTANT_CLEARS_AFTER
	d_step { ready = false };
#endif
	d_step {
		if
#ifdef LATER
		:: data > 0 && scarce -> scarce = false; got = false
		:: data > 0 && !scarce -> data--; got = true
#else
		:: data > 0 -> data--; got = true
#endif
		:: else -> got = false
		fi
	};
#ifdef MUTANT_CLEARS_AFTER
	d_step { if :: !got -> ready = false :: else fi };
#endif
}

/* queue.c: queue_submit(): claim(), unclaim(), enqueue() */
proctype submitter()
{
	byte o;
	bool got, later;

	do
	:: atomic { o < OPS && !exiting && open -> submitted[o] = true; reqs++; files++ };
#ifdef INLINE
		atomic {
			touch();
			if
			:: len(ops) == 0 && !busy && ready -> busy = true
			:: else -> goto enqueue
			fi
		};
		try(got);
#ifdef LATER
		d_step { later = !got && data > 0 };
#endif
		atomic {
			touch();
			if
			:: got ->
				ready = true;
				busy = false;
				complete_own(o);
				look();
				goto next
			:: else ->
				/* Those that came meanwhile are behind it. */
				cancellable[o] = true;
				ops!!o;	/* in front */
				busy = false;
				ready = ready || later;
				look();
				goto next
			fi
		};
enqueue:	skip;
#endif
		d_step { cancellable[o] = true };
		atomic {
			touch();
			/* It is ARMING until then, and CANCELLED if a cancel came. */
			if
			:: asked[o] -> dead!o
			:: else -> ops!o; look()
			fi
		};
next:		o++
	:: atomic { o == OPS || exiting || !open -> in_submit = false; break }
	od
}

/* A task that waits in exit_aio() runs its task work afterwards: policy_task.c: task_callback(). */
#ifdef TASK
#define MAY_RUN (queued && (!exiting || exited))
#else
#define MAY_RUN (queued && !held_up)
#endif

/* The item is pending until its tick, and the queue busy. */
inline arm_clock()
{
	HOLDS(no_touch_after_free, !stopped);
	queued = true;
	running = false;
	later = false;
	goto end
}

/* queue.c: queue_run(): take(), try(), wait_again(), finish() */
proctype runner()
{
	byte o = NONE;
	bool got, later;

end:	do
	:: atomic { MAY_RUN -> queued = false; HOLDS(one_runner, !running); running = true };
again:		atomic {
			touch();
			if
			:: len(ops) == 0 -> busy = false; goto idle
			:: len(ops) > 0 ->
				ops?<o>;
				trying = o;
#ifdef FAULTS
				/* helpers_run() */
				if
				:: needs_helper[o] ->
					needs_helper[o] = false;
					helped = true;
					running = false;
					o = NONE;
#ifdef TASK
					files--;
#endif
					goto end
				:: else
				fi
#endif
			fi
		};
#ifdef FAULTS
		/* want_helper() */
		atomic {
			if
			:: data > 0 ->
				if
				:: cancelled[o] -> goto tried
				:: else -> needs_helper[o] = true; trying = NONE; o = NONE; goto again
				fi
			:: true
			fi
		};
#endif
		try(got);
#if defined(LATER) && !defined(MUTANT_NO_CLOCK)
		d_step { later = !got && data > 0 };
#endif
tried:		atomic {
			touch();
			trying = NONE;
			if
			:: got || cancelled[o] -> ops??eval(o)
			:: else ->
				o = NONE;
				if
				:: ready -> goto again
#ifdef LATER
				:: !ready && later ->
#ifdef MUTANT_ARMS_LATE
					goto late
#else
					arm_clock()
#endif
#endif
				:: !ready && !later -> busy = false; goto idle
				fi
			fi;
			ready = true	/* the next may want something else */
		};
		atomic {
			if
			:: got -> complete_own(o)
			:: else -> complete(o)
			fi;
			o = NONE;
			got = false
		};
#ifdef MUTANT_STOPS_AFTER_ONE
		atomic { busy = false; goto idle };
#endif
		goto again;
#ifdef MUTANT_ARMS_LATE
late:		atomic { arm_clock() };
#endif
idle:		atomic {
			running = false;
#ifndef MUTANT_HOLDS_NOTHING
			proxy_put();
#endif
#ifdef TASK
			files--
#endif
		}
	od
}

#ifdef FAULTS
/* helpers.c: helper_next(), helper_run(); queue.c: queue_helped() */
proctype helper()
{
	byte o = NONE;
	bool got;

end:	do
	:: atomic { helped -> helped = false; o = trying; HOLDS(one_runner, !running); running = true };
		/* It waits for data; a signal ends that. */
		atomic {
			if
			:: data > 0 -> data--; got = true
			:: cancelled[o]
			fi
		};
		atomic { touch(); trying = NONE; ops??eval(o); ready = true };
		atomic {
			if
			:: got -> complete_own(o)
			:: else -> complete(o)
			fi;
			o = NONE;
			got = false
		};
		atomic {
			touch();
			running = false;
			busy = false;
#ifndef MUTANT_HELPER_STOPS
			look();
#endif
			proxy_put()
		}
	od
}
#endif

/* op_life.c: cancel_iocb(), op_cancel(); queue.c: queue_drop(). The first for an iocb is the only one. */
inline cancel(o)
{
	touch();
	asked[o] = true;
	cancellable[o] = false;
	if
	:: ops??[eval(o)] && trying != o ->
#ifdef MUTANT_STAYS_LISTED
		dead!o
#else
		if
		:: ops?[eval(o)] -> ops??eval(o); ready = true
		:: else -> ops??eval(o)
		fi;
		dead!o;
		look()
#endif
	:: trying == o && helped -> take_back(o)
	:: trying == o && !helped -> cancelled[o] = true
	:: else
	fi
}

#define IO_CANCEL(n) cancellable[n] && !completed[n] -> o = n

/* op_life.c: complete_given_up() */
proctype completer()
{
	byte o;

end:	do
	:: atomic { dead?o -> complete(o) }
	od
}

/* The descriptor may be closed at any time. proxy_file.c: proxy_release(); queue.c: stop_work() */
proctype closer()
{
	atomic { open = false; files-- };
	atomic { files == 0 -> hooked = false };
#ifdef MUTANT_WAITS_FOR_WORK
	!queued;
#endif
	atomic {
		if
		:: queued -> queued = false; busy = false; proxy_put()
		:: else
		fi;
#ifdef LATER
		stopped = true;
#endif
		proxy_put()
	}
}

/* The submitter's process: io_cancel(2), then its end, at any moment or when all is at rest. */
proctype process()
{
	byte o;

	do
	:: atomic {
		if
		:: IO_CANCEL(0)
		:: IO_CANCEL(1)
#if OPS > 2
		:: IO_CANCEL(2)
#endif
		fi;
		cancel(o);
		o = 0
	   }
	:: break
	od;
	if
	:: true
	:: true; timeout ->
		d_step {
			HOLDS(nothing_lost, held_up || !(data > 0 && len(ops) > 0));
			HOLDS(nothing_lost, held_up || !busy);
			o = 0;
			do
			:: o < OPS -> HOLDS(cancel_answered, !asked[o] || completed[o]); o++
			:: else -> break
			od;
			o = 0
		}
	fi;
	exiting = true;
	!in_submit;	/* mm_users */
	do
	:: o < OPS ->
		atomic {
			if
			:: cancellable[o] && !completed[o] -> cancel(o)
			:: else
			fi;
			o++
		}
	:: else -> break
	od;
	reqs == 0;
	exited = true;
	timeout;
	d_step {
		HOLDS(nothing_left, freed && len(ops) == 0 && len(dead) == 0 && !busy && !queued && !running);
		o = 0;
		do
		:: o < OPS -> HOLDS(nothing_left, completed[o] == submitted[o]); o++
		:: else -> break
		od
	}
}

#ifdef HELD
proctype others()
{
	held_up = true
}
#endif

init { atomic { run submitter(); run peer(); run runner(); run completer();
#ifdef FAULTS
	run helper();
#endif
#ifdef HELD
	run others();
#endif
	 run closer(); run process() } }
