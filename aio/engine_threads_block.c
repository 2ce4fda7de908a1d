/* SPDX-License-Identifier: MIT */
/*
 * Policy block: a helper takes one operation and blocks for it. The cancel protocol of the aio thread
 * patches of February 2013, in user space. Helpers run block_run(), the ring's thread block_interrupt().
 *
 * The cancel signal is blocked everywhere but in the helper's ppoll(2), which unblocks it atomically with
 * falling asleep. The compare-and-exchange WAITING -> CANCELLED (engine_threads_op.h) entitles the canceller
 * to send one signal, and obliges the helper, which fails to leave WAITING, to stay until that very signal
 * has come: either the handler ran inside ppoll(2), or it is pending and rt_sigtimedwait(2) takes it.
 *
 * Invariant: between two operations of a helper no cancel signal is pending for it or on its way. So none
 * can hit the next operation, and the thread it is sent to is there.
 *
 * Others can send this signal too, but it can be told apart: only pthread_kill(3) from this process arrives
 * with SI_TKILL and our own pid, and the kernel does not let that pair be forged. A foreign signal makes
 * ppoll(2) return early, and the helper tries and waits again.
 */
#include "engine_threads_block.h"

#include "taio.h"
#include "transfer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The one signal that this library claims in the whole process, from the first ring of policy block on. */
#define CANCEL_SIGNAL (SIGRTMIN + 7)

/* Written by the handler, in ppoll(2) only; read and reset by the same thread outside of it. */
static _Thread_local volatile sig_atomic_t has_arrived;

/* The signals blocked in ppoll(2): all but the cancel signal. Written once. */
static sigset_t wait_mask;

static bool is_ours(const siginfo_t *info)
{
	return info->si_code == SI_TKILL && info->si_pid == getpid();
}

static void on_cancel_signal(int sig, siginfo_t *info, void *context)
{
	if (is_ours(info))
		has_arrived = 1;
}

static int init_err;

static void init_once(void)
{
	/* No SA_RESTART: ppoll(2) must return. */
	struct sigaction action = {.sa_sigaction = on_cancel_signal, .sa_flags = SA_SIGINFO};
	struct sigaction before;

	sigfillset(&action.sa_mask);
	sigfillset(&wait_mask);
	sigdelset(&wait_mask, CANCEL_SIGNAL);
	if (sigaction(CANCEL_SIGNAL, &action, &before) < 0) {
		init_err = -errno;
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		sigaction(CANCEL_SIGNAL, &before, NULL);
		init_err = -EBUSY;
	}
}

int block_init(char *why)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct rlimit pending;

	pthread_once(&once, init_once);
	if (init_err < 0) {
		snprintf(why, TAIO_WHY_LEN,
			 "SIGRTMIN+%d, the signal that cancels operations, already has a handler in this "
			 "process",
			 CANCEL_SIGNAL - SIGRTMIN);
		return init_err;
	}
	if (getrlimit(RLIMIT_SIGPENDING, &pending) == 0 && pending.rlim_cur == 0) {
		snprintf(why, TAIO_WHY_LEN,
			 "cannot queue the signal that cancels operations: raise ulimit -i above 0");
		return -EAGAIN;
	}
	return 0;
}

static void wait_ready(const struct iocb *iocb)
{
	struct pollfd pfd = {.fd = iocb->aio_fildes, .events = iocb_wants(iocb)};

	/* Its result does not matter: the next attempt decides. */
	ppoll(&pfd, 1, NULL, &wait_mask);
}

/* The canceller has won: its signal has arrived or will arrive. */
static void take_cancel_signal(void)
{
	siginfo_t info;
	sigset_t cancel;

	sigemptyset(&cancel);
	sigaddset(&cancel, CANCEL_SIGNAL);
	while (!has_arrived) {
		/* Not sigwaitinfo(3): glibc's reports SI_TKILL as SI_USER. */
		long sig = syscall(SYS_rt_sigtimedwait, &cancel, &info, NULL, _NSIG / 8);

		if (sig == CANCEL_SIGNAL && is_ours(&info))
			break;
	}
	has_arrived = 0;
}

/* OP_MOVING on entry; returns the operation's result. */
static long block_move(struct threads_op *op)
{
	for (;;) {
		long res = transfer_now(op->waiter.iocb, TAIO_CLASS_STREAM);

		if (res != -EAGAIN)
			return res;
		if (!op_step(op, OP_MOVING, OP_WAITING))
			return -ECANCELED;
		/* A signal sent from here on stays pending until ppoll(2) lets it in. */
		wait_ready(op->waiter.iocb);
		if (!op_step(op, OP_WAITING, OP_MOVING)) {
			take_cancel_signal();
			return -ECANCELED;
		}
	}
}

void block_run(struct job *job)
{
	struct threads_op *op = job_to_op(job);
	long res = -ECANCELED;

	op->helper = pthread_self();
	if (op_step(op, OP_QUEUED, OP_MOVING))
		res = block_move(op);
	threads_op_finish(op, res);
}

void block_interrupt(struct threads_op *op)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};

	/* Fails only with EAGAIN, while the user's signal queue is full. The helper waits for the signal, so
	 * it must be sent: try again until it is. */
	while (pthread_kill(op->helper, CANCEL_SIGNAL) != 0)
		nanosleep(&pause, NULL);
}
