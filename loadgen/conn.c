/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection. Invariant: conn->reading and conn->writing are true exactly while rd and wr are
 * in the batch or the ring; a connection is buried only when both are false. Loop thread only.
 */
#include "conn.h"

#include "run.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* 127.0.0.1 + this is the last source address taken. */
#define SOURCES_MAX 250

void conn_init(struct conn *conn, struct run *run, uint32_t id, char *in)
{
	conn->run = run;
	conn->id = id;
	conn->in = in;
	conn->fd = -1;
	conn->rd.data = conn->wr.data = conn;
}

static void leave_opening(struct conn *conn)
{
	if (conn->state == CONN_CONNECT || conn->state == CONN_SHAKE)
		conn->run->opening--;
}

static void submit_poll(struct conn *conn)
{
	conn->wr.aio_lio_opcode = IO_CMD_POLL;
	conn->wr.u.c.nbytes = 0;
	conn->wr.u.poll.events = POLLOUT;
	conn->writing = true;
	batch_add_write(&conn->run->batch, &conn->wr);
}

static void submit_write(struct conn *conn)
{
	conn->wr.aio_lio_opcode = IO_CMD_PWRITE;
	conn->wr.u.c.buf = (void *)conn->out;
	conn->wr.u.c.nbytes = conn->out_left;
	conn->writing = true;
	batch_add_write(&conn->run->batch, &conn->wr);
}

static void submit_read(struct conn *conn)
{
	struct run *run = conn->run;

	if (!conn_is_alive(conn) || conn->reading || conn->in_len == run->in_cap)
		return;
	conn->rd.aio_lio_opcode = IO_CMD_PREAD;
	conn->rd.u.c.buf = conn->in + conn->in_len;
	conn->rd.u.c.nbytes = run->in_cap - conn->in_len;
	conn->reading = true;
	batch_add_read(&run->batch, &conn->rd);
}

/* A loopback target can be reached from further source addresses, each with ports of its own. */
static bool next_source(struct run *run)
{
	const union addr *addr = &run->target.addr;

	if (addr->sa.sa_family != AF_INET || ntohl(addr->v4.sin_addr.s_addr) >> 24 != 127)
		return false;
	return ++run->source <= SOURCES_MAX;
}

static int bind_source(const struct run *run, int fd)
{
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + run->source),
	};

	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) < 0 ||
	    bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0)
		return -errno;
	return 0;
}

static int connect_begin(struct run *run, int fd)
{
	int err;

	for (;;) {
		err = run->source && run->source <= SOURCES_MAX ? bind_source(run, fd) : 0;
		if (err)
			return err;
		if (!connect(fd, &run->target.addr.sa, addr_len(&run->target.addr)) || errno == EINPROGRESS)
			return 0;
		if (errno != EADDRNOTAVAIL || !next_source(run))
			return -errno;
	}
}

