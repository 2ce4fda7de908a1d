/* SPDX-License-Identifier: MIT */
/*
 * The http service as a function from bytes to bytes. Each row is fed at once, byte by byte and in odd
 * pieces: the response must be the same.
 */
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

static void check_counters(const struct row *row, const struct counters *have)
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

static void check_row(const struct row *row, const unsigned char *splits, size_t nsplits)
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

static void check_rows(const struct row *rows, size_t nrows)
{
	static const unsigned char bytewise[] = {1}, odd[] = {7, 2, 1, 13};

	for (size_t i = 0; i < nrows; i++) {
		check_row(&rows[i], NULL, 0);
		check_row(&rows[i], bytewise, sizeof(bytewise));
		check_row(&rows[i], odd, sizeof(odd));
	}
}

/* Of the two that frame a body; each version of llhttp refuses it at another place. */
#define BOTH "Content-Length and Transfer-Encoding"

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

// clang-format off
static void smuggling_shapes_are_refused_and_counted(void **state)
{
	static const struct row rows[] = {
		{"lone CR in a header", GET("/") "A: b\rContent-Length: 5\r\n\r\n", "400.", SMUGGLING},
		{"lone CR, CVE-2023-30589", "POST / HTTP/1.1\r\nHost: h\r\nX:\rTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"lone CR before CRLF", GET("/") "A: b\r\r\n\r\n", "400.", SMUGGLING},
		{"lone LF ends a header", GET("/") "A: b\nB: c\r\n\r\n", "400.", SMUGGLING},
		{"lone LF ends the block", "GET / HTTP/1.1\r\nHost: h\r\n\n", "400.", SMUGGLING},
		{"lone LF ends the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", "400.", SMUGGLING},
		{"folded Content-Length", "POST /echo HTTP/1.1\r\nHost: h\r\nA: b\r\n Content-Length: 5\r\n\r\nhello", "400.", SMUGGLING},
		{"folded by a TAB", GET("/") "A: b\r\n\tc\r\n\r\n", "400.", SMUGGLING},
		{"blank before the first header", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "400.", SMUGGLING},
		{"after a response", REQ("/ten.txt") "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "200 400.", SMUGGLING},
		{"HTTP/0.9 with LF", "GET /x\n", "400.", SMUGGLING},
		{"HTTP/0.9 with CRLF", "GET /x\r\n\r\n", "400.", SMUGGLING},
		{"HTTP/0.9 with a body", "GET /x\nContent-Length: 5\n\nhello", "400.", SMUGGLING},
		{"version with a blank behind", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "400.", SMUGGLING},
		{"version 2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505.", BAD},
		{"version 11.1", "GET / HTTP/11.1\r\nHost: h\r\n\r\n", "400.", SMUGGLING},
		{"length and coding", POST("/echo", "Content-Length: 5\r\n" CHUNKED) "0\r\n\r\n", "400.", BOTH, SMUGGLING},
		{"coding and length", POST("/echo", CHUNKED "Content-Length: 5\r\n") "0\r\n\r\n", "400.", BOTH, SMUGGLING},
		{"coding and malformed length", POST("/echo", CHUNKED "Content-Length: x\r\n") "0\r\n\r\n", "400.", BOTH, SMUGGLING},
		{"length and malformed coding", POST("/echo", "Content-Length: 5\r\nTransfer-Encoding: chunked, x\r\n") "0\r\n\r\n", "400.", BOTH, SMUGGLING},
		{"length and unknown coding", POST("/echo", "Content-Length: 5\r\nTransfer-Encoding: x\r\n") "0\r\n\r\n", "400.", BOTH, SMUGGLING},
		{"two codings and a length", POST("/echo", CHUNKED CHUNKED "Content-Length: 5\r\n") "0\r\n\r\n", "400.", "malformed Transfer-Encoding", SMUGGLING},
		{"malformed length and coding", POST("/echo", "Content-Length: x\r\n" CHUNKED) "0\r\n\r\n", "400.", "malformed or repeated Content-Length", SMUGGLING},
		{"two lengths that differ", POST("/echo", "Content-Length: 5\r\nContent-Length: 6\r\n") "hello", "400.", SMUGGLING},
		{"two equal lengths", POST("/echo", "Content-Length: 5\r\nContent-Length: 5\r\n") "hello", "400.", SMUGGLING},
		{"a list of lengths", POST("/echo", "Content-Length: 5, 5\r\n") "hello", "400.", SMUGGLING},
		{"signed length", POST("/echo", "Content-Length: +5\r\n") "hello", "400.", SMUGGLING},
		{"negative length", POST("/echo", "Content-Length: -5\r\n") "hello", "400.", SMUGGLING},
		{"hexadecimal length", POST("/echo", "Content-Length: 0x5\r\n") "hello", "400.", SMUGGLING},
		{"length with a blank inside", POST("/echo", "Content-Length: 5 5\r\n") "hello", "400.", SMUGGLING},
		{"empty length", POST("/echo", "Content-Length:\r\n") "hello", "400.", SMUGGLING},
		{"length over 64 bits", POST("/echo", "Content-Length: 18446744073709551617\r\n") "hello", "400.", SMUGGLING},
		{"chunked twice", POST("/echo", "Transfer-Encoding: chunked, chunked\r\n") "0\r\n\r\n", "400.", SMUGGLING},
		{"two codings in two fields", POST("/echo", CHUNKED CHUNKED) "0\r\n\r\n", "400.", SMUGGLING},
		{"identity behind chunked", POST("/echo", "Transfer-Encoding: chunked, identity\r\n") "0\r\n\r\n", "400.", SMUGGLING},
		{"chunked in quotes", POST("/echo", "Transfer-Encoding: \"chunked\"\r\n") "0\r\n\r\n", "400.", SMUGGLING},
		{"chunked with a parameter", POST("/echo", "Transfer-Encoding: chunked;q=1\r\n") "0\r\n\r\n", "400.", SMUGGLING},
		{"empty coding", POST("/echo", "Transfer-Encoding:\r\n") "0\r\n\r\n", "400.", SMUGGLING},
		{"coding with a vertical tab", POST("/echo", "Transfer-Encoding: \vchunked\r\n") "0\r\n\r\n", "400.", BAD},
		{"unknown coding", POST("/echo", "Transfer-Encoding: xchunked\r\n") "0\r\n\r\n", "501.", SMUGGLING},
		{"gzip, chunked", POST("/echo", "Transfer-Encoding: gzip, chunked\r\n") "0\r\n\r\n", "501.", SMUGGLING},
		{"identity", POST("/echo", "Transfer-Encoding: identity\r\n") "0\r\n\r\n", "501.", SMUGGLING},
		{"coding in HTTP/1.0", "POST /echo HTTP/1.0\r\n" CHUNKED "\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"blank before the colon", GET("/") "Content-Length : 5\r\n\r\n", "400.", BAD},
		{"blank before the coding's colon", GET("/") "Transfer-Encoding : chunked\r\n\r\n", "400.", BAD},
		{"a TAB before the colon", GET("/") "Content-Length\t: 5\r\n\r\n", "400.", BAD},
		{"no pipelined request behind a refusal", "GET /x\r\n\r\n" REQ("/ten.txt"), "400.", .lacks = "0123456789", SMUGGLING},
	};

	CHECK(rows);
}

static void malformed_heads_are_refused(void **state)
{
	static const struct row rows[] = {
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00", "400.", BAD, .len = 7},
		{"text", "hello\r\n\r\n", "400.", BAD},
		{"NUL in the target", "GET /\0 HTTP/1.1\r\n\r\n", "400.", BAD, .len = 19},
		{"NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n", "400.", BAD, .len = 33},
		{"DEL in a value", GET("/") "A: \x7f\r\n\r\n", "400.", BAD},
		{"8-bit in the target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", "400.", BAD},
		{"8-bit in a value", GET("/ten.txt") "A: \xc3\xa4\r\n\r\n", "200"},
		{"TAB in a value", GET("/ten.txt") "A: b\tc\r\n\r\n", "200"},
		{"TAB in the request line", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "400.", BAD},
		{"two blanks", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400.", BAD},
		{"blank in the target", "GET /a b.txt HTTP/1.1\r\nHost: h\r\n\r\n", "400.", BAD},
		{"no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", "400.", BAD},
		{"relative target", "GET ten.txt HTTP/1.1\r\nHost: h\r\n\r\n", "400.", BAD},
		{"fragment", "GET /ten.txt#a HTTP/1.1\r\nHost: h\r\n\r\n", "400.", BAD},
		{"asterisk of GET", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", "400.", BAD},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", "400.", BAD},
		{"two Hosts", GET("/") "Host: h\r\n\r\n", "400.", BAD},
		{"Host with a port alone (RFC 9110, 4.2.1)", "GET /ten.txt HTTP/1.1\r\nHost: :80\r\n\r\n", "400.", BAD},
		{"Host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", "400.", BAD},
		{"Host with user", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", "400.", BAD},
		{"empty Host", "GET /ten.txt HTTP/1.1\r\nHost:\r\n\r\n", "400.", BAD},
		{"blank Host", "GET /ten.txt HTTP/1.1\r\nHost: \t \r\n\r\n", "400.", BAD},
		{"IPv6 Host", "GET /ten.txt HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "200"},
		{"no Host in HTTP/1.0", "GET /ten.txt HTTP/1.0\r\n\r\n", "200."},
		{"header without colon", GET("/") "nocolon\r\n\r\n", "400.", BAD},
		{"header without name", GET("/") ": x\r\n\r\n", "400.", BAD},
		{"header name with a blank", GET("/") "a b: x\r\n\r\n", "400.", BAD},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505.", BAD},
		{"unknown method", "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "501.", BAD},
		{"lower case method", "get / HTTP/1.1\r\nHost: h\r\n\r\n", "501.", BAD},
		{"lower case version", "GET / http/1.1\r\nHost: h\r\n\r\n", "400.", SMUGGLING},
		{"unknown expectation", GET("/") "Expect: the-worst\r\n\r\n", "417.", BAD},
		{"one empty line first", "\r\n" REQ("/ten.txt"), "200"},
		{"one empty line between", REQ("/ten.txt") "\r\n" REQ("/ten.txt"), "200 200"},
		{"two empty lines first", "\r\n\r\n" REQ("/ten.txt"), "400.", BAD},
		{"CR first", "\rGET / HTTP/1.1\r\n\r\n", "400.", SMUGGLING},
	};

	CHECK(rows);
}

static void paths_stay_beneath_the_root(void **state)
{
	static const struct row rows[] = {
		{"..", REQ("/.."), "400.", ESCAPE},
		{"../", REQ("/../etc/passwd"), "400.", ESCAPE},
		{"down and out", REQ("/sub/../../etc/passwd"), "400.", ESCAPE},
		{"encoded dots", REQ("/%2e%2E/etc/passwd"), "400.", ESCAPE},
		{"encoded slashes", REQ("/..%2f..%2fetc%2fpasswd"), "400.", ESCAPE},
		{"double slashes", REQ("//..//..//etc/passwd"), "400.", ESCAPE},
		{"absolute form", REQ("http://h/../etc/passwd"), "400.", ESCAPE},
		{"encoded twice is a name", REQ("/%252e%252e/ten.txt"), "404"},
		{"backslashes are names", REQ("/..\\..\\etc"), "404"},
		{"down and up", REQ("/sub/../ten.txt"), "200", "0123456789"},
		{"dot", REQ("/./ten.txt"), "200", "0123456789"},
		{"three dots are a name", REQ("/..."), "404"},
		{"slashes", REQ("//ten.txt"), "200", "0123456789"},
		{"link out", REQ("/outside"), "403", ESCAPE},
		{"link up", REQ("/above/etc/passwd"), "403", ESCAPE},
		{"link within", REQ("/inside"), "200", "0123456789"},
		{"looping link", REQ("/loop"), "403", ESCAPE},
		{"NUL", REQ("/ten.txt%00.html"), "400.", BAD},
		{"short escape", REQ("/%4"), "400.", BAD},
		{"bad escape", REQ("/%zz"), "400.", BAD},
		{"escape", REQ("/%74en%2etxt"), "200", "0123456789"},
		{"blank in a name", REQ("/a%20b.txt"), "200", "blank"},
		{"encoded slash", REQ("/sub%2findex.html"), "404"},
		{"file with a slash behind", REQ("/ten.txt/"), "404"},
		{"below a file", REQ("/ten.txt/x"), "404"},
		{"query", REQ("/ten.txt?a=/../%zz"), "200", "0123456789"},
		{"absolute form of a file", REQ("HTTP://h:80/ten.txt"), "200", "0123456789"},
		{"absolute form without path", REQ("http://h"), "200", "<p>root"},
		{"absolute form with query only", REQ("http://h?x"), "200", "<p>root"},
		{"hidden file", REQ("/.hidden"), "404"},
		{"file in a hidden directory", REQ("/.git/config"), "404"},
		{"hidden file below", REQ("/sub/.htpasswd"), "404"},
		{"hidden file, encoded", REQ("/%2ehidden"), "404"},
		{"well-known (RFC 8615)", REQ("/.well-known/acme"), "200", "token"},
		{"hidden below well-known", REQ("/.well-known/.acme"), "404"},
		{"what only begins like it", REQ("/.well-known2"), "404"},
		{"absolute form without authority (RFC 9110, 4.2.1)", REQ("http:///ten.txt"), "400.", BAD},
		{"absolute form with nothing", REQ("https://"), "400.", BAD},
		{"absolute form with a query alone", REQ("http://?x"), "400.", BAD},
		{"absolute form with a port alone (RFC 9110, 4.2.1)", REQ("http://:80/ten.txt"), "400.", BAD},
		{"absolute form with user information (RFC 9110, 4.2.4)", REQ("http://u@h/ten.txt"), "400.", BAD},
		{"absolute form with nothing but its delimiter", REQ("http://@/ten.txt"), "400.", BAD},
		{"absolute form with an address", REQ("http://[::1]:80/ten.txt"), "200", "0123456789"},
	};

	CHECK(rows);
}

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

static void methods_are_allowed_or_named(void **state)
{
	static const struct row rows[] = {
		{"POST to a file", POST("/ten.txt", "Content-Length: 3\r\n") "abc" REQ("/ten.txt"), "405 200", "\r\nAllow: GET, HEAD, OPTIONS\r\n"},
		{"POST to nothing", POST("/none", "Content-Length: 3\r\n") "abc" REQ("/ten.txt"), "404 200", NULL, "Allow:"},
		{"PUT to nothing", "PUT /none HTTP/1.1\r\nHost: h\r\n\r\n", "404"},
		{"DELETE of what is hidden", "DELETE /.hidden HTTP/1.1\r\nHost: h\r\n\r\n", "404"},
		{"DELETE of what leads out", "DELETE /outside HTTP/1.1\r\nHost: h\r\n\r\n", "403", ESCAPE},
		{"POST to a directory", POST("/sub/", "Content-Length: 0\r\n"), "405"},
		{"PUT", "PUT /ten.txt HTTP/1.1\r\nHost: h\r\n\r\n", "405", "\r\nAllow: GET, HEAD, OPTIONS\r\n"},
		{"GET of echo", REQ("/echo"), "405", "\r\nAllow: POST, OPTIONS\r\n"},
		{"DELETE of healthz", "DELETE /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "405"},
		{"CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "405"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "204", "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n", "Content-Length"},
		{"OPTIONS of a file", "OPTIONS /ten.txt HTTP/1.1\r\nHost: h\r\n\r\n", "204", "\r\nAllow: GET, HEAD, OPTIONS\r\n"},
	};

	CHECK(rows);
}

static void connections_persist_as_agreed(void **state)
{
	static const struct row rows[] = {
		{"HTTP/1.1 stays", REQ("/ten.txt") REQ("/ten.txt"), "200 200", NULL, "Connection:"},
		{"HTTP/1.1 close", GET("/ten.txt") "Connection: close\r\n\r\n" REQ("/ten.txt"), "200.", "\r\nConnection: close\r\n\r\n"},
		{"close in a list", GET("/ten.txt") "Connection: x, Close\r\n\r\n" REQ("/ten.txt"), "200."},
		{"HTTP/1.0 ends", "GET /ten.txt HTTP/1.0\r\n\r\n" REQ("/ten.txt"), "200.", "\r\nConnection: close\r\n\r\n"},
		{"HTTP/1.0 keep-alive", "GET /ten.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" REQ("/none"), "200 404", "\r\nConnection: keep-alive\r\n\r\n"},
		{"HTTP/1.0 with both", "GET /ten.txt HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n" REQ("/none"), "200."},
		{"Upgrade is ignored", GET("/ten.txt") "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n" REQ("/none"), "200 404"},
		{"Upgrade with a body is ignored", POST("/echo", CHUNKED "Connection: upgrade\r\nUpgrade: x\r\n") "1\r\na\r\n0\r\n\r\n" REQ("/none"), "200 404"},
		{"body of GET is skipped", GET("/ten.txt") "Content-Length: 5\r\n\r\nhello" REQ("/none"), "200 404"},
		{"chunked body of GET is skipped", GET("/ten.txt") CHUNKED "\r\n5\r\nhello\r\n0\r\n\r\n" REQ("/none"), "200 404", NULL, "hello"},
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

static void bodies_are_echoed(void **state)
{
	static const struct row rows[] = {
		{"length", POST("/echo", "Content-Length: 5\r\n") "hello" REQ("/none"), "200 404", "Content-Length: 5\r\n\r\nhelloHTTP"},
		{"no body", POST("/echo", "") REQ("/none"), "200 404", "Content-Length: 0\r\n"},
		{"length 0", POST("/echo", "Content-Length: 0\r\n") REQ("/none"), "200 404", "Content-Length: 0\r\n"},
		{"length with zeros", POST("/echo", "Content-Length: 0005\r\n") "hello" REQ("/none"), "200 404", "\r\n\r\nhelloHTTP"},
		{"HTTP/1.0", "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", "200.", "\r\n\r\nhello"},
		{"chunked", POST("/echo", CHUNKED) "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n" REQ("/none"), "200 404",
		 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nHTTP"},
		{"CHUNKED", POST("/echo", "TRANSFER-ENCODING: CHUNKED\r\n") "A\r\n0123456789\r\n00\r\n\r\n", "200", "a\r\n0123456789\r\n0\r\n\r\n"},
		{"empty chunked", POST("/echo", CHUNKED) "0\r\n\r\n" REQ("/none"), "200 404", "\r\n\r\n0\r\n\r\nHTTP"},
		{"trailers are dropped", POST("/echo", CHUNKED) "1\r\na\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n" REQ("/none"), "200 404", "1\r\na\r\n0\r\n\r\nHTTP"},
		{"100-continue", POST("/echo", "Expect: 100-continue\r\nContent-Length: 2\r\n") "ab", "100 200", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"},
		{"100-continue, chunked", POST("/echo", "Expect: 100-Continue\r\n" CHUNKED) "1\r\na\r\n0\r\n\r\n" REQ("/none"), "100 200 404"},
		{"100-continue without body", POST("/echo", "Expect: 100-continue\r\n") REQ("/none"), "200 404"},
		{"100-continue of a file", POST("/ten.txt", "Expect: 100-continue\r\nContent-Length: 2\r\n") "ab", "405.", "\r\nConnection: close\r\n"},
		{"100-continue in HTTP/1.0", "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab", "200."},
		{"too long", POST("/echo", "Content-Length: 4097\r\n"), "413.", "\r\nConnection: close\r\n"},
		{"too long, 100-continue", POST("/echo", "Expect: 100-continue\r\nContent-Length: 4097\r\n"), "413."},
		{"too long first chunk", POST("/echo", CHUNKED) "1001\r\n", "413."},
		{"too long later chunk ends unfinished", POST("/echo", CHUNKED) "1\r\na\r\n1000\r\n", "200.", NULL, "1000\r\n"},
	};

	CHECK(rows);
}

static void chunked_framing_is_strict(void **state)
{
	static const struct row rows[] = {
		{"LF after the size", POST("/echo", CHUNKED) "1\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"lone CR in an extension", POST("/echo", CHUNKED) "1;a\rb\r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"LF in an extension", POST("/echo", CHUNKED) "1;a\nb\r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"NUL in an extension", POST("/echo", CHUNKED) "1;a\1b\r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"blank before the size", POST("/echo", CHUNKED) " 1\r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"blank after the size", POST("/echo", CHUNKED) "1 \r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"signed size", POST("/echo", CHUNKED) "+1\r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"0x size", POST("/echo", CHUNKED) "0x1\r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"size over 64 bits", POST("/echo", CHUNKED) "10000000000000001\r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"no size", POST("/echo", CHUNKED) "\r\na\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"data too long", POST("/echo", CHUNKED) "1\r\nab\r\n0\r\n\r\n", "200.", SMUGGLING},
		{"data ended by LF", POST("/echo", CHUNKED) "1\r\na\n0\r\n\r\n", "200.", SMUGGLING},
		{"data ended by CR and other", POST("/echo", CHUNKED) "1\r\na\rb0\r\n\r\n", "200.", SMUGGLING},
		{"trailer ended by LF", POST("/echo", CHUNKED) "0\r\nA: b\n\r\n", "200.", SMUGGLING},
		{"folded trailer", POST("/echo", CHUNKED) "0\r\nA: b\r\n c\r\n\r\n", "200.", SMUGGLING},
		{"trailer without colon", POST("/echo", CHUNKED) "0\r\nab\r\n\r\n", "200.", SMUGGLING},
		{"after the response of a file", POST("/ten.txt", CHUNKED) "x\r\n" REQ("/none"), "405.", SMUGGLING},
	};

	CHECK(rows);
}
// clang-format on

/* @fill copies of 'a' between @before and @after. */
static char *long_input(const char *before, size_t fill, const char *after)
{
	char *text = malloc(strlen(before) + fill + strlen(after) + 1);

	strcpy(text, before);
	memset(text + strlen(before), 'a', fill);
	strcpy(text + strlen(before) + fill, after);
	return text;
}

static void check_long(const char *name, const char *before, size_t fill, const char *after, const char *want,
		       bool too_big)
{
	char *in = long_input(before, fill, after);
	struct row row = {.name = name, .in = in, .want = want, .refusals = {.header_too_big = too_big}};

	check_rows(&row, 1);
	free(in);
}

static void heads_are_bounded(void **state)
{
	const size_t around = strlen(GET("/ten.txt") "A: \r\n\r\n");

	check_long("endless request line", "GET /", 1100, "", "414.", true);
	check_long("endless header", GET("/"), 1100, "", "431.", true);
	check_long("biggest block", GET("/ten.txt") "A: ", 1024 - around, "\r\n\r\n", "200", false);
	check_long("one byte more", GET("/ten.txt") "A: ", 1025 - around, "\r\n\r\n", "431.", true);
	check_long("endless trailer", POST("/echo", CHUNKED) "0\r\nA: ", 1100, "", "200.", true);
	check_long("long path", "GET /", 900, " HTTP/1.1\r\nHost: h\r\n\r\n", "404", false);
}

static void chunk_lines_are_bounded(void **state)
{
	char *first = long_input(POST("/echo", CHUNKED) "1;", 300, "");
	char *later = long_input(POST("/echo", CHUNKED) "1\r\na\r\n1;", 300, "");
	struct row rows[] = {
		{.name = "endless extension", .in = first, .want = "400.", BAD},
		{.name = "endless extension of a later chunk", .in = later, .want = "200.", BAD},
	};

	CHECK(rows);
	free(first);
	free(later);
}

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

/* Said with the section of RFC 9110 (semantics) or RFC 9112 (HTTP/1.1). */
static void what_the_rfcs_allow_is_taken(void **state)
{
	// clang-format off
	static const struct row rows[] = {
		{"9110, 2.5: version 1.2 is served as 1.1", "GET /ten.txt HTTP/1.2\r\nHost: h\r\n\r\n" REQ("/none"), "200 404"},
		{"9110, 2.5: version 1.9", "GET /ten.txt HTTP/1.9\r\nHost: h\r\nConnection: close\r\n\r\n", "200."},
		{"9110, 2.5: 1.2 with a body", "POST /echo HTTP/1.2\r\nHost: h\r\n" CHUNKED "\r\n2\r\nab\r\n0\r\n\r\n" REQ("/none"), "200 404", "ab"},
		{"9110, 5.6.3: HTAB behind close", GET("/ten.txt") "Connection: close\t\r\n\r\n", "200."},
		{"9110, 5.6.3: HTAB around close", GET("/ten.txt") "Connection:\t close \t\r\n\r\n", "200."},
		{"9110, 5.6.3: HTAB behind keep-alive", "GET /ten.txt HTTP/1.0\r\nConnection: keep-alive\t\r\n\r\n" REQ("/none"), "200 404"},
		{"9110, 5.6.3: HTAB behind a length", POST("/echo", "Content-Length: 5\t\r\n") "hello" REQ("/none"), "200 404", "hello"},
		{"9110, 5.6.3: HTAB behind a coding", POST("/echo", "Transfer-Encoding: chunked\t\r\n") "5\r\nhello\r\n0\r\n\r\n" REQ("/none"), "200 404", "hello"},
		{"9110, 5.6.3: HTAB behind an expectation", POST("/echo", "Expect: 100-continue\t\r\nContent-Length: 2\r\n") "ab", "100 200"},
		{"9110, 5.6.3: HTAB behind a range", GET("/ten.txt") "Range: bytes=1-2\t\r\n\r\n", "206"},
		{"an HTAB inside a length", POST("/echo", "Content-Length: 5\t6\r\n") "hello", "400.", SMUGGLING},
		{"an HTAB inside a coding", POST("/echo", "Transfer-Encoding: chu\tnked\r\n") "0\r\n\r\n", "400.", SMUGGLING},
		{"an HTAB behind a name", GET("/") "A\t: b\r\n\r\n", "400.", BAD},
		{"an HTAB behind the name of a length", POST("/echo", "Content-Length\t: 5\r\n") "hello", "400.", BAD},
		{"9112, 7.1.1: two extensions", POST("/echo", CHUNKED) "5;a=b;c=d\r\nhello\r\n0\r\n\r\n" REQ("/none"), "200 404", "hello"},
		{"9112, 7.1.1: a blank in an extension", POST("/echo", CHUNKED) "5; a\r\nhello\r\n0\r\n\r\n" REQ("/none"), "200 404", "hello"},
		{"9112, 7.1.1: a quoted extension", POST("/echo", CHUNKED) "5;a=\"b;\\\"c\"\r\nhello\r\n0\r\n\r\n" REQ("/none"), "200 404", "hello"},
		{"9112, 7.1.1: blanks around", POST("/echo", CHUNKED) "5 \t;\ta = b\r\nhello\r\n0;z\r\n\r\n" REQ("/none"), "200 404", "hello"},
		{"a blank and no extension", POST("/echo", CHUNKED) "5 \r\nhello\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"an extension and no size", POST("/echo", CHUNKED) ";a\r\n0\r\n\r\n", "400.", SMUGGLING},
		{"a word behind the size", POST("/echo", CHUNKED) "5 a\r\nhello\r\n0\r\n\r\n", "400.", SMUGGLING},
	};
	// clang-format on

	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
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
	call_again(session, &out, row->err);
	output_take(&output, &out);
	statuses_of(&output, statuses, sizeof(statuses));
	if (strcmp(statuses, row->want) || !strstr(output.text, row->has))
		fail_msg("%s %s: want %s and %s, have %s:\n%s", row->fields, row->text ? row->text : "(gone)",
			 row->want, row->has, statuses, output.text);
	/* The connection's end is the second request's. */
	assert_null(strstr(strstr(output.text, "Connection: close") + 1, "Connection: close"));
	assert_non_null(strstr(output.text, "Connection: close\r\n\r\n0123456789"));
	assert_int_equal(run.counters.v[COUNT_responses_2xx] + run.counters.v[COUNT_responses_4xx] +
				 run.counters.v[COUNT_responses_5xx],
			 2);
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

static int setup(void **state)
{
	tree_create(&tree);
	return 0;
}

static int teardown(void **state)
{
	tree_destroy(&tree);
	outq_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smuggling_shapes_are_refused_and_counted),
		cmocka_unit_test(malformed_heads_are_refused),
		cmocka_unit_test(paths_stay_beneath_the_root),
		cmocka_unit_test(files_and_directories_are_served),
		cmocka_unit_test(methods_are_allowed_or_named),
		cmocka_unit_test(connections_persist_as_agreed),
		cmocka_unit_test(ranges_follow_rfc_9110),
		cmocka_unit_test(conditions_by_date_follow_rfc_9110),
		cmocka_unit_test(bodies_are_echoed),
		cmocka_unit_test(chunked_framing_is_strict),
		cmocka_unit_test(heads_are_bounded),
		cmocka_unit_test(chunk_lines_are_bounded),
		cmocka_unit_test(what_the_rfcs_allow_is_taken),
		cmocka_unit_test(lines_of_one_list_are_bounded),
		cmocka_unit_test(etags_compare_as_rfc_9110_wants),
		cmocka_unit_test(a_file_that_changed_before_its_response_gets_another),
		cmocka_unit_test(a_file_that_changes_without_end_is_given_up),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
