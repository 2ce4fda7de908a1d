/* SPDX-License-Identifier: MIT */
/* The header block of a request. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "chars.h"
#include "refusal.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_OPTIONS,
	METHOD_DELETE,
	METHOD_REFUSED, /* defined in RFC 9110, but nothing here allows it */
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

#define HTTP_MORE_MAX 16

/*
 * Spans point into the data of the current input() call, or into the copy that http_head_parse() was given.
 */
struct http_request {
	enum http_method method;
	unsigned int minor; /* HTTP/1.minor */
	struct span target;
	bool keep_alive, chunked, expects_continue;
	uint64_t length;		 /* Content-Length, or 0 */
	unsigned int present;		 /* bit of each field that is there */
	unsigned int repeated;		 /* bit of each field that is there more than once */
	struct span fields[FIELD_COUNT]; /* where present; without surrounding blanks */
	struct span name;		 /* the field being parsed */
	/* Further lines of list fields (RFC 9110, section 5.3); the first is in @fields. */
	struct http_line {
		enum http_field field;
		struct span value;
	} more[HTTP_MORE_MAX];
	unsigned int nmore;
	bool has_too_many; /* more than that */
};

static inline bool http_has(const struct http_request *req, enum http_field field)
{
	return req->present & 1U << field;
}

/* Progress of the strict check of a header block; zeroed for a new one. */
struct http_scan {
	uint32_t at, line; /* next byte to look at; start of its line */
	uint32_t target, target_len;
	uint8_t method, minor;
	bool has_crlf;	 /* an empty line before the request line was skipped */
	bool is_unusual; /* llhttp is given a copy in which HTABs are SP and the version is 1.1 */
};

/*
 * Continues the strict check. NULL with *head_len 0: more bytes are needed. NULL with another *head_len: the
 * block is complete, its lines are well-formed, and that is its length.
 */
const struct http_refusal *http_head_scan(struct http_scan *scan, const char *data, size_t len,
					  size_t head_max, size_t *head_len);
/*
 * Parses the block that the scan found. Leaves @parser at the start of the body. @copy has room for
 * @head_len bytes.
 */
const struct http_refusal *http_head_parse(const struct http_scan *scan, const char *data, size_t head_len,
					   char *copy, llhttp_t *parser, struct http_request *req);

#endif
