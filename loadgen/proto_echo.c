/* SPDX-License-Identifier: MIT */
/*
 * Echo: sends --size bytes and expects them back. Each request is a window into one random pattern, so
 * sending copies nothing. The window differs by request and connection, so stale bytes and bytes of another
 * connection are detected.
 */
#include "proto.h"

#include "conn.h"
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Windows start at multiples of 8 below this. */
#define WINDOWS 4096

struct echo_data {
	size_t size;
	unsigned char pattern[];
};

/* The current request of a connection. */
struct echo_state {
	uint32_t window, received;
};

static uint64_t echo_in_cap(const struct settings *set)
{
	return set->size;
}

static int echo_open(struct net *net, const struct settings *set, char *why)
{
	size_t len = set->size + WINDOWS;
	uint64_t state = 0x9e3779b97f4a7c15ull;
	struct echo_data *echo = malloc(sizeof(*echo) + len);

	if (!echo) {
		snprintf(why, WHY_LEN, "out of memory for requests of %zu bytes", (size_t)set->size);
		return -ENOMEM;
	}
	echo->size = set->size;
	for (size_t i = 0; i < len; i++) { /* xorshift64 */
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		echo->pattern[i] = (unsigned char)(state >> 32);
	}
	net->proto_data = echo;
	return 0;
}

static void echo_close(struct net *net)
{
	free(net->proto_data);
	net->proto_data = NULL;
}

static void echo_request(struct conn *conn)
{
	const struct echo_data *echo = conn->net->proto_data;
	struct echo_state *state = conn->proto_state;

	state->window = (uint32_t)(conn->id * 136 + conn->nrequests * 8) % WINDOWS;
	state->received = 0;
	conn_send(conn, (const char *)echo->pattern + state->window, echo->size);
}

static enum step echo_input(struct conn *conn, const char *data, size_t len)
{
	const struct echo_data *echo = conn->net->proto_data;
	struct echo_state *state = conn->proto_state;
	size_t left = echo->size - state->received;

	if (memcmp(data, echo->pattern + state->window + state->received, len < left ? len : left)) {
		conn->failure = ERROR_MISMATCH;
		return STEP_FAILED;
	}
	if (len > left) {
		conn->failure = ERROR_UNEXPECTED;
		return STEP_FAILED;
	}
	state->received += (uint32_t)len;
	return len == left ? STEP_DONE : STEP_MORE;
}

const struct proto proto_echo = {
	.name = "echo",
	.conn_size = sizeof(struct echo_state),
	.in_cap = echo_in_cap,
	.open = echo_open,
	.close = echo_close,
	.request = echo_request,
	.input = echo_input,
};
