/* SPDX-License-Identifier: MIT */
/* Why a request is refused: one static object per reason, with the counters that it increments. */
#ifndef HTTP_REFUSAL_H
#define HTTP_REFUSAL_H

enum http_refusal_kind {
	REFUSE_PLAIN,	  /* none */
	REFUSE_BAD,	  /* bad_requests */
	REFUSE_SMUGGLING, /* bad_requests and smuggling */
	REFUSE_TOO_BIG,	  /* header_too_big */
	REFUSE_ESCAPE,	  /* path_escapes */
	REFUSE_SLOW,	  /* slow_requests */
};

struct http_refusal {
	unsigned int status;
	enum http_refusal_kind kind;
	const char *text;
};

#endif