static int socket_open(struct conn *conn)
{
	struct run *run = conn->run;
	int err;

	conn->fd = socket(run->target.addr.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		return -errno;
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	conn->mark_ns = conn->ref_ns = clock_ns();
	err = connect_begin(run, conn->fd);
	if (err)
		goto close_fd;
	conn->afd = taio_attach(run->ring, conn->fd, TAIO_CLASS_STREAM);
	if (conn->afd < 0) {
		err = conn->afd;
		goto close_fd;
	}
	conn->rd.aio_fildes = conn->wr.aio_fildes = conn->afd;
	return 0;

close_fd:
	close(conn->fd);
	conn->fd = -1;
	return err;
}

void conn_open(struct conn *conn)
{
	struct run *run = conn->run;
	int err;

	assert(conn->state == CONN_NONE);
	conn->state = CONN_CONNECT;
	conn->busy = conn->answered = conn->orderly = conn->reopen = false;
	conn->in_len = 0;
	run->live++;
	run->opening++;
	if (!conn->again)
		run->stats.asked++;
	err = socket_open(conn);
	if (err) {
		conn_fail(conn, error_of_connect(-err), -err, NULL);
		return;
	}
	timer_arm(&run->timeouts, &conn->timer, run->now_ns);
	submit_poll(conn);
}

static void connect_done(struct conn *conn, long res)
{
	struct run *run = conn->run;
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
	hist_add(&run->stats.connect, run->now_ns - conn->mark_ns);
	conn->mark_ns = run->now_ns;
	conn->state = CONN_SHAKE;
	run->sock->start(conn);
	submit_read(conn);
}

void conn_established(struct conn *conn)
{
	struct run *run = conn->run;

	leave_opening(conn);
	conn->state = CONN_OPEN;
	timer_disarm(&run->timeouts, &conn->timer);
	if (!conn->again)
		run->stats.established++;
	run->mode->on_open(conn);
}

void conn_request(struct conn *conn)
{
	struct run *run = conn->run;

	conn->busy = true;
	conn->nrequests++;
	timer_arm(&run->timeouts, &conn->timer, run->now_ns);
	run->proto->ask(conn);
}

void conn_send(struct conn *conn, const char *data, size_t len)
{
	if (conn->run->phase == PHASE_MEASURE)
		conn->run->stats.sent += len;
	conn->run->sock->send(conn, data, len);
}

void conn_write(struct conn *conn, const char *data, size_t len)
{
	assert(!conn->writing);
	conn->out = data;
	conn->out_left = len;
	submit_write(conn);
}

static void answer_done(struct conn *conn)
{
	conn->busy = conn->answered = false;
	timer_disarm(&conn->run->timeouts, &conn->timer);
	conn->run->mode->on_answer(conn);
}

/* Engines with threads may hand out the answer's read before the request's write; that must be back first. */
static void take_answer(struct conn *conn, enum answer answer)
{
	if (answer == ANSWER_BAD)
		conn_fail(conn, conn->bad, 0, NULL);
	else if (answer == ANSWER_DONE && conn->writing)
		conn->answered = true;
	else if (answer == ANSWER_DONE)
		answer_done(conn);
}

void conn_input(struct conn *conn, const char *data, size_t len)
{
	struct run *run = conn->run;

	if (run->phase == PHASE_MEASURE)
		run->stats.received += len;
	if (conn->busy)
		take_answer(conn, run->proto->input(conn, data, len));
	else if (conn->state == CONN_OPEN && !run->mode->takes_stray)
		conn_fail(conn, ERROR_UNEXPECTED, 0, NULL);
}

void conn_eof(struct conn *conn)
{
	const struct run *run = conn->run;

	if (conn->state == CONN_FINISH) {
		conn->orderly = true;
		conn_drop(conn);
	} else if (conn->state == CONN_SHAKE) {
		conn_fail(conn, ERROR_CLOSED, 0, "closed by the server in the handshake");
	} else if (conn->state == CONN_OPEN && conn->busy && !conn->answered) {
		conn->bad = ERROR_CLOSED;
		take_answer(conn, run->proto->eof ? run->proto->eof(conn) : ANSWER_BAD);
	} else if (conn->state == CONN_OPEN && !conn->busy) {
		run->mode->on_hangup(conn, 0);
	}
}

static void transfer_failed(struct conn *conn, int err)
{
	if (conn->state == CONN_OPEN && !conn->busy)
		conn->run->mode->on_hangup(conn, err);
	else
		conn_fail(conn, error_of_transfer(err), err, NULL);
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
		conn->run->sock->input(conn);
	}
	submit_read(conn);
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
		submit_write(conn);
		return;
	}
	conn->run->sock->written(conn);
	if (conn->answered && !conn->writing)
		answer_done(conn);
	submit_read(conn);
}

void conn_finish(struct conn *conn)
{
	struct run *run = conn->run;

	assert(conn->state == CONN_OPEN);
	conn->state = CONN_FINISH;
	conn->busy = false;
	timer_arm(&run->timeouts, &conn->timer, run->now_ns);
	run->sock->finish(conn);
}

