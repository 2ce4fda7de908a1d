/* SPDX-License-Identifier: MIT */
/* The options of the http service, and its words of a listener; the tables are in options.c. Read-only. */
#ifndef HTTP_OPTIONS_H
#define HTTP_OPTIONS_H

#include "base/opt.h"

#include <stdbool.h>
#include <stdint.h>

/* The largest header-max: a connection keeps 64 KiB of input that was not consumed. */
#define HTTP_HEADER_MAX (32 * 1024)

struct http_options {
	char *index;		     /* name of the file served for a directory */
	uint64_t header_max;	     /* bytes of a header block */
	uint64_t body_max;	     /* bytes of a request body */
	uint64_t body_min_rate;	     /* bytes per second of a request body; 0: any */
	uint64_t request_timeout_us; /* from a request's first byte to its last; 0: none */
	unsigned int keepalive_max;  /* requests on a connection; 0: unlimited */
	unsigned int file_cache;     /* maximum open files that a worker keeps for each listener; 0: none */
	uint64_t file_valid_us;	     /* how long a cached open file is trusted before it is checked again */
	bool dotfiles;		     /* names that begin with a dot are served */
	bool metrics;		     /* /metrics is served */
};

struct http_words {
	char *root; /* directory served, or NULL */
};

extern const struct opt http_options[];
extern const struct opt http_words[];

#endif
