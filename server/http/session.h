/* SPDX-License-Identifier: MIT */
/*
 * The site (one for each worker and listener) and the session (one for each connection) of the http service,
 * and what moves a session from one request to the next.
 */
#ifndef HTTP_SESSION_H
#define HTTP_SESSION_H

#include "date.h"
#include "options.h"
#include "request.h"
#include "server/counters.h"
#include "server/service.h"
#include "server/tally.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct access_queue;
struct access_record;
struct file_cache;
struct http_route;
struct http_session;

#define HTTP_SERVER_LINE "Server: taiod\r\nDate: "
#define HTTP_COMMON_LEN	 (sizeof(HTTP_SERVER_LINE) - 1 + HTTP_DATE_LEN + 2)

struct http_site {
	const struct http_route *routes; /* paths that are no files; the last has none */
	/* In STATE_WAIT: appends the response and returns 0; or HTTP_WAIT, or -ENOMEM. NULL: no route waits.
	 */
	int (*answer)(struct http_session *s, struct outq *out);
	const struct http_options *options;
	const struct http_words *words;
	const struct service_env *env;
	struct counters *counters;
	struct access_queue *const *access; /* env->access */
	struct tally *tally;
	unsigned int taken_back;      /* responses with status 2xx that were counted and never sent */
	struct file_cache *files;     /* NULL without a root */
	char *copy;		      /* header-max bytes, for http_head_parse() */
	uint64_t now_ms;	      /* CLOCK_MONOTONIC, read once for each request */
	time_t now;		      /* that @common shows */
	char common[HTTP_COMMON_LEN]; /* the lines Server and Date */
};

enum http_state {
	STATE_HEAD,	  /* header block */
	STATE_LENGTH,	  /* body with Content-Length */
	STATE_CHUNK_SIZE, /* chunked body: size line, data, the line end after it, trailer section */
	STATE_CHUNK_DATA,
	STATE_CHUNK_END,
	STATE_TRAILER,
	STATE_WAIT, /* for what the response is to say */
	STATE_DEAD, /* the last response is in the queue; nothing more is read */
	STATE_COUNT
};

/* Where the bytes of a request body go. */
enum http_sink { SINK_DROP, SINK_ECHO };

/* The response to the request at hand. */
enum http_progress {
	RESPONSE_NONE,	       /* none, except possibly 100 (Continue) */
	RESPONSE_CONTINUE_DUE, /* the peer may be waiting for 100 before its body: without it the connection
				  ends */
	RESPONSE_SENT,	       /* the head of the final response is in the queue */
};

/* What follows on the connection. */
enum http_life {
	LIFE_KEEP,  /* another request may follow */
	LIFE_LAST,  /* the current response is the last */
	LIFE_DRAIN, /* likewise, whatever a further request asks for: the server drains */
};

/* Why input() returned. Only input() sets it. */
enum http_pause {
	PAUSE_BETWEEN, /* it needs bytes; no part of a header block is left */
	PAUSE_INSIDE,  /* it needs bytes; the beginning of a header block is left */
	PAUSE_OUTPUT,  /* the queue is full */
};

/* What a route returns that has no response yet: http_site.answer is asked whenever the session is resumed.
 */
#define HTTP_WAIT 1

struct http_session {
	struct http_site *site;
	struct peer *peer;
	struct access_record *record; /* of the current request; NULL: it is not logged */
	uint8_t state;	  /* enum http_state */
	uint8_t sink;	  /* enum http_sink */
	uint8_t progress; /* enum http_progress */
	uint8_t life;	  /* enum http_life */
	uint8_t pause;	  /* enum http_pause */
	uint8_t minor;	  /* HTTP/1.minor of the current request */
	bool is_head;	  /* its response has no body */
	uint32_t nrequests;
	uint32_t trailer_len;
	struct http_scan scan;
	uint64_t begun_ms;	    /* when the first byte of the request came; 0: it has not */
	struct {		    /* of a body: how fast it comes is judged one window at a time */
		uint64_t since_ms;  /* less the time in which output was full; 0: none has begun, or it is */
		uint64_t passed_ms; /* while it is full: how much of the window has passed */
		uint64_t nbytes;
	} window;
	uint64_t left;	   /* bytes of the body, or of the chunk, still to come */
	uint64_t body_len; /* bytes of a chunked body so far */
	llhttp_t parser;   /* kept between calls in a chunked body only */
};

/* The header block of @req has arrived; no response was sent yet. */
void http_request_begin(struct http_session *s, const struct http_request *req);

/* The current request has been read and responded to. */
void http_request_done(struct http_session *s);

/* Makes the current response the last. */
void http_session_end(struct http_session *s);

#endif
