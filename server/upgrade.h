/* SPDX-License-Identifier: MIT */
/*
 * Changes over to another program without losing a connection: when the program's file has been replaced, a
 * reload starts the new one beside this process, with the same arguments and with its listening sockets. Once
 * that serves it says so, this process tells the service manager of its new main process (MAINPID=,
 * sd_notify(3)), and accepts no more. Main thread.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include "handover.h"

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

struct upgrade {
	char *program; /* where it was started from, or NULL: not known */
	char **argv;
	struct ev_loop *loop;
	pid_t pid;    /* of the new process, while it starts; 0: there is none */
	int link;     /* to it */
	int exec_err; /* errno of its execve(2), or 0 */
	ev_io said;
	ev_child ended;
	ev_timer late;
	void (*on_end)(void *arg, const char *why);
	void *arg;
};

#define UPGRADE_WHY_LEN 256

/* @argv is that of main(), and stays. Without memory there will be no upgrade. */
void upgrade_init(struct upgrade *upgrade, char **argv);
void upgrade_fini(struct upgrade *upgrade);

/* Whether another file than the one that runs is where this program was started from. */
bool upgrade_is_due(const struct upgrade *upgrade);

/* What it is to know, besides: a secret of so many bytes. */
#define UPGRADE_SECRET_MAX 256

/*
 * Starts it, with @sockets and the @len bytes at @secret. @on_end is called later, from @loop: with NULL, the
 * new process serves (the reply to it waits for that call to return, so that the service manager hears of it
 * first); or with the reason why it does not, and there is none. 0, or -errno with why[UPGRADE_WHY_LEN].
 */
int upgrade_start(struct upgrade *upgrade, struct ev_loop *loop, const struct handover *sockets,
		  const void *secret, size_t len, void (*on_end)(void *arg, const char *why), void *arg,
		  char *why);
/* Ends the new process before it serves, and does not call @on_end. */
void upgrade_stop(struct upgrade *upgrade);

/* In the new process, at its start: whether there is a secret of exactly @len bytes, which is in @secret
 * then. */
bool upgrade_secret(void *secret, size_t len);

/* In the new process, once it serves: tells the one that has started it, if one has, and waits until it
 * knows. */
void upgrade_tell_parent(void);

#endif
