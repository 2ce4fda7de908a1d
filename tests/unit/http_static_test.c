/* SPDX-License-Identifier: MIT */
/* Files and directories: ranges, conditions, entity tags, and files that change before they are sent. */
#include "http_rows.h"
#include "server/http/session.h"

// clang-format off
static void files_and_directories_are_served(void **state)
{
	static const struct row rows[] = {
		{"head and body", REQ("/ten.txt"), "200",
		 "HTTP/1.1 200 OK\r\nServer: taiod\r\nDate: .............................\r\n"
		 "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n"
		 "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \""},
		{"body", REQ("/ten.txt"), "200", "Accept-Ranges: bytes\r\n\r\n0123456789"},
		{"HEAD", "HEAD /ten.txt HTTP/1.1\r\nHost: h\r\n\r\n", "200", "Content-Length: 10\r\n", "0123456789"},
		{"HEAD of what is not there", "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n", "404", "Content-Length: 14\r\n", "404 Not Found\n"},
		{"empty file", REQ("/empty.css") REQ("/ten.txt"), "200 200", "text/css; charset=utf-8\r\nContent-Length: 0\r\n"},
		{"index of the root", REQ("/"), "200", "text/html; charset=utf-8\r\nContent-Length: 8\r\n"},
		{"index", REQ("/sub/"), "200", "<p>sub\n"},
		{"directory", REQ("/sub"), "301", "\r\nLocation: /sub/\r\n"},
		{"directory with query", REQ("/sub?a=b"), "301", "\r\nLocation: /sub/?a=b\r\n"},
		{"no redirect to another host", REQ("//sub"), "301", "\r\nLocation: /sub/\r\n"},
		{"directory without index", REQ("/bare/"), "403"},
		{"index that is a directory", REQ("/odd/"), "403"},
		{"directory that is not there", REQ("/none/"), "404"},
		{"FIFO", REQ("/fifo"), "403"},
		{"not there", REQ("/none") REQ("/ten.txt"), "404 200", "404 Not Found\n"},
		{"healthz", REQ("/healthz"), "200", "\r\n\r\nok\n"},
		{"healthz with query", REQ("/healthz?x"), "200", "\r\n\r\nok\n"},
		{"metrics when there are none", REQ("/metrics"), "404"},
	};

	CHECK(rows);
}

static void ranges_follow_rfc_9110(void **state)
{
#define RANGE(set) GET("/ten.txt") "Range: " set "\r\n\r\n"
	static const struct row rows[] = {
		{"first bytes", RANGE("bytes=0-3"), "206", "\r\nContent-Length: 4\r\nContent-Range: bytes 0-3/10\r\n"},
		{"first bytes' body", RANGE("bytes=0-3"), "206", "\r\n\r\n0123", "01234"},
		{"one byte", RANGE("bytes=9-9"), "206", "\r\n\r\n9"},
		{"open", RANGE("bytes=7-"), "206", "bytes 7-9/10\r\n"},
		{"suffix", RANGE("bytes=-2"), "206", "\r\n\r\n89"},
		{"long suffix", RANGE("bytes=-99"), "206", "bytes 0-9/10\r\n"},
		{"end past the file", RANGE("bytes=8-99999999999999999999999"), "206", "bytes 8-9/10\r\n"},
		{"unit in capitals", RANGE("Bytes=0-0"), "206", "\r\n\r\n0"},
		{"behind the end", RANGE("bytes=10-"), "416", "\r\nContent-Range: bytes */10\r\n"},
		{"far behind the end", RANGE("bytes=99999999999999999999999-"), "416"},
		{"empty suffix", RANGE("bytes=-0"), "416"},
		{"of an empty file", GET("/empty.css") "Range: bytes=0-\r\n\r\n", "416", "bytes */0\r\n"},
		{"backwards", RANGE("bytes=3-1"), "200", "0123456789"},
		{"several", RANGE("bytes=0-1,3-4"), "200", "0123456789"},
		{"other unit", RANGE("lines=0-1"), "200", "0123456789"},
		{"no digits", RANGE("bytes=-"), "200"},
		{"no set", RANGE("bytes="), "200"},
		{"junk", RANGE("bytes=1-2x"), "200"},
		{"twice", GET("/ten.txt") "Range: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n", "200"},
		{"of HEAD", "HEAD /ten.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=0-3\r\n\r\n", "200", "Content-Length: 10\r\n"},
		{"If-Range date", GET("/ten.txt") "Range: bytes=0-3\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n", "206"},
		{"If-Range later date", GET("/ten.txt") "Range: bytes=0-3\r\nIf-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n\r\n", "200"},
		{"If-Range other tag", GET("/ten.txt") "Range: bytes=0-3\r\nIf-Range: \"x\"\r\n\r\n", "200"},
		{"If-Range junk", GET("/ten.txt") "Range: bytes=0-3\r\nIf-Range: *\r\n\r\n", "200"},
	};

	CHECK(rows);
}

