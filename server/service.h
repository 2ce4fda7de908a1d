/* SPDX-License-Identifier: MIT */
/*
 * What a service is: plain bytes in, plain bytes and file ranges out. It sees no socket, no TLS, no
 * operation and no connection; conn.c feeds it and obeys its verdict.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "outq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct taio;

/* What a session wants of its connection after a call. */
enum verdict {
	VERDICT_GO,	/* read on when there is room for output */
	VERDICT_FINISH, /* send what is queued, close the sending side, drain the peer, close */
	VERDICT_ABORT,	/* close at once */
};

/* Where a session is, for the choice of its timeout. */
enum phase {
	PHASE_IDLE, /* between requests: idle timeout, restarted by bytes */
	PHASE_HEAD, /* inside a request's header: header timeout, not restarted by bytes */
	PHASE_BODY, /* inside a request's body or a stream: idle timeout, restarted by bytes */
};

/* Events that a service counts; each is a row in the counter table (counters.h). */
struct service_counters {
	uint64_t requests;
	uint64_t responses_2xx, responses_3xx, responses_4xx, responses_5xx;
	uint64_t bad_requests;	 /* refused by the strict check or the parser */
	uint64_t smuggling;	 /* of those: shapes used for request smuggling */
	uint64_t header_too_big;
	uint64_t path_escapes;	 /* refused by beneath_open() or the path check */
};

/* A worker writes its own counters, any thread may read them: single-word relaxed stores. */
#define service_count(counters, row)                                                                         \
	__atomic_store_n(&(counters)->row, (counters)->row + 1, __ATOMIC_RELAXED)

/* What one listener configures; read-only while the worker runs. */
struct service_params {
	const char *root;	     /* http: directory served, or NULL */
	const char *index;	     /* http: file that stands for a directory, "index.html" */
	size_t header_max;	     /* http: bytes of a header block */
	uint64_t body_max;	     /* http: bytes of a request body */
	unsigned int keepalive_max;  /* http: requests on a connection; 0: no bound */
	unsigned int file_cache;     /* http: open files kept by a worker; 0: none */
	unsigned int file_valid_ms;  /* http: how long a cached open file is trusted before it is looked at again */
	/* Appends the /metrics text; NULL: no /metrics. */
	int (*metrics)(void *arg, struct outq *out);
	void *metrics_arg;
};

struct service {
	const char *name;
	const char *summary;
	const char *alpn;	/* protocol offered under TLS, or NULL */
	size_t session_size;	/* zeroed memory that conn.c keeps for a session; at most 256 */

	/*
	 * One site for each worker and listener. On failure -errno and a line in why[256]. @ring is for the
	 * files that sessions append to their output. Both may be NULL in a service without state.
	 */
	int (*site_open)(void **site, const struct service_params *params, struct taio *ring,
			 struct service_counters *counters, char *why);
	void (*site_close)(void *site);

	/* Both may be NULL: the zeroed memory is all it needs. */
	void (*open)(void *session, void *site);
	void (*close)(void *session);

	/*
	 * @data holds all bytes that were received and not consumed; returns how many of them are consumed
	 * now. What is left is offered again with more behind it; at most 64 KiB are ever kept, so a
	 * session that wants more in one piece must refuse before. Called only while @out is below the
	 * high-water mark, and stops by itself once it is above (OUTQ_HIGH).
	 */
	size_t (*input)(void *session, const char *data, size_t len, struct outq *out, enum verdict *verdict);

	/*
	 * The peer has sent its last byte; @left bytes of it were never consumed: input() had them while @out was
	 * below the high-water mark, and wants more. Output may follow.
	 */
	enum verdict (*eof)(void *session, size_t left, struct outq *out);

	enum phase (*phase)(const void *session);

	/* Server drains: finish the request at hand, take no other. NULL: finish at once. */
	enum verdict (*drain)(void *session);

	/* The header timeout ran out while in PHASE_HEAD; may append an answer (408). NULL: none. */
	void (*timeout)(void *session, struct outq *out);
};

/* Input stops above this many bytes of queued output and goes on when it is sent. */
#define OUTQ_HIGH (64 * 1024)

extern const struct service service_echo;
extern const struct service service_discard;
extern const struct service service_http;

/* Null-terminated. */
extern const struct service *const services[];
const struct service *service_find(const char *name);

#endif
