/* SPDX-License-Identifier: MIT */
#include "shake.h"

#include "tls/tls.h"

#include <stdlib.h>

struct shake {
	struct crew_job job;
	struct conn *conn; /* not the thread's */
	struct tls *session;
	struct tls_io io;
	enum step step;
};

/* On a thread of the crew. */
static void run(struct crew_job *job)
{
	struct shake *shake = (struct shake *)job;

	shake->step = tls_handshake(shake->session, &shake->io);
}

bool shake_is_wanted(const struct conn *c)
{
	return c->shard->crew && c->in.len;
}

bool shake_start(struct conn *c)
{
	struct shake *shake = calloc(1, sizeof(*shake));

	assert(op_is_idle(&c->rd) && op_is_idle(&c->wr));
	if (!shake || !conn_tls_handshake_begin(&c->tls, &c->in, &c->shard->blocks, &shake->io)) {
		free(shake);
		return false;
	}
	shake->job.run = run;
	shake->job.tray = &c->shard->tray;
	shake->conn = c;
	shake->session = c->tls.session;
	c->shake = shake;
	conn_get(c);
	count(&c->shard->counters, tls_handshakes_waiting);
	crew_submit(c->shard->crew, &shake->job);
	return true;
}

static void end(struct conn *c)
{
	count_by(&c->shard->counters, tls_handshakes_waiting, -1);
	free(c->shake);
	c->shake = NULL;
}

void shake_cancel(struct conn *c)
{
	if (!c->shake || !crew_withdraw(c->shard->crew, &c->shake->job))
		return;
	end(c);
	conn_put(c);
}

struct conn *shake_take(struct shard *shard, enum step *step)
{
	struct shake *shake = shard->crew ? (struct shake *)crew_tray_take(&shard->tray) : NULL;
	struct conn *c;

	if (!shake)
		return NULL;
	c = shake->conn;
	conn_check(c);
	count(&shard->counters, tls_steps_off_loop);
	*step = conn_tls_handshake_end(&c->tls, &c->in, &shard->blocks, &shake->io, shake->step);
	end(c);
	return c;
}
