/* SPDX-License-Identifier: MIT */
/*
 * taio cat: two flows through buffers of fixed size, up from standard input to the peer and down from the
 * peer to standard output. Each is stepped until both wait for an event; neither ever waits for the other, so
 * an echoing peer cannot deadlock with us.
 */
#include "local.h"
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct flow {
	size_t pos, len;
	bool eof; /* of its source */
	bool done;
	char buf[STREAM_BUFFER];
};

struct cat {
	struct stream *stream;
	struct local in, out;
	struct flow up, down;
	int up_err; /* sending has failed; reported after everything from the peer is written */
};

/* The steps: 1 if something moved, 0 if the flow waits or is done, -errno. */

static int took(struct flow *flow, ssize_t n)
{
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	flow->pos += (size_t)n;
	return 1;
}

static int gave(struct flow *flow, ssize_t n)
{
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	flow->pos = 0;
	flow->len = (size_t)n;
	flow->eof = !n;
	return 1;
}

static int up_send(struct cat *cat)
{
	struct flow *up = &cat->up;
	int moved;

	if (up->pos < up->len) {
		moved = took(up, stream_write_some(cat->stream, up->buf + up->pos, up->len - up->pos));
	} else {
		moved = stream_end_some(cat->stream);
		up->done = !moved;
		moved = !moved ? 1 : moved == -EAGAIN ? 0 : moved;
	}
	if (moved < 0) {
		cat->up_err = moved;
		up->done = true;
		return 1;
	}
	return moved;
}

static int up_step(struct cat *cat)
{
	struct flow *up = &cat->up;
	int err;

	if (up->done)
		return 0;
	if (up->pos < up->len || up->eof)
		return up_send(cat);
	stream_flush_some(cat->stream);
	err = gave(up, local_read_some(&cat->in, up->buf, sizeof(up->buf)));
	if (err < 0)
		fail("cannot read standard input: %s", strerror(-err));
	return err;
}

static int down_step(struct cat *cat)
{
	struct flow *down = &cat->down;
	int err;

	if (down->pos < down->len) {
		err = took(down, local_write_some(&cat->out, down->buf + down->pos, down->len - down->pos));
		if (err < 0)
			fail("cannot write to standard output: %s", strerror(-err));
		return err;
	}
	err = gave(down, stream_read_some(cat->stream, down->buf, sizeof(down->buf)));
	if (err < 0)
		fail("connection lost: %s", stream_error(cat->stream, err));
	down->done = down->eof;
	return err;
}

/* Runs until the peer's last byte is written. Reports every failure but a signal. */
static int pump(struct client *client, struct cat *cat)
{
	int up, down, err;

	while (!cat->down.done) {
		up = up_step(cat);
		down = up < 0 ? up : down_step(cat);
		if (down < 0)
			return down;
		if (up || down)
			continue;
		err = client_wait(client, NEVER_NS);
		if (err) {
			if (err != -EINTR)
				fail("cannot wait for events: %s", strerror(-err));
			return err;
		}
	}
	if (cat->up_err)
		fail("could not send all of the input: %s", stream_error(cat->stream, cat->up_err));
	return cat->up_err;
}

static int cat_local_ends(struct client *client, struct cat *cat)
{
	int err;

	err = local_open(&cat->in, client, STDIN_FILENO);
	if (err)
		return fail("cannot use standard input: %s", strerror(-err));
	err = local_open(&cat->out, client, STDOUT_FILENO);
	if (err) {
		fail("cannot use standard output: %s", strerror(-err));
		goto close_in;
	}
	err = pump(client, cat);
	local_close(&cat->out);
close_in:
	local_close(&cat->in);
	return err ? 1 : 0;
}

int cat_run(const struct settings *settings, const char *target)
{
	struct client client;
	struct cat *cat;
	int status = 1;

	cat = calloc(1, sizeof(*cat));
	if (!cat)
		return fail("out of memory");
	if (client_open(&client, settings))
		goto free_cat;
	cat->stream = stream_open(&client, target, settings->tls, NULL);
	if (cat->stream) {
		status = cat_local_ends(&client, cat);
		stream_close(cat->stream);
	}
	client_close(&client);
free_cat:
	free(cat);
	return status;
}
