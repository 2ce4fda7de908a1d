/* SPDX-License-Identifier: MIT */
/*
 * The http service as a function from bytes to bytes: rows of input and expected output, each fed at once,
 * byte by byte and in odd pieces: the response must be the same. Includes what such a test needs of
 * http_run.h and cmocka.
 */
#ifndef HTTP_ROWS_H
#define HTTP_ROWS_H

#include "http_run.h"
#include "server/http/http.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A row leaves out what it does not look at. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static struct http_tree tree;

struct row {
	const char *name;
	const char *in;
	const char *want;  /* statuses, in order; ends in '.' where the connection ends */
	const char *has;   /* some of the output, or NULL */
	const char *lacks; /* not in the output, or NULL */
	size_t len;	   /* of @in, if it contains a NUL */
	struct {
		uint64_t bad_requests, smuggling, header_too_big, path_escapes;
	} refusals; /* how they are counted */
};

#define BAD	  .refusals = {.bad_requests = 1}
#define SMUGGLING .refusals = {.bad_requests = 1, .smuggling = 1}
#define ESCAPE	  .refusals = {.path_escapes = 1}
#define TOO_BIG	  .refusals = {.header_too_big = 1}

static inline void check_counters(const struct row *row, const struct counters *have)
{
	const uint64_t *v = have->v;

	if (v[COUNT_bad_requests] != row->refusals.bad_requests ||
	    v[COUNT_smuggling] != row->refusals.smuggling ||
	    v[COUNT_header_too_big] != row->refusals.header_too_big ||
	    v[COUNT_path_escapes] != row->refusals.path_escapes)
		fail_msg("%s: bad %lu smuggling %lu too big %lu escapes %lu", row->name,
			 v[COUNT_bad_requests], v[COUNT_smuggling], v[COUNT_header_too_big],
			 v[COUNT_path_escapes]);
}

static inline void check_row(const struct row *row, const unsigned char *splits, size_t nsplits)
{
	struct http_run run = {
		.options = {.header_max = 1024, .body_max = 4096, .file_cache = 4, .file_valid_us = 1000000}};
	struct http_output output;
	char statuses[512];

	assert_int_equal(run_open(&run, tree.root), 0);
	output = run_bytes(&run, row->in, row->len ? row->len : strlen(row->in), splits, nsplits);
	statuses_of(&output, statuses, sizeof(statuses));
	if (strcmp(statuses, row->want) != 0)
		fail_msg("%s: want %s, have %s in pieces of %d:\n%s", row->name, row->want, statuses,
			 nsplits ? splits[0] : 0, output.text);
	if (row->has && !strstr(output.text, row->has))
		fail_msg("%s: no \"%s\" in:\n%s", row->name, row->has, output.text);
	if (row->lacks && strstr(output.text, row->lacks))
		fail_msg("%s: \"%s\" in:\n%s", row->name, row->lacks, output.text);
	check_counters(row, &run.counters);
	free(output.text);
	run_close(&run);
}

static inline void check_rows(const struct row *rows, size_t nrows)
{
	static const unsigned char bytewise[] = {1}, odd[] = {7, 2, 1, 13};

	for (size_t i = 0; i < nrows; i++) {
		check_row(&rows[i], NULL, 0);
		check_row(&rows[i], bytewise, sizeof(bytewise));
		check_row(&rows[i], odd, sizeof(odd));
	}
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static inline int rows_setup(void **state)
{
	tree_create(&tree);
	return 0;
}

static inline int rows_teardown(void **state)
{
	tree_destroy(&tree);
	outq_trim();
	return 0;
}

#endif
