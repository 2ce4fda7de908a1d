/* SPDX-License-Identifier: MIT */
/* An operation's reference is dropped after its event has been handled. */
#include "turn.h"

#include "base/clock.h"
#include "fsm.h"
#include "server/probes.h"
#include "shake.h"

#include <errno.h>

#define REAP_BATCH 64

static const struct {
	enum counter counter;
	enum time_of time;
	enum conn_event done, ended, failed; /* res > 0, 0, < 0 */
} kinds[] = {
	[OP_READ] = {COUNT_reads, TIME_read, ON_READ, ON_EOF, ON_READ_ERROR},
	[OP_WRITE] = {COUNT_writes, TIME_write, ON_WRITE, ON_WRITE_ERROR, ON_WRITE_ERROR},
	[OP_CONNECT] = {COUNT_connects, TIME_connect, ON_WRITE, ON_WRITE, ON_WRITE_ERROR},
	[OP_ROOM] = {COUNT_writes, TIME_room, ON_ROOM, ON_ROOM, ON_WRITE_ERROR},
	[OP_FILE] = {COUNT_file_reads, TIME_file, ON_FILE, ON_FILE_ERROR, ON_FILE_ERROR},
};

static enum conn_event event_of(const struct op *op, long res)
{
	if (res == -ECANCELED)
		return ON_CANCELLED;
	return res > 0 ? kinds[op->kind].done : res == 0 ? kinds[op->kind].ended : kinds[op->kind].failed;
}

static void account(struct conn *c, const struct op *op, long res)
{
	struct shard *shard = c->shard;
	uint32_t took_us = (uint32_t)shard->now_us - op->stamp;

	count_add(&shard->counters, kinds[op->kind].counter, 1);
	times_add(&shard->times[kinds[op->kind].time], took_us);
	probe5(op_complete, c, c->fd, op->kind, res, took_us);
	if (res > 0 && op->kind == OP_READ) {
		count_by(&shard->counters, bytes_in, res);
		tally_add(c->tally, TALLY_bytes_in, res);
		c->bytes_in += (uint64_t)res;
		c->moved_us = shard->now_us;
	} else if (res > 0 && op->kind == OP_WRITE) {
		count_by(&shard->counters, bytes_out, res);
		tally_add(c->tally, TALLY_bytes_out, res);
		c->bytes_out += (uint64_t)res;
		c->moved_us = shard->now_us;
	} else if (res >= 0 && op->kind == OP_CONNECT) {
		tally_count(c->tally, connects);
		tally_add(c->tally, TALLY_connect_us, took_us);
	}
}

static void account_cancel(struct conn *c, long res)
{
	if (res != -ECANCELED)
		count(&c->shard->counters, cancel_raced);
	c->cancel_took_us = (uint32_t)(clock_us() - c->cancel_us);
	hist_add(&c->shard->cancel_us, c->cancel_took_us);
	times_add(&c->shard->times[TIME_cancel], c->cancel_took_us);
}

/* The event of @op, idle again; an operation that the ring has refused is handled like one that failed. */
static void complete(struct op *op, long res)
{
	struct conn *c = op->iocb.data;

	if (op->kind == OP_PROBE) {
		ring_probe_done(op->iocb.data, res);
		return;
	}
	conn_check(c);
	account(c, op, res);
	if (op->cancelled && !(c->rereads && op == &c->rd))
		account_cancel(c, res);
	conn_fsm(c, event_of(op, res), res);
	if (op == &c->rd)
		c->rereads = false;
	conn_put(c);
}

void turn_wake(struct shard *shard)
{
	struct conn *c;

	while ((c = STAILQ_FIRST(&shard->woken))) {
		STAILQ_REMOVE_HEAD(&shard->woken, woken_link);
		c->is_woken = false;
		if (c->asked != CLOSE_NONE)
			conn_fsm(c, ON_END, c->asked);
		else
			conn_fsm(c, ON_RESUME, 0);
		conn_put(c);
	}
}

void turn_submit(struct shard *shard)
{
	uint64_t begin_us;

	if (!shard->batch.len)
		return;
	count(&shard->counters, submits);
	begin_us = clock_us();
	if (op_flush(&shard->batch, shard->ring, complete))
		count(&shard->counters, ring_full);
	times_add(&shard->times[TIME_submit], clock_us() - begin_us);
}

int turn_reap(struct shard *shard)
{
	struct io_event events[REAP_BATCH];
	int n = taio_reap(shard->ring, REAP_BATCH, events);

	shard->turn++;
	for (int i = 0; i < n; i++)
		complete(op_done(events[i].obj), (long)events[i].res);
	return n;
}

int turn_take(struct shard *shard)
{
	enum step step;
	struct conn *c;
	int n = 0;

	for (; n < REAP_BATCH && (c = shake_take(shard, &step)); n++) {
		conn_fsm(c, ON_BACK, (long)step);
		conn_put(c);
	}
	return n;
}
