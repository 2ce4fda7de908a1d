/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection. Invariant: a connection is closed only once both of its operations are idle; from
 * then until the close it is on net->drained.
 */
#include "conn.h"

#include "aio/taio.h"
#include "base/clock.h"
#include "proto.h"
#include "sock.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The last source address used is 127.0.0.1 plus this. */
#define SOURCES_MAX 250

void conn_init(struct conn *conn, struct net *net, uint32_t id, char *in)
{
	conn->net = net;
	conn->id = id;
	conn->in = in;
	conn->fd = -1;
	conn->rd.iocb.data = conn->wr.iocb.data = conn;
}

static void leave_opening(struct conn *conn)
{
	if (conn->state == CONN_CONNECT || conn->state == CONN_HANDSHAKE)
		conn->net->opening--;
}

static void write_rest(struct conn *conn)
{
	ops_write(&conn->net->ops, &conn->wr, conn->out, conn->out_left);
}

static void read_more(struct conn *conn)
{
	uint32_t room = conn->net->in_cap - conn->in_len;

	if (conn_is_alive(conn) && op_is_idle(&conn->rd) && room)
		ops_read(&conn->net->ops, &conn->rd, conn->in + conn->in_len, room);
}

/* A loopback target accepts any 127.0.0.0/8 source address, and each has its own range of ports. */
static bool next_source(struct net *net)
{
	const union addr *addr = &net->target.addr;

	if (addr->sa.sa_family != AF_INET || ntohl(addr->v4.sin_addr.s_addr) >> 24 != 127)
		return false;
	return ++net->source <= SOURCES_MAX;
}

static int bind_source(const struct net *net, int fd)
{
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + net->source),
	};

	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) < 0 ||
	    bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0)
		return -errno;
	return 0;
}

static int start_connect(struct net *net, int fd)
{
	const union addr *addr = &net->target.addr;
	int err;

	for (;;) {
		err = net->source && net->source <= SOURCES_MAX ? bind_source(net, fd) : 0;
		if (err)
			return err;
		if (!connect(fd, &addr->sa, addr_len(addr)) || errno == EINPROGRESS)
			return 0;
		if (errno != EADDRNOTAVAIL || !next_source(net))
			return -errno;
	}
}

static int open_socket(struct conn *conn)
{
	struct net *net = conn->net;
	int err;

	conn->fd = socket(net->target.addr.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		return -errno;
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	conn->connect_ns = clock_ns();
	err = start_connect(net, conn->fd);
	if (err)
		goto close_fd;
	conn->afd = taio_attach(net->ops.ring, conn->fd, TAIO_CLASS_STREAM);
	if (conn->afd < 0) {
		err = conn->afd;
		goto close_fd;
	}
	conn->rd.iocb.aio_fildes = conn->wr.iocb.aio_fildes = conn->afd;
	return 0;

close_fd:
	close(conn->fd);
	conn->fd = -1;
	return err;
}

void conn_open(struct conn *conn)
{
	struct net *net = conn->net;
	int err;

	assert(conn->state == CONN_NONE);
	conn->state = CONN_CONNECT;
	conn->exchange = EXCHANGE_NONE;
	conn->is_orderly = conn->peer_closes = false;
	conn->in_len = 0;
	conn->open_ns = conn->nresponses = 0;
	net->live++;
	net->opening++;
	if (!conn->is_reopened)
		net->stats->attempted++;
	err = open_socket(conn);
	if (err) {
		conn_fail(conn, error_of_connect(-err), -err, NULL);
		return;
	}
	timer_arm(&net->timeouts, &conn->timer, net->now_ns);
	ops_poll(&net->ops, &conn->wr, POLLOUT);
}

static void connect_done(struct conn *conn, long res)
{
	struct net *net = conn->net;
	socklen_t len = sizeof(int);
	int err = 0;

	if (res < 0)
		err = (int)-res;
	else if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err) {
		conn_fail(conn, error_of_connect(err), err, NULL);
		return;
	}
	hist_add(&net->stats->connect, net->now_ns - conn->connect_ns);
	conn->handshake_ns = net->now_ns;
	conn->state = CONN_HANDSHAKE;
	net->sock->start(conn);
	read_more(conn);
}

void conn_established(struct conn *conn)
{
	struct net *net = conn->net;

	leave_opening(conn);
	conn->state = CONN_OPEN;
	conn->open_ns = net->now_ns;
	timer_disarm(&net->timeouts, &conn->timer);
	if (conn->is_reopened)
		net->stats->reconnects++;
	else
		net->stats->established++;
	conn->has_failed = false;
	net->callbacks->on_open(conn);
}

