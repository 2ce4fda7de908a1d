/* SPDX-License-Identifier: MIT */
/*
 * A TCP connection over the ring, plain or TLS. Bytes pass through two buffers of fixed size, so that
 * memory is bounded whatever the peer does; at most one read and one write are in flight.
 *
 * The *_some functions never sleep: -EAGAIN means that an operation is in flight, whose event
 * client_wait() waits for. The others sleep until a deadline. After a failure stream_error() describes it.
 */
#ifndef CLIENT_STREAM_H
#define CLIENT_STREAM_H

#include "client.h"

#include "tls/tls.h"

#include <sys/types.h>

#define STREAM_BUFFER (64 * 1024)

struct stream {
	struct client *client;
	int fd, afd;
	struct op rd, wr;
	struct tls_ctx *tls_ctx;
	struct tls *tls;       /* NULL: plain */
	uint64_t handshake_ns; /* what its handshake took */
	int broken;	       /* -errno of the write that failed; nothing more is sent */
	bool eof;	       /* the socket has no more input */
	bool ended;	       /* stream_end_some() has done its part */
	bool truncated;	       /* TLS: the connection ended without close_notify */
	size_t in_pos, in_len, out_pos, out_len;
	unsigned char in[STREAM_BUFFER], out[STREAM_BUFFER];
};

/* Before the path of a Unix socket. */
#define STREAM_UNIX "unix:"

/*
 * Connects to @target ("HOST:PORT", each of its addresses in turn, or "unix:/PATH") and, if @tls, makes the
 * handshake, offering
 * @alpn (NULL: none). NULL on failure, reported on standard error.
 */
struct stream *stream_open(struct client *client, const char *target, bool tls, const char *alpn);
/*
 * Another connection to the @target of @before, which stays open, with the same settings. @is_resumed: its
 * handshake resumes the session of @before, if there is one and the peer agrees.
 */
struct stream *stream_reopen(const struct stream *before, const char *target, bool is_resumed);
/* Cancels what is in flight and closes. NULL is allowed. */
void stream_close(struct stream *stream);

/* 1..cap bytes, 0 at the end, -EAGAIN, -errno. */
ssize_t stream_read_some(struct stream *stream, void *buf, size_t cap);
/* Takes 1..len bytes to be sent, or -EAGAIN, -errno. */
ssize_t stream_write_some(struct stream *stream, const void *buf, size_t len);
/* Sends what was taken: 0 once the kernel has all of it, or -EAGAIN, -errno. */
int stream_flush_some(struct stream *stream);
/* Sends what was taken, then the end of the stream: close_notify and a half-close. As stream_flush_some(). */
int stream_end_some(struct stream *stream);

ssize_t stream_read(struct stream *stream, void *buf, size_t cap, uint64_t deadline_ns);
/* Sends all of it. 0 or -errno. */
int stream_write(struct stream *stream, const void *buf, size_t len, uint64_t deadline_ns);
/* Sends the end of the stream. 0 or -errno. */
int stream_end(struct stream *stream, uint64_t deadline_ns);

/* Describes @err, -errno from one of these functions, on this stream. */
const char *stream_error(const struct stream *stream, int err);

#endif
