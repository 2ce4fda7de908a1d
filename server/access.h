/* SPDX-License-Identifier: MIT */
/*
 * What a connection keeps for the access log until its line is written (conn/access.c): of each response that
 * has not been sent as a whole its request; of a connection that is logged at its end its backend. On the
 * worker's thread.
 */
#ifndef ACCESS_H
#define ACCESS_H

#include "access_format.h"

#include <sys/queue.h>

/* What a service has lines for. */
enum access_of {
	ACCESS_NOTHING,
	ACCESS_CONNECTIONS, /* one at the end of each */
	ACCESS_RESPONSES,   /* one for each, once it has been sent, or its connection ends */
};

/* A request whose response begins. What the texts point to need not outlive the call. */
struct access_request {
	struct access_text line, host, referer, agent;
	/* Parts of the line; their .at is NULL if it is malformed. */
	struct access_text method, target, protocol;
	uint32_t number;  /* by which access_find() finds it */
	uint64_t took_us; /* since its first byte */
	uint64_t nbytes;  /* received so far */
};

struct access_record {
	STAILQ_ENTRY(access_record) link;
	size_t size; /* bytes that it takes */
	/* The service's: */
	uint64_t received; /* bytes of the request */
	uint64_t head;	   /* bytes of the response that are not its body */
	unsigned int status;
	bool is_whole; /* nothing is added to the response any more */
	bool is_cut;   /* it is known to be incomplete */
	/* The connection's: */
	uint64_t begin; /* where the response begins in its output, outq_end() */
	uint64_t begun_us;
	/* As it was begun; they point to text. */
	struct access_request request;
	char text[];
};

STAILQ_HEAD(access_records, access_record);

#endif
