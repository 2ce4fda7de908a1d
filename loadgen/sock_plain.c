/* SPDX-License-Identifier: MIT */
/* Plain connections: the protocol's bytes are written unchanged, straight from its own memory. */
#include "sock.h"

#include "conn.h"

static int plain_open(struct net *net, const struct settings *set, char *why)
{
	return 0;
}

static void plain_close(struct net *net) {}

static const struct tls_info *plain_info(const struct net *net)
{
	return NULL;
}

static void plain_input(struct conn *conn)
{
	uint32_t len = conn->in_len;

	conn->in_len = 0;
	conn_input(conn, conn->in, len);
}

static void plain_nothing(struct conn *conn) {}

const struct sock sock_plain = {
	.name = "tcp",
	.open = plain_open,
	.close = plain_close,
	.info = plain_info,
	.start = conn_established,
	.input = plain_input,
	.send = conn_write,
	.written = plain_nothing,
	.finish = conn_shutdown,
	.stop = plain_nothing,
	.forget = plain_nothing,
};
