/* SPDX-License-Identifier: MIT */
/* The keys of session tickets, made at random, of configurations that name none. They outlive reloads and
 * upgrades, and are replaced in time. Main thread; workers share the keys. */
#ifndef ROTATION_H
#define ROTATION_H

#include <ev.h>

struct tls_ticket_keys;

struct rotation {
	struct tls_ticket_keys *keys;
	ev_timer timer;
};

/* Those of the process before, if it was an upgrade's, or new ones. 0, or -errno, which is logged. */
int rotation_open(struct rotation *rotation);
void rotation_start(struct rotation *rotation, struct ev_loop *loop);
void rotation_close(struct rotation *rotation);

#endif
