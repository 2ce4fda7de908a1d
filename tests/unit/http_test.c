/* SPDX-License-Identifier: MIT */
/* Requests and their bodies: what is taken, what is refused, with which status, and how it is counted. */
#include "http_rows.h"

/* Of the two that frame a body; each version of llhttp refuses it at another place. */
#define BOTH "Content-Length and Transfer-Encoding"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smuggling_shapes_are_refused_and_counted),
		cmocka_unit_test(malformed_heads_are_refused),
		cmocka_unit_test(paths_stay_beneath_the_root),
		cmocka_unit_test(methods_are_allowed_or_named),
		cmocka_unit_test(connections_persist_as_agreed),
		cmocka_unit_test(bodies_are_echoed),
		cmocka_unit_test(chunked_framing_is_strict),
		cmocka_unit_test(heads_are_bounded),
		cmocka_unit_test(chunk_lines_are_bounded),
		cmocka_unit_test(what_the_rfcs_allow_is_taken),
	};

	return cmocka_run_group_tests(tests, rows_setup, rows_teardown);
}