static void conditions_by_date_follow_rfc_9110(void **state)
{
#define SINCE(date)   GET("/ten.txt") "If-Modified-Since: " date "\r\n\r\n"
#define UNSINCE(date) GET("/ten.txt") "If-Unmodified-Since: " date "\r\n\r\n"
	static const struct row rows[] = {
		{"same date", SINCE("Sun, 06 Nov 1994 08:49:37 GMT"), "304", "\r\nETag: \"", "Content-Length"},
		{"RFC 850 date", SINCE("Sunday, 06-Nov-94 08:49:37 GMT"), "304"},
		{"asctime date", SINCE("Sun Nov  6 08:49:37 1994"), "304"},
		{"earlier date", SINCE("Sun, 06 Nov 1994 08:49:36 GMT"), "200"},
		{"later date", SINCE("Mon, 07 Nov 1994 08:49:36 GMT"), "304"},
		{"junk date", SINCE("yesterday"), "200"},
		{"unmodified", UNSINCE("Sun, 06 Nov 1994 08:49:37 GMT"), "200"},
		{"modified", UNSINCE("Sun, 06 Nov 1994 08:49:36 GMT"), "412"},
		{"unmodified, junk", UNSINCE("x"), "200"},
		{"If-None-Match outdoes the date", GET("/ten.txt") "If-None-Match: \"x\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n", "200"},
		{"If-None-Match *", GET("/ten.txt") "If-None-Match: *\r\n\r\n", "304"},
		{"If-Match *", GET("/ten.txt") "If-Match: *\r\n\r\n", "200"},
		{"If-Match other", GET("/ten.txt") "If-Match: \"x\"\r\n\r\n", "412"},
		{"a 304 keeps the connection", SINCE("Sun, 06 Nov 1994 08:49:37 GMT") REQ("/none"), "304 404"},
		{"of HEAD", "HEAD /ten.txt HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n", "304"},
	};

	CHECK(rows);
}
// clang-format on

/* The value of @field in the first response to @request; freed by the caller. */
static char *field_of(struct http_run *run, const char *request, const char *field)
{
	struct http_output output = run_bytes(run, request, strlen(request), NULL, 0);
	char *at = strstr(output.text, field), *value = NULL;

	if (at)
		value = strndup(at + strlen(field), strcspn(at + strlen(field), "\r"));
	free(output.text);
	return value;
}

static void lines_of_one_list_are_bounded(void **state)
{
	char in[2048] = GET("/ten.txt");
	struct row row = {.name = "too many lines", .in = in, .want = "431.", TOO_BIG};

	for (int i = 0; i < 20; i++)
		strcat(in, "If-None-Match: \"a\"\r\n");
	strcat(in, "\r\n");
	check_row(&row, NULL, 0);
}

