/* SPDX-License-Identifier: MIT */
/* Plain connections: what the protocol sends is what is written, from the protocol's own memory. Loop thread
 * only. */
#include "sock.h"

#include "conn.h"

static void plain_input(struct conn *conn)
{
	uint32_t len = conn->in_len;

	conn->in_len = 0;
	conn_input(conn, conn->in, len);
}

static void plain_written(struct conn *conn) {}

static void plain_stop(struct conn *conn) {}

const struct sock sock_plain = {
	.name = "tcp",
	.start = conn_established,
	.input = plain_input,
	.send = conn_write,
	.written = plain_written,
	.finish = conn_shutdown,
	.stop = plain_stop,
};
