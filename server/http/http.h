/* SPDX-License-Identifier: MIT */
/*
 * What the files of the http service share: a site (one for each worker and listener), a session (one for
 * each connection) and a request (only while input() runs). Worker's thread only.
 *
 * The way of a request: http.c (flow) -> http_head.c (strict check, llhttp) -> http_target.c (path) ->
 * http_static.c (with http_cond.c) or http_body.c -> http_reply.c.
 */
#ifndef HTTP_H
#define HTTP_H

#include "date.h"
#include "options.h"
#include "server/counters.h"
#include "server/service.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct file;
struct file_cache;

struct span {
	const char *at;
	size_t len;
};

#define HTTP_SERVER_LINE "Server: taiod\r\nDate: "
#define HTTP_COMMON_LEN	 (sizeof(HTTP_SERVER_LINE) - 1 + HTTP_DATE_LEN + 2)

struct http_site {
	const struct http_options *options;
	const struct service_env *env;
	struct counters *counters;
	struct file_cache *files;     /* NULL without a root */
	uint64_t now_ms;	      /* CLOCK_MONOTONIC, read once for each request */
	time_t now;		      /* that @common shows */
	char common[HTTP_COMMON_LEN]; /* the lines Server and Date */
};

enum http_method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_OPTIONS,
	METHOD_REFUSED, /* of RFC 9110, but nothing here allows it */
	METHOD_UNKNOWN,
};

/* The header fields that matter here. */
enum http_field {
	FIELD_HOST,
	FIELD_CONTENT_LENGTH,
	FIELD_TRANSFER_ENCODING,
	FIELD_EXPECT,
	FIELD_RANGE,
	FIELD_IF_RANGE,
	FIELD_IF_MATCH,
	FIELD_IF_NONE_MATCH,
	FIELD_IF_MODIFIED_SINCE,
	FIELD_IF_UNMODIFIED_SINCE,
	FIELD_COUNT
};

/* Spans point into the data of the present input() call. */
struct http_request {
	enum http_method method;
	unsigned int minor; /* HTTP/1.minor */
	struct span target;
	bool keep_alive, chunked, expects_continue;
	uint64_t length;		 /* Content-Length, or 0 */
	unsigned int present;		 /* bit of each field that is there */
	unsigned int repeated;		 /* of those, that are there more than once */
	struct span fields[FIELD_COUNT]; /* where present; without blanks around */
	struct span name;		 /* http_head.c: the field being parsed */
};

static inline bool http_has(const struct http_request *req, enum http_field field)
{
	return req->present & 1U << field;
}

/* Why a request is refused: one static object for each reason, with the counter that it moves. */
enum http_refusal_kind {
	REFUSE_PLAIN,	  /* none */
	REFUSE_BAD,	  /* bad_requests */
	REFUSE_SMUGGLING, /* bad_requests and smuggling */
	REFUSE_TOO_BIG,	  /* header_too_big */
	REFUSE_ESCAPE,	  /* path_escapes */
};

struct http_refusal {
	unsigned int status;
	enum http_refusal_kind kind;
	const char *text;
};

/* How far the strict check of a header block has come; zeroed for a new one. */
struct http_scan {
	uint32_t at, line; /* next byte to look at; start of its line */
	uint32_t target, target_len;
	uint8_t method, minor;
};

enum http_state {
	STATE_HEAD,	  /* header block */
	STATE_LENGTH,	  /* body with Content-Length */
	STATE_CHUNK_SIZE, /* chunked body: size line, data, the line end after it, trailer section */
	STATE_CHUNK_DATA,
	STATE_CHUNK_END,
	STATE_TRAILER,
	STATE_DEAD, /* the last response is in the queue; nothing more is read */
	STATE_COUNT
};

/* Where the bytes of a request body go. */
enum http_sink { SINK_DROP, SINK_ECHO };