static void check_etag(struct http_run *run, const char *fmt, const char *etag, const char *want)
{
	char request[512], statuses[64];
	struct http_output output;

	snprintf(request, sizeof(request), fmt, etag);
	output = run_bytes(run, request, strlen(request), NULL, 0);
	statuses_of(&output, statuses, sizeof(statuses));
	if (strcmp(statuses, want) != 0)
		fail_msg("%s: want %s, have %s", request, want, statuses);
	free(output.text);
}

static void etags_compare_as_rfc_9110_wants(void **state)
{
	struct http_run run = {.options = {.file_cache = 4, .file_valid_us = 1000000}};
	char *etag;

	assert_int_equal(run_open(&run, tree.root), 0);
	etag = field_of(&run, REQ("/ten.txt"), "\r\nETag: ");
	assert_non_null(etag);
	check_etag(&run, GET("/ten.txt") "If-None-Match: %s\r\n\r\n", etag, "304");
	check_etag(&run, GET("/ten.txt") "If-None-Match: W/%s\r\n\r\n", etag, "304");
	check_etag(&run, GET("/ten.txt") "If-None-Match: \"a\", W/\"b,c\" ,, %s\r\n\r\n", etag, "304");
	check_etag(&run, GET("/ten.txt") "If-None-Match: \"a\"\r\nIf-None-Match: %s\r\n\r\n", etag, "304");
	check_etag(&run, GET("/ten.txt") "If-None-Match: \"a\"\r\nA: b\r\nIf-None-Match: \"b\", W/%s\r\n\r\n",
		   etag, "304");
	check_etag(&run, GET("/1k.bin") "If-None-Match: \"a\"\r\nIf-None-Match: %s\r\n\r\n", etag, "200");
	check_etag(&run, GET("/ten.txt") "If-Match: \"a\"\r\nIf-Match: %s\r\n\r\n", etag, "200");
	check_etag(&run, GET("/1k.bin") "If-Match: \"a\"\r\nIf-Match: %s\r\n\r\n", etag, "412");
	check_etag(&run, GET("/ten.txt") "If-None-Match: x%s\r\n\r\n", etag, "200");
	check_etag(&run, GET("/1k.bin") "If-None-Match: %s\r\n\r\n", etag, "200");
	check_etag(&run, GET("/ten.txt") "If-Match: \"a\", %s\r\n\r\n", etag, "200");
	check_etag(&run, GET("/ten.txt") "If-Match: W/%s\r\n\r\n", etag, "412");
	check_etag(&run, GET("/ten.txt") "Range: bytes=1-2\r\nIf-Range: %s\r\n\r\n", etag, "206");
	check_etag(&run, GET("/ten.txt") "Range: bytes=1-2\r\nIf-Range: W/%s\r\n\r\n", etag, "200");
	free(etag);
	run_close(&run);
}

/* What the connection does with the first response of @out: asks for another, for @err. */
static void call_again(void *session, struct outq *out, int err)
{
	struct outq_file *file;
	struct outq rest;
	uint32_t note;

	outq_init(&rest);
	assert_true(outq_is_callable(STAILQ_FIRST(&out->segs)));
	file = outq_call_back(out, STAILQ_FIRST(&out->segs), &rest, &note);
	assert_int_equal(service_http.respond_again(session, file, note, err, out), 0);
	outq_splice(out, &rest);
	outq_file_put(file);
}

struct again_row {
	const char *fields; /* of the first request */
	const char *text;   /* of the file by then; NULL: it is gone */
	int err;	    /* that reading it failed with */
	const char *want;   /* of both responses */
	const char *has;
};

