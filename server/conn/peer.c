/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include "access.h"
#include "base/clock.h"
#include "fsm.h"
#include "op.h"
#include "output.h"
#include "tls/tls.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static struct conn *conn_of(const struct peer *peer)
{
	return (struct conn *)(uintptr_t)peer;
}

void peer_resume(struct peer *peer)
{
	struct conn *c = conn_of(peer);

	assert(!c->in_session);
	/* The turn's clock is from before the loop slept: deadlines counted from it would be early. */
	c->shard->now_us = clock_us();
	conn_fsm(c, ON_RESUME, 0);
}

static int start_connect(int *fd, const struct sockaddr *to, socklen_t tolen)
{
	int one = 1, ret;

	*fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	if (to->sa_family != AF_UNIX)
		setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!connect(*fd, to, tolen) || errno == EINPROGRESS)
		return 0;
	ret = -errno;
	close(*fd);
	return ret;
}

static int open_conn(struct peer **opened, struct shard *shard, struct conn_group *group,
		     struct endpoint *endpoint, const struct sockaddr *to, socklen_t tolen)
{
	union addr addr = {.sa.sa_family = to->sa_family};
	struct conn *c;
	int fd, ret;

	if (tolen <= sizeof(addr))
		memcpy(&addr, to, tolen);
	if (conn_memory_exceeds(shard, NULL, 0)) {
		conn_memory_warn(shard, "a connection to a backend");
		return -ENOMEM;
	}
	ret = start_connect(&fd, to, tolen);
	if (ret)
		return ret;
	ret = conn_op_reserve(shard, shard->nconns + 1);
	if (!ret)
		ret = conn_create(&c, shard, group, endpoint, CONN_OUTGOING, fd, &addr);
	if (ret) {
		close(fd);
		return ret;
	}
	conn_fsm_start(c);
	*opened = conn_peer(c);
	return 0;
}

int peer_connect(struct peer **opened, struct peer *peer, struct endpoint *endpoint,
		 const struct sockaddr *to, socklen_t tolen)
{
	struct conn *c = conn_of(peer);
	int ret = open_conn(opened, c->shard, c->group, endpoint, to, tolen);

	if (!ret)
		conn_access_backend(c, to, tolen);
	return ret;
}

int peer_open(struct peer **opened, struct shard *shard, struct conn_group *group, struct endpoint *endpoint,
	      const struct sockaddr *to, socklen_t tolen)
{
	if (shard->draining)
		return -ESHUTDOWN;
	shard->now_us = clock_us(); /* as in peer_resume() */
	return open_conn(opened, shard, group, endpoint, to, tolen);
}

void peer_set_tally(struct peer *peer, struct tally *tally)
{
	struct conn *c = conn_of(peer);

	assert(!c->tally);
	c->tally = tally_get(tally);
}

void peer_tls_resume(struct peer *peer, struct tls_ticket *ticket)
{
	struct conn *c = conn_of(peer);

	/* Without it there is only more to do. */
	if (conn_is_tls(c))
		(void)tls_resume(c->tls.session, ticket);
}

struct tls_ticket *peer_tls_ticket(struct peer *peer)
{
	struct conn *c = conn_of(peer);

	return conn_is_tls(c) ? tls_ticket_get(c->tls.session) : NULL;
}

void *peer_session(struct peer *peer)
{
	return conn_of(peer)->session;
}

void peer_wake(struct peer *peer)
{
	struct conn *c = conn_of(peer);

	if (c->is_woken)
		return;
	c->is_woken = true;
	conn_get(c);
	STAILQ_INSERT_TAIL(&c->shard->woken, c, woken_link);
}

size_t peer_room(const struct peer *peer)
{
	uint64_t waits = conn_of(peer)->out.nbytes;

	return waits < OUTQ_HIGH ? OUTQ_HIGH - waits : 0;
}

int peer_append(struct peer *peer, const char *data, size_t len)
{
	int ret = output_append(conn_of(peer), data, len);

	if (!ret)
		peer_wake(peer);
	return ret;
}

void peer_finish(struct peer *peer)
{
	struct conn *c = conn_of(peer);

	if (c->output == OUTPUT_OPEN)
		c->output = OUTPUT_ENDING;
	peer_wake(peer);
}

void peer_end(struct peer *peer, enum close_reason reason)
{
	conn_of(peer)->asked = (uint8_t)reason;
	peer_wake(peer);
}

void peer_set_reason(struct peer *peer, enum close_reason reason)
{
	conn_set_reason(conn_of(peer), reason);
}

int peer_error(const struct peer *peer)
{
	return conn_of(peer)->err;
}

const char *peer_why(const struct peer *peer, enum close_reason reason)
{
	const struct conn *c = conn_of(peer);
	const char *why = reason == CLOSE_TLS && conn_is_tls(c) ? tls_error(c->tls.session) : "";

	if (*why)
		return why;
	return c->err ? strerror(-c->err) : close_reason_text(reason);
}

const union addr *peer_addr(const struct peer *peer)
{
	return &conn_of(peer)->peer;
}

int peer_local_addr(const struct peer *peer, union addr *addr)
{
	const struct conn *c = conn_of(peer);
	socklen_t len = sizeof(*addr);

	if (c->local) {
		*addr = *c->local;
		return 0;
	}
	return getsockname(c->fd, &addr->sa, &len) ? -errno : 0;
}

bool peer_tls(const struct peer *peer, struct tls_info *info)
{
	const struct conn *c = conn_of(peer);

	if (conn_is_tls(c))
		tls_info(c->tls.session, info);
	return conn_is_tls(c);
}
