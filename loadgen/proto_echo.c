/* SPDX-License-Identifier: MIT */
/*
 * Echo: --size bytes out, the same bytes back. All requests are windows into one random pattern, so that
 * sending copies nothing; the window moves with each request and connection, so that stale bytes or another
 * connection's do not pass. Loop thread only.
 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Windows begin at multiples of 8 below this. */
#define WINDOWS 4096

static int echo_open(struct run *run, char *why)
{
	size_t len = run->set->size + WINDOWS;
	uint64_t state = 0x9e3779b97f4a7c15ull;
	unsigned char *pattern = malloc(len);

	if (!pattern) {
		snprintf(why, RUN_WHY_LEN, "out of memory for requests of %zu bytes", (size_t)run->set->size);
		return -ENOMEM;
	}
	for (size_t i = 0; i < len; i++) { /* xorshift64 */
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		pattern[i] = (unsigned char)(state >> 32);
	}
	run->proto_data = pattern;
	return 0;
}

static void echo_close(struct run *run)
{
	free(run->proto_data);
	run->proto_data = NULL;
}

static void echo_ask(struct conn *conn)
{
	conn->echo.window = (uint32_t)(conn->id * 136 + conn->nrequests * 8) % WINDOWS;
	conn->echo.got = 0;
	conn_send(conn, (const char *)conn->run->proto_data + conn->echo.window, conn->run->set->size);
}

static enum answer echo_input(struct conn *conn, const char *data, size_t len)
{
	const char *want = (const char *)conn->run->proto_data + conn->echo.window + conn->echo.got;
	size_t left = conn->run->set->size - conn->echo.got;

	if (memcmp(data, want, len < left ? len : left)) {
		conn->bad = ERROR_MISMATCH;
		return ANSWER_BAD;
	}
	if (len > left) {
		conn->bad = ERROR_UNEXPECTED;
		return ANSWER_BAD;
	}
	conn->echo.got += (uint32_t)len;
	return len == left ? ANSWER_DONE : ANSWER_MORE;
}

const struct proto proto_echo = {
	.name = "echo",
	.open = echo_open,
	.close = echo_close,
	.ask = echo_ask,
	.input = echo_input,
};
