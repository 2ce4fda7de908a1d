/* SPDX-License-Identifier: MIT */
/* What the access log is told of a response: its request. The connection does the rest (conn/access.c). */
#ifndef HTTP_ACCESS_H
#define HTTP_ACCESS_H

#include "server/access.h"
#include "session.h"

/* A record is found again by so many bits of its request's number. */
#define HTTP_ACCESS_BITS 24

static inline uint32_t http_access_number(const struct http_session *s)
{
	return s->nrequests & ((1U << HTTP_ACCESS_BITS) - 1);
}

static inline bool http_is_logged(const struct http_session *s)
{
	return s->site->access && *s->site->access;
}

/*
 * A response is about to be made to the request at @data, which has @len bytes, or of which nothing more is
 * known (NULL). Its header block, if it is whole, has @head_len.
 */
void http_access_begin(struct http_session *s, const char *data, size_t len, size_t head_len);

/* The record of an earlier response that is made again; NULL: it has none. */
struct access_record *http_access_again(struct http_session *s, uint32_t number);

#endif