static void check_again(const struct again_row *row)
{
	struct http_run run = {.options = {.file_cache = 4, .file_valid_us = 1000000}};
	struct http_output output = {0};
	void *session = calloc(1, service_http.session_size);
	char in[512], statuses[64], path[128];
	struct outq out;
	uint64_t before;
	size_t used;

	tree_file(tree.root, "again", "as it was", 9);
	assert_int_equal(run_open(&run, tree.root), 0);
	outq_init(&out);
	service_http.open(session, run.site, NULL);
	snprintf(in, sizeof(in), GET("/again") "%s\r\n" GET("/ten.txt") "Connection: close\r\n\r\n",
		 row->fields);
	output.step = service_http.input(session, in, strlen(in), &used, &out);
	if (row->text)
		tree_file(tree.root, "again", row->text, strlen(row->text));
	snprintf(path, sizeof(path), "%s/again", tree.root);
	if (!row->text)
		assert_int_equal(truncate(path, 1) || unlink(path), 0);
	before = run.counters.v[COUNT_responses_2xx];
	call_again(session, &out, row->err);
	output_take(&output, &out);
	statuses_of(&output, statuses, sizeof(statuses));
	if (strcmp(statuses, row->want) || !strstr(output.text, row->has))
		fail_msg("%s %s: want %s and %s, have %s:\n%s", row->fields, row->text ? row->text : "(gone)",
			 row->want, row->has, statuses, output.text);
	/* The connection's end is the second request's. */
	assert_null(strstr(strstr(output.text, "Connection: close") + 1, "Connection: close"));
	assert_non_null(strstr(output.text, "Connection: close\r\n\r\n0123456789"));
	/* None goes back: what was taken back is made up for by the next. */
	assert_in_range(run.counters.v[COUNT_responses_2xx], before, 2);
	assert_int_equal(run.counters.v[COUNT_responses_2xx] + run.counters.v[COUNT_responses_4xx] +
				 run.counters.v[COUNT_responses_5xx],
			 2 + ((struct http_site *)run.site)->taken_back);
	free(output.text);
	free(session);
	run_close(&run);
}

static void a_file_that_changed_before_its_response_gets_another(void **state)
{
	static const struct again_row rows[] = {
		{"", "as it is now", 0, "200 200.", "Content-Length: 12\r\n"},
		{"", "as it is now", 0, "200 200.", "\r\n\r\nas it is now"},
		{"", "", 0, "200 200.", "Content-Length: 0\r\n"},
		{"", "short", -EIO, "500 200.", "500 Internal Server Error\n"},
		{"", NULL, 0, "404 200.", "404 Not Found\n"},
		{"Range: bytes=3-4\r\n", "as it is now", 0, "200 200.", "\r\n\r\nas it is now"},
		{"If-Match: *\r\n", "new", 0, "200 200.", "\r\n\r\nnew"},
		{"If-Unmodified-Since: Sun, 06 Nov 2044 08:49:37 GMT\r\n", "new", 0, "412 200.",
		 "412 Precond"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_again(&rows[i]);
}

static void a_file_that_changes_without_end_is_given_up(void **state)
{
	struct http_run run = {.options = {.file_cache = 4, .file_valid_us = 1000000}};
	struct http_output output = {0};
	void *session = calloc(1, service_http.session_size);
	struct outq out;
	size_t used, n = 0;

	assert_int_equal(run_open(&run, tree.root), 0);
	outq_init(&out);
	service_http.open(session, run.site, NULL);
	service_http.input(session, REQ("/ten.txt"), strlen(REQ("/ten.txt")), &used, &out);
	for (; STAILQ_NEXT(STAILQ_FIRST(&out.segs), link) && n < 100; n++)
		call_again(session, &out, 0);
	assert_in_range(n, 8, 20);
	output_take(&output, &out);
	assert_non_null(strstr(output.text, "503 Service Unavailable"));
	free(output.text);
	free(session);
	run_close(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_and_directories_are_served),
		cmocka_unit_test(ranges_follow_rfc_9110),
		cmocka_unit_test(conditions_by_date_follow_rfc_9110),
		cmocka_unit_test(lines_of_one_list_are_bounded),
		cmocka_unit_test(etags_compare_as_rfc_9110_wants),
		cmocka_unit_test(a_file_that_changed_before_its_response_gets_another),
		cmocka_unit_test(a_file_that_changes_without_end_is_given_up),
	};

	return cmocka_run_group_tests(tests, rows_setup, rows_teardown);
}
