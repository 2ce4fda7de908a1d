/* SPDX-License-Identifier: MIT */
/* The end of an HTTP response is found at the same byte however its bytes are split. */
#include "loadgen/http_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OK "HTTP/1.1 200 OK\r\n"

/* Longer than what is kept of a line in pieces. */
#define LONG                                                                                                 \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef01" \
	"23456789abcdef"

struct row {
	const char *in;
	enum http_state want;
	unsigned int status;
	bool close;
	size_t left; /* bytes behind the response */
};

// clang-format off
static const struct row rows[] = {
	{ OK "Content-Length: 3\r\n\r\nabc", HTTP_COMPLETE, 200, false, 0 },
	{ OK "Content-Length: 3\r\n\r\nabcd", HTTP_COMPLETE, 200, false, 1 },
	{ OK "Content-Length: 3\r\n\r\nab", HTTP_BODY, 200, false, 0 },
	{ OK "content-length:0\r\n\r\n", HTTP_COMPLETE, 200, false, 0 },
	{ OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", HTTP_COMPLETE, 200, false, 0 },
	{ OK "Content-Length: 1\r\nConnection: close\r\n\r\na", HTTP_COMPLETE, 200, true, 0 },
	{ OK "Content-Length: 1\r\nConnection: foo , CLOSE\t\r\n\r\na", HTTP_COMPLETE, 200, true, 0 },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", HTTP_COMPLETE, 200, true, 0 },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", HTTP_COMPLETE, 200, false, 0 },
	{ "HTTP/1.1 404\r\nContent-Length: 1\r\n\r\na", HTTP_COMPLETE, 404, false, 0 },
	{ "HTTP/1.1 204 No Content\r\n\r\n", HTTP_COMPLETE, 204, false, 0 },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", HTTP_COMPLETE, 304, false, 0 },
	{ "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\na", HTTP_COMPLETE, 200, false, 0 },
	{ OK "X: " LONG "\r\nContent-Length: 1\r\n\r\na", HTTP_COMPLETE, 200, false, 0 },
	{ OK "\r\nuntil the end", HTTP_UNTIL_EOF, 200, true, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", HTTP_COMPLETE, 200, false, 0 },
	{ OK "Transfer-Encoding: Chunked\r\n\r\n1;a=b\r\n\n\r\n0A \r\n0123456789\r\n0\r\nX: y\r\n\r\nz",
	  HTTP_COMPLETE, 200, false, 1 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n1;" LONG "\r\na\r\n0\r\nX: " LONG "\r\n\r\n", HTTP_COMPLETE, 200, false, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", HTTP_TRAILERS, 200, false, 0 },

	{ OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Content-Length: -3\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Content-Length: 3 3\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Content-Length:\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Content-Length: 99999999999999999999\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Transfer-Encoding: gzip\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\ng\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "no colon\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "A: b\r\n folded\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "A: b\rc\r\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ OK "A: b\n\r\n", HTTP_MALFORMED, 200, false, 0 },
	{ "HTTP/1.1 2000 OK\r\n", HTTP_MALFORMED, 0, false, 0 },
	{ "HTTP/2.0 200 OK\r\n", HTTP_MALFORMED, 0, false, 0 },
	{ "HTTP/1.1 600 ?\r\n", HTTP_MALFORMED, 0, false, 0 },
	{ "\r\n", HTTP_MALFORMED, 0, false, 0 },
};
// clang-format on

/* Feeds in[from..to) as far as it is taken; returns how much was left over. */
static size_t feed(struct http_response *response, const char *in, size_t from, size_t to)
{
	return to - from - http_response_input(response, in + from, to - from);
}

static void check(const struct row *row, const struct http_response *response, size_t left, size_t cut)
{
	if (response->state != row->want || (row->status && response->status != row->status))
		fail_msg("%s\n(cut at %zu): state %d, status %u", row->in, cut, response->state,
			 response->status);
	if (row->want == HTTP_MALFORMED)
		return;
	assert_int_equal(response->close, row->close);
	assert_int_equal(left, row->left);
}

static void check_cut_in_two(const struct row *row, size_t cut)
{
	struct http_response response;
	size_t len = strlen(row->in), left;

	http_response_init(&response);
	left = feed(&response, row->in, 0, cut);
	left = left ? left + len - cut : feed(&response, row->in, cut, len);
	check(row, &response, left, cut);
}

static void every_cut_in_two_gives_the_same(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t cut = 0; cut <= strlen(rows[i].in); cut++)
			check_cut_in_two(&rows[i], cut);
	}
}

static void single_bytes_give_the_same(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_response response;
		size_t left = 0;

		http_response_init(&response);
		for (size_t at = 0; at < strlen(rows[i].in); at++)
			left += feed(&response, rows[i].in, at, at + 1);
		check(&rows[i], &response, left, 1);
	}
}

static void only_a_body_without_length_ends_by_eof(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_response response;

		http_response_init(&response);
		http_response_input(&response, rows[i].in, strlen(rows[i].in));
		assert_int_equal(http_response_eof(&response), rows[i].want == HTTP_UNTIL_EOF);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_in_two_gives_the_same),
		cmocka_unit_test(single_bytes_give_the_same),
		cmocka_unit_test(only_a_body_without_length_ends_by_eof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
