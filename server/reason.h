/* SPDX-License-Identifier: MIT */
/*
 * Why connections end, one row each: the counter closed_NAME, the text of its log line and of its help, and
 * whether the server ends it, by cancelling the operation that is pending if there is one (logged at level
 * info, with the time that the cancel took). The first reason that a connection gets is the one that counts.
 */
#ifndef REASON_H
#define REASON_H

#define CLOSE_REASONS(X)                                                                                     \
	X(PEER, peer, "closed by the peer", false)                                                           \
	X(DONE, done, "served", false)                                                                       \
	X(CONNECT, connect, "connect timeout", true)                                                         \
	X(HANDSHAKE, handshake, "handshake timeout", true)                                                   \
	X(HEADER, header, "header timeout", true)                                                            \
	X(REQUEST, request, "request timeout", true)                                                         \
	X(BODY_RATE, body_rate, "body below body-min-rate", true)                                            \
	X(IDLE, idle, "idle timeout", true)                                                                  \
	X(WRITE, write, "write timeout", true)                                                               \
	X(SEND_RATE, send_rate, "output taken below send-min-rate", true)                                    \
	X(LINGER, linger, "linger timeout", true)                                                            \
	X(DRAIN, drain, "drained", true)                                                                     \
	X(EVICTED, evicted, "evicted to make room", true)                                                    \
	X(LIFETIME, lifetime, "maximum lifetime", true)                                                      \
	X(ADMIN, admin, "ended through the service admin", true)                                             \
	X(BACKEND, backend, "no backend could be reached", false)                                            \
	X(CHECK, check, "backend checked", false)                                                            \
	X(OTHER, other, "the other side has ended", false)                                                   \
	X(PROXY, proxy, "no valid PROXY protocol header", false)                                             \
	X(ADDRESS, address, "too many connections from its address", false)                                  \
	X(TLS, tls, "TLS error", false)                                                                      \
	X(RESET, reset, "reset by the peer", false)                                                          \
	X(ERROR, error, "local error", false)                                                                \
	X(MEMORY, memory, "out of memory, above conn-memory, or above its share of max-memory", false)

enum close_reason {
	CLOSE_NONE, /* still open */
#define CLOSE_REASON_ENUM(NAME, name, text, by_cancel) CLOSE_##NAME,
	CLOSE_REASONS(CLOSE_REASON_ENUM)
#undef CLOSE_REASON_ENUM
		CLOSE_NREASONS
};

#endif