struct http_session {
	struct http_site *site;
	uint8_t state, sink;
	uint8_t minor;	      /* of the request at hand */
	bool is_head;	      /* the response has no body */
	bool replied;	      /* the head of the final response is in the queue */
	bool closing;	      /* the response at hand is the last */
	bool draining;	      /* the server stops */
	bool awaits_continue; /* the peer may hold its body back, or not: only 100 keeps the connection */
	bool has_crlf;	      /* an empty line before the request line was skipped */
	bool started;	      /* some of the next header block is there */
	bool stalled;	      /* input stopped because of the queue, not for want of bytes */
	uint32_t nrequests;
	uint32_t trailer_len;
	struct http_scan scan;
	uint64_t left;	   /* bytes of the body, or of the chunk, to come */
	uint64_t body_len; /* bytes of a chunked body so far */
	llhttp_t parser;   /* kept between calls in a chunked body only */
};

extern const struct service service_http;

/* All functions that append to @out return 0 or -ENOMEM, after which the connection is aborted. */

/* http_head.c */

/* The first control byte (below 0x20, or DEL) of data[at..len), or @len. */
size_t http_find_control(const char *data, size_t at, size_t len);
/*
 * Goes on with the strict check. NULL with *head_len 0: more bytes are needed; NULL with *head_len: the block
 * is complete, well-formed in lines, and that long.
 */
const struct http_refusal *http_head_scan(struct http_scan *scan, const char *data, size_t len,
					  size_t head_max, size_t *head_len);
/* Parses the block that the scan found. Leaves @parser before the body. */
const struct http_refusal *http_head_parse(const struct http_scan *scan, const char *data, size_t head_len,
					   llhttp_t *parser, struct http_request *req);

/* http_target.c */

#define HTTP_PATH_MAX 4096

/* A normalised path without slash at its ends: "" is the root. */
struct http_path {
	struct span path;  /* points into the target, or into @text */
	struct span query; /* with its '?', or empty */
	bool is_dir;	   /* the target ended in a slash */
	char text[HTTP_PATH_MAX];
};

/* From origin-form or absolute-form. */
const struct http_refusal *http_target_path(struct span target, struct http_path *path);

/* http_cond.c */

enum http_cond { COND_SERVE, COND_NOT_MODIFIED, COND_FAILED };
enum http_range { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };

/* RFC 9110, section 13.2.2, steps 1 to 4. */
enum http_cond http_cond(const struct http_request *req, const struct file *file, time_t now);
/* Section 14.2 with If-Range. A range set of several ranges is served whole. */
enum http_range http_range(const struct http_request *req, const struct file *file, time_t now,
			   uint64_t *first, uint64_t *len);

/* http_static.c: GET and HEAD of @path under the root. */
int http_static(struct http_session *s, const struct http_request *req, struct http_path *path,
		struct outq *out);

/* http_body.c: steps return bytes consumed, 0 for "more is needed", or -ENOMEM. */

/* Answers POST /echo as far as it can be before the body, and sets up its steps. */
int http_echo(struct http_session *s, const struct http_request *req, struct outq *out);
/* Sets up the steps that read the body of @req into the session's sink. */
void http_body_begin(struct http_session *s, const struct http_request *req);
ssize_t http_body_length(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_size(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_data(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_chunk_end(struct http_session *s, const char *data, size_t len, struct outq *out);
ssize_t http_body_trailer(struct http_session *s, const char *data, size_t len, struct outq *out);

/* http.c: the request at hand is read and answered. */
void http_request_done(struct http_session *s);

/* http_reply.c */

/*
 * The head of a final response: status line, Server, Date, @lines (each ended by CRLF), Connection where it
 * is needed, empty line. Keeps room for @room bytes of body behind it.
 */
int http_reply_head(struct http_session *s, struct outq *out, unsigned int status, const char *lines,
		    size_t len, uint64_t room);
/* A whole response with a text body, which HEAD does not get; @lines are further header lines. */
int http_reply_text(struct http_session *s, struct outq *out, unsigned int status, const char *lines,
		    const char *text);
/* An error response whose text is its status line. */
int http_reply_status(struct http_session *s, struct outq *out, unsigned int status, const char *lines);
/* Answers and counts a refusal. After 4xx but 404 and 5xx the connection ends. */
int http_refuse(struct http_session *s, struct outq *out, const struct http_refusal *why);
int http_reply_continue(struct http_session *s, struct outq *out);

#endif
