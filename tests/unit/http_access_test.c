/* SPDX-License-Identifier: MIT */
/* What the service http tells the access log of each request and response, however the bytes come. */
#include "http_run.h"
#include "server/access.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NRECORDS 16

static struct http_tree tree;

/* In the place of a connection: what was begun, each with copies of its texts. */
static struct {
	struct access_record *records[NRECORDS];
	unsigned int n;
} told;

static struct access_text kept(struct access_text text)
{
	return (struct access_text){text.at ? memcpy(malloc(text.len + 1), text.at, text.len) : NULL,
				    text.len};
}

static struct access_record *begin(struct peer *peer, const struct access_request *request)
{
	struct access_record *r = calloc(1, sizeof(*r));

	assert_in_range(told.n, 0, NRECORDS - 1);
	r->request = (struct access_request){
		.line = kept(request->line),
		.method = kept(request->method),
		.target = kept(request->target),
		.protocol = kept(request->protocol),
		.host = kept(request->host),
		.referer = kept(request->referer),
		.agent = kept(request->agent),
		.number = request->number,
	};
	r->received = request->nbytes;
	told.records[told.n++] = r;
	return r;
}

static void forget(void)
{
	for (unsigned int i = 0; i < told.n; i++) {
		struct access_request *request = &told.records[i]->request;
		struct access_text *texts[] = {&request->line,	   &request->method, &request->target,
					       &request->protocol, &request->host,   &request->referer,
					       &request->agent};

		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
			free((char *)(uintptr_t)texts[k]->at);
		free(told.records[i]);
	}
	told.n = 0;
}

/* As a line: "" where there is nothing, or - where there is no such thing. */
static void append(char *to, struct access_text text)
{
	size_t len = strlen(to);

	snprintf(to + len, 4096 - len, "%.*s|", text.at ? (int)text.len : 1, text.at ? text.at : "-");
}

static const char *summary(void)
{
	static char text[4096];

	text[0] = '\0';
	for (unsigned int i = 0; i < told.n; i++) {
		const struct access_record *r = told.records[i];
		const struct access_request *request = &r->request;

		append(text, request->method);
		append(text, request->target);
		append(text, request->protocol);
		append(text, request->host);
		append(text, request->referer);
		append(text, request->agent);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%u %llu%s%s\n", r->status,
			 (unsigned long long)r->received, r->is_whole ? " whole" : "",
			 r->is_cut ? " cut" : "");
	}
	return text;
}

/* Feeds @data in pieces of @piece bytes (0: at once). Returns how many bytes of the responses were no heads.
 */
static uint64_t run(const char *data, unsigned char piece)
{
	struct access_queue *log = (struct access_queue *)&told;
	struct http_run run = {.options = {.keepalive_max = 100}};
	struct http_output output;
	uint64_t heads = 0, len;

	forget();
	run.env.access = &log;
	run.env.access_begin = begin;
	assert_int_equal(run_open(&run, tree.root), 0);
	output = run_bytes(&run, data, strlen(data), &piece, piece != 0);
	len = output.len;
	free(output.text);
	run_close(&run);
	for (unsigned int i = 0; i < told.n; i++)
		heads += told.records[i]->head;
	assert_in_range(heads, 0, len);
	return len - heads;
}

