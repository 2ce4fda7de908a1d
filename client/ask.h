/* SPDX-License-Identifier: MIT */
/*
 * Requests to the service admin of taiod, one at a time over a connection that is kept, made anew where it
 * has ended meanwhile. A response is kept whole, up to a bound.
 */
#ifndef CLIENT_ASK_H
#define CLIENT_ASK_H

#include "client.h"

#include <stddef.h>

#define ASK_BODY_MAX (16u << 20)

struct ask;

/* @where: "unix:/PATH" or a URL, checked. NULL: no memory, which is reported. */
struct ask *ask_create(struct client *client, const char *where);
/* NULL is allowed. */
void ask_destroy(struct ask *ask);

/* Connects if it must, which may take --timeout, and sends. 0 or -errno; every failure but a signal is
 * reported, here and below. */
int ask_start(struct ask *ask, const char *method, const char *path);
/* Never sleeps: 0 once the response is there, -EAGAIN before that, -errno. */
int ask_some(struct ask *ask);
/* When ask_some() gives up. */
uint64_t ask_deadline_ns(const struct ask *ask);
/* Sleeps until the response is there. */
int ask_wait(struct ask *ask);
/* Forgets the request under way. */
void ask_cancel(struct ask *ask);

/* Of the response. The body is ended by a NUL that does not count. */
unsigned int ask_status(const struct ask *ask);
const char *ask_body(const struct ask *ask, size_t *len);

#endif