void conn_request(struct conn *conn)
{
	struct net *net = conn->net;

	conn->exchange = EXCHANGE_PENDING;
	conn->has_input = false;
	conn->nrequests++;
	timer_arm(&net->timeouts, &conn->timer, net->now_ns);
	net->proto->request(conn);
}

void conn_send(struct conn *conn, const char *data, size_t len)
{
	struct net *net = conn->net;

	if (net->counting == COUNT_ALL)
		net->stats->sent += len;
	net->sock->send(conn, data, len);
}

void conn_write(struct conn *conn, const char *data, size_t len)
{
	conn->out = data;
	conn->out_left = len;
	write_rest(conn);
}

static void response_done(struct conn *conn)
{
	struct net *net = conn->net;

	conn->exchange = EXCHANGE_NONE;
	conn->nresponses++;
	timer_disarm(&net->timeouts, &conn->timer);
	net->callbacks->on_response(conn);
}

static void take_response(struct conn *conn, enum step step)
{
	if (step == STEP_FAILED)
		conn_fail(conn, conn->failure, 0, NULL);
	else if (step == STEP_DONE && !op_is_idle(&conn->wr))
		conn->exchange = EXCHANGE_WRITING;
	else if (step == STEP_DONE)
		response_done(conn);
}

void conn_input(struct conn *conn, const char *data, size_t len)
{
	struct net *net = conn->net;

	if (net->counting == COUNT_ALL)
		net->stats->received += len;
	if (conn->exchange != EXCHANGE_NONE) {
		conn->has_input = true;
		take_response(conn, net->proto->input(conn, data, len));
	} else if (conn->state == CONN_OPEN && !net->callbacks->allows_stray) {
		conn_fail(conn, ERROR_UNEXPECTED, 0, NULL);
	}
}

/*
 * A server may close a kept-alive connection at any time. A request that crosses the close on the wire gets
 * no byte of a response (RFC 9112 sections 9.3.1 and 9.6), which differs from a server that fails to respond.
 * A server that closed on purpose after reading the request looks the same and is counted here too.
 */
static bool is_keepalive_close(const struct conn *conn)
{
	return conn->exchange == EXCHANGE_PENDING && conn->net->proto->keeps_alive && conn->nresponses &&
	       !conn->has_input;
}

void conn_eof(struct conn *conn)
{
	const struct net *net = conn->net;

	if (conn->state == CONN_FINISH) {
		conn->is_orderly = true;
		conn_drop(conn);
	} else if (conn->state == CONN_HANDSHAKE) {
		conn_fail(conn, ERROR_CLOSED, 0, "closed by the server during the handshake");
	} else if (conn->state == CONN_OPEN && conn->exchange == EXCHANGE_PENDING) {
		conn->failure = is_keepalive_close(conn) ? ERROR_KEEPALIVE : ERROR_CLOSED;
		take_response(conn, net->proto->eof ? net->proto->eof(conn) : STEP_FAILED);
	} else if (conn_is_idle(conn)) {
		net->callbacks->on_hangup(conn, 0);
	}
}

static void transfer_failed(struct conn *conn, int err)
{
	enum error_kind kind = error_of_transfer(err);

	if (conn_is_idle(conn))
		conn->net->callbacks->on_hangup(conn, err);
	else if (kind == ERROR_RESET && is_keepalive_close(conn))
		conn_fail(conn, ERROR_KEEPALIVE, 0, NULL);
	else
		conn_fail(conn, kind, err, NULL);
}

static void read_done(struct conn *conn, long res)
{
	if (res < 0) {
		transfer_failed(conn, (int)-res);
		return;
	}
	if (res == 0) {
		conn_eof(conn);
	} else {
		conn->in_len += (uint32_t)res;
		conn->net->sock->input(conn);
	}
	read_more(conn);
}

static void write_done(struct conn *conn, long res)
{
	if (res < 0) {
		transfer_failed(conn, (int)-res);
		return;
	}
	conn->out += res;
	conn->out_left -= (size_t)res;
	if (conn->out_left) {
		write_rest(conn);
		return;
	}
	conn->net->sock->written(conn);
	if (conn->exchange == EXCHANGE_WRITING && op_is_idle(&conn->wr))
		response_done(conn);
	read_more(conn);
}

void conn_finish(struct conn *conn)
{
	struct net *net = conn->net;

	assert(conn->state == CONN_OPEN);
	conn->state = CONN_FINISH;
	conn->exchange = EXCHANGE_NONE;
	timer_arm(&net->timeouts, &conn->timer, net->now_ns);
	net->sock->finish(conn);
}