/* ENOTCONN: the peer has reset the connection; the read that is in flight says so. */
void conn_shutdown(struct conn *conn)
{
	shutdown(conn->fd, SHUT_WR);
}

static void describe(const struct conn *conn, const char *detail, char *line, size_t len)
{
	if (conn->nrequests)
		snprintf(line, len, "connection %u, request %llu: %s", conn->id + 1,
			 (unsigned long long)conn->nrequests, detail);
	else
		snprintf(line, len, "connection %u: %s", conn->id + 1, detail);
}

/* Nothing is counted once connections are only being put away. */
void conn_fail(struct conn *conn, enum error_kind kind, int err, const char *detail)
{
	struct run *run = conn->run;
	char line[256];

	if (run->phase < PHASE_CLOSE) {
		if (!detail)
			detail = err ? strerror(err) : error_rows[kind].text;
		describe(conn, detail, line, sizeof(line));
		stats_error(&run->stats, kind, 1, line);
	}
	conn_drop(conn);
}

static void check_gone(struct conn *conn)
{
	if (!conn->reading && !conn->writing)
		TAILQ_INSERT_TAIL(&conn->run->gone, conn, link);
}

/* -ENOENT of a cancel: the event was reaped and waits for its turn in this turn of the loop. */
static bool op_withdraw(struct run *run, struct iocb *iocb)
{
	if (batch_withdraw(&run->batch, iocb))
		return true;
	taio_cancel(run->ring, iocb);
	return false;
}

void conn_drop(struct conn *conn)
{
	struct run *run = conn->run;

	if (conn->state == CONN_DROP || conn->state == CONN_NONE)
		return;
	leave_opening(conn);
	conn->state = CONN_DROP;
	conn->busy = conn->answered = false;
	timer_disarm(&run->timeouts, &conn->timer);
	run_unready(conn);
	if (conn->reading && op_withdraw(run, &conn->rd))
		conn->reading = false;
	if (conn->writing && op_withdraw(run, &conn->wr))
		conn->writing = false;
	check_gone(conn);
}

static void op_back(struct conn *conn, long res)
{
	check_gone(conn);
}

void conn_bury(struct conn *conn)
{
	struct run *run = conn->run;

	if (conn->fd >= 0) {
		if (conn->tls)
			run->sock->stop(conn);
		taio_detach(run->ring, conn->afd);
		close(conn->fd);
		conn->fd = -1;
	}
	conn->state = CONN_NONE;
	run->live--;
	if (conn->begun && !conn->orderly)
		run_abort(conn);
	run->mode->on_gone(conn);
}

typedef void conn_step(struct conn *conn, long res);

struct conn_steps {
	conn_step *read, *write;
};

/* An empty cell cannot happen: no such operation is in flight in that state. */
static const struct conn_steps steps[CONN_NSTATES] = {
	[CONN_CONNECT] = {.write = connect_done},
	[CONN_SHAKE] = {.read = read_done, .write = write_done},
	[CONN_OPEN] = {.read = read_done, .write = write_done},
	[CONN_FINISH] = {.read = read_done, .write = write_done},
	[CONN_DROP] = {.read = op_back, .write = op_back},
};

void conn_event(struct conn *conn, const struct iocb *iocb, long res)
{
	conn_step *step;

	if (iocb == &conn->rd) {
		conn->reading = false;
		step = steps[conn->state].read;
	} else {
		conn->writing = false;
		step = steps[conn->state].write;
	}
	assert(step);
	step(conn, res);
}

void conn_timeout(struct conn *conn)
{
	static const char *const what[CONN_NSTATES] = {
		[CONN_CONNECT] = "timed out in connect",
		[CONN_SHAKE] = "timed out in the TLS handshake",
		[CONN_OPEN] = "timed out waiting for the answer",
		[CONN_FINISH] = "timed out waiting for the server's close",
	};

	conn_fail(conn, ERROR_TIMEOUT, ETIMEDOUT, what[conn->state]);
}
