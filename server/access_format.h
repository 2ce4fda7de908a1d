/* SPDX-License-Identifier: MIT */
/*
 * What a line of the access log says, and how: access-log-format, parsed. A format does not change, and any
 * thread may use it.
 */
#ifndef ACCESS_FORMAT_H
#define ACCESS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

union addr;

/* Not ended by a NUL. .at NULL: there is none. */
struct access_text {
	const char *at;
	size_t len;
};

/* A response, or a connection at its end. */
struct access_entry {
	const union addr *client;
	const char *listener, *service;
	/* Of its TLS; version NULL: it is plain. */
	const char *version, *cipher, *server_name, *alpn, *client_name;
	bool is_resumed;
	/* Of a connection: why it has ended; NULL: this is a response. */
	const char *reason;
	struct access_text backend; /* the last one that was connected to */
	/* Of a response: what the client has sent, and what it got. */
	struct access_text line;		     /* its request line */
	struct access_text method, target, protocol; /* parts of that, if it was one */
	struct access_text host, referer, agent;
	unsigned int status; /* 0: there was none */
	uint64_t body;	     /* bytes sent of it behind its head */
	bool is_cut;	     /* not all of it was sent */

	uint64_t received, sent; /* bytes */
	uint64_t took_us;
};

/* Wall-clock time as text, made once a second. Zero it, and keep one for each thread. */
struct access_clock {
	struct timespec now;
	time_t second;	 /* of the two: */
	char common[32]; /* [28/Nov/2026:06:24:05 +0000] */
	char iso[24];	 /* 2026-11-28T06:24:05 */
};

void access_clock_read(struct access_clock *clock);

/* So much of each thing that a client has said is in a line. */
#define ACCESS_TEXT_MAX 4096
/* A line is no longer, its end included; what an own format has behind that is left out. */
#define ACCESS_LINE_MAX (128 * 1024)

#define ACCESS_WHY_LEN 1024

struct access_format;

/* For the option table: checks the syntax. */
int access_format_check(const char *text, char *why);

/* "common", "combined", "json", or sequences with what is between them. -EINVAL or -ENOMEM with
 * why[ACCESS_WHY_LEN]. */
int access_format_create(struct access_format **format, const char *text, char *why);
void access_format_destroy(struct access_format *format); /* NULL is allowed */

/* Writes a line, which ends in LF and has no other, to line[ACCESS_LINE_MAX]; returns its length. */
size_t access_format_write(const struct access_format *format, const struct access_entry *entry,
			   const struct access_clock *clock, char *line);

/* Writes the sequences for the manual: a list, a line for each. */
void access_format_describe(FILE *to);

#endif