/* Fails with ENOTCONN if the peer has reset the connection; the read in flight reports that. */
void conn_shutdown(struct conn *conn)
{
	shutdown(conn->fd, SHUT_WR);
}

static bool is_reconnecting(const struct conn *conn)
{
	return conn->is_reopened && !conn->open_ns;
}

static void describe(const struct conn *conn, const char *detail, char *line, size_t len)
{
	if (is_reconnecting(conn))
		snprintf(line, len, "connection %u, reconnect: %s", conn->id + 1, detail);
	else if (conn->nrequests)
		snprintf(line, len, "connection %u, request %llu: %s", conn->id + 1,
			 (unsigned long long)conn->nrequests, detail);
	else
		snprintf(line, len, "connection %u: %s", conn->id + 1, detail);
}

void conn_fail(struct conn *conn, enum error_kind kind, int err, const char *detail)
{
	struct net *net = conn->net;
	char line[256];

	if (net->counting != COUNT_NOTHING) {
		if (!detail)
			detail = err ? strerror(err) : error_rows[kind].text;
		describe(conn, detail, line, sizeof(line));
		stats_error(net->stats, kind, 1, line);
		if (is_reconnecting(conn))
			net->stats->reconnect_failures++;
	}
	conn->has_failed = true;
	conn_drop(conn);
}

static void check_drained(struct conn *conn)
{
	if (op_is_idle(&conn->rd) && op_is_idle(&conn->wr))
		TAILQ_INSERT_TAIL(&conn->net->drained, conn, link);
}

void conn_drop(struct conn *conn)
{
	struct net *net = conn->net;

	if (conn->state == CONN_DROP || conn->state == CONN_NONE)
		return;
	leave_opening(conn);
	conn->state = CONN_DROP;
	conn->exchange = EXCHANGE_NONE;
	timer_disarm(&net->timeouts, &conn->timer);
	net->callbacks->on_drop(conn);
	op_cancel(&conn->rd, net->ops.ring);
	op_cancel(&conn->wr, net->ops.ring);
	check_drained(conn);
}

static void dropped_op_done(struct conn *conn, long res)
{
	check_drained(conn);
}

void conn_close(struct conn *conn)
{
	struct net *net = conn->net;

	TAILQ_REMOVE(&net->drained, conn, link);
	if (conn->fd >= 0) {
		net->sock->stop(conn);
		taio_detach(net->ops.ring, conn->afd);
		close(conn->fd);
		conn->fd = -1;
	}
	conn->state = CONN_NONE;
	net->live--;
	net->callbacks->on_gone(conn);
}

typedef void conn_step(struct conn *conn, long res);

struct conn_steps {
	conn_step *read, *write;
};

/* An empty cell cannot be reached: no such operation is in flight in that state. */
static const struct conn_steps steps[CONN_NSTATES] = {
	[CONN_CONNECT] = {.write = connect_done},
	[CONN_HANDSHAKE] = {.read = read_done, .write = write_done},
	[CONN_OPEN] = {.read = read_done, .write = write_done},
	[CONN_FINISH] = {.read = read_done, .write = write_done},
	[CONN_DROP] = {.read = dropped_op_done, .write = dropped_op_done},
};

void conn_event(struct op *op, long res)
{
	struct conn *conn = op->iocb.data;
	conn_step *step = op == &conn->rd ? steps[conn->state].read : steps[conn->state].write;

	assert(step);
	step(conn, res);
}

static void tell_write(struct op *op, void *now_ns)
{
	struct conn *conn = op->iocb.data;

	conn->net->callbacks->on_write(conn, *(uint64_t *)now_ns);
}

void conn_flush(struct net *net)
{
	uint64_t now_ns;

	if (net->callbacks->on_write) {
		now_ns = clock_ns();
		ops_each_write(&net->ops, tell_write, &now_ns);
	}
	ops_flush(&net->ops, conn_event);
}

static void time_out(struct conn *conn)
{
	static const char *const details[CONN_NSTATES] = {
		[CONN_CONNECT] = "timed out during connect",
		[CONN_HANDSHAKE] = "timed out during the TLS handshake",
		[CONN_OPEN] = "timed out waiting for the response",
		[CONN_FINISH] = "timed out waiting for the server to close",
	};

	conn_fail(conn, ERROR_TIMEOUT, ETIMEDOUT, details[conn->state]);
}

void conn_expire(struct net *net)
{
	struct timer *timer;

	while ((timer = timers_take(&net->timeouts, net->now_ns)))
		time_out((struct conn *)((char *)timer - offsetof(struct conn, timer)));
}