static void each_request_is_told(void **state)
{
	static const struct {
		const char *data, *want;
		uint64_t bodies;
	} rows[] = {
		{REQ("/ten.txt"), "GET|/ten.txt|HTTP/1.1|h|-|-|200 34 whole\n", 10},
		{"\r\n" REQ("/ten.txt"), "GET|/ten.txt|HTTP/1.1|h|-|-|200 34 whole\n", 10},
		{GET("/ten.txt?a=%20") "user-AGENT:\t me\t\r\nREFERER:you\r\nUser-Agent: other\r\nX-Referer: "
				       "no\r\n\r\n",
		 "GET|/ten.txt?a=%20|HTTP/1.1|h|you|me|200 105 whole\n", 10},
		{GET("/ten.txt") "User-Agent:\r\n\r\n", "GET|/ten.txt|HTTP/1.1|h|-||200 47 whole\n", 10},
		{REQ("/ten.txt") REQ("/none") "HEAD /ten.txt HTTP/1.0\r\n\r\n",
		 "GET|/ten.txt|HTTP/1.1|h|-|-|200 34 whole\nGET|/none|HTTP/1.1|h|-|-|404 31 whole\n"
		 "HEAD|/ten.txt|HTTP/1.0|-|-|-|200 26 whole\n",
		 10 + 14},
		{POST("/echo", "Content-Length: 5\r\n") "hello", "POST|/echo|HTTP/1.1|h|-|-|200 56 whole\n",
		 5},
		{POST("/echo", CHUNKED "Expect: 100-continue\r\n") "2\r\nhi\r\n0\r\n\r\n",
		 "POST|/echo|HTTP/1.1|h|-|-|200 94 whole\n", 12},
		{POST("/ten.txt", "Content-Length: 5\r\n") "hello",
		 "POST|/ten.txt|HTTP/1.1|h|-|-|405 59 whole\n", 23},
		/* What is not over yet, and what is cut short. */
		{POST("/echo", "Content-Length: 5\r\n") "he", "POST|/echo|HTTP/1.1|h|-|-|200 53\n", 2},
		{POST("/echo", CHUNKED) "2\r\nhi\r\nx\r\n", "POST|/echo|HTTP/1.1|h|-|-|200 70 cut\n", 7},
		/* Well-formed lines of requests that are refused for what comes behind. */
		{"GET / HTTP/1.1\r\nUser-Agent: me\r\n\r\n", "GET|/|HTTP/1.1|-|-|me|400 34\n", 43},
	};
	static const unsigned char pieces[] = {0, 1, 2, 3, 7, 30};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < sizeof(pieces); k++) {
			uint64_t bodies = run(rows[i].data, pieces[k]);

			assert_string_equal(summary(), rows[i].want);
			assert_int_equal(bodies, rows[i].bodies);
		}
	}
}

/* Of a line that is none: as much as has come. */
static void a_malformed_line_is_told_as_it_came(void **state)
{
	static const struct {
		const char *data, *line;
		unsigned int status;
	} rows[] = {
		{"BREW / HTTP/1.1\r\n\r\n", "BREW / HTTP/1.1", 501},
		{"GET /\x01 HTTP/1.1\r\n\r\n", "GET /\x01 HTTP/1.1", 400},
		{"GET / HTTP/1.1\nHost: h\r\n\r\n", "GET / HTTP/1.1", 400},
		{"\x16\x03\x01\r\n\r\n", "\x16\x03\x01", 400},
		{"GET / HTTP/2.0\r\n\r\n", "GET / HTTP/2.0", 505},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct access_request *request;

		run(rows[i].data, 0);
		assert_int_equal(told.n, 1);
		request = &told.records[0]->request;
		assert_int_equal(told.records[0]->status, rows[i].status);
		assert_int_equal(request->line.len, strlen(rows[i].line));
		assert_memory_equal(request->line.at, rows[i].line, request->line.len);
		assert_null(request->method.at);
		assert_null(request->target.at);
	}
}

static void nothing_is_told_while_there_is_no_log(void **state)
{
	struct access_queue *log = NULL;
	struct http_run run = {0};
	struct http_output output;

	forget();
	run.env.access = &log;
	run.env.access_begin = begin;
	assert_int_equal(run_open(&run, tree.root), 0);
	output = run_bytes(&run, REQ("/ten.txt") "\x01", strlen(REQ("/ten.txt")) + 1, NULL, 0);
	free(output.text);
	run_close(&run);
	assert_int_equal(told.n, 0);
}

static int open_tree(void **state)
{
	tree_create(&tree);
	return 0;
}

static int close_tree(void **state)
{
	forget();
	tree_destroy(&tree);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_is_told),
		cmocka_unit_test(a_malformed_line_is_told_as_it_came),
		cmocka_unit_test(nothing_is_told_while_there_is_no_log),
	};

	return cmocka_run_group_tests(tests, open_tree, close_tree);
}
