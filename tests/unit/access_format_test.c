/* SPDX-License-Identifier: MIT */
/* What each form makes of a response and of a connection; and which forms are refused, and why. */
#include "base/addr.h"
#include "server/access_format.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(text)                                                                                           \
	{                                                                                                    \
		text, sizeof(text) - 1                                                                       \
	}

static char line[ACCESS_LINE_MAX + 1], why[ACCESS_WHY_LEN];
static union addr client;
static struct access_clock noon; /* of a day in 2026, in a zone two hours east */

static const struct access_entry response = {
	.client = &client,
	.listener = "127.0.0.1:80",
	.service = "http",
	.line = TEXT("GET /a/b?c=d HTTP/1.1"),
	.method = TEXT("GET"),
	.target = TEXT("/a/b?c=d"),
	.protocol = TEXT("HTTP/1.1"),
	.host = TEXT("example.org"),
	.agent = TEXT("curl/8 \"x\""),
	.status = 200,
	.body = 1000,
	.sent = 1234,
	.received = 99,
	.took_us = 1002003,
};

static const struct access_entry connection = {
	.client = &client,
	.listener = "0.0.0.0:443",
	.service = "proxy",
	.backend = TEXT("10.0.0.2:8443"),
	.reason = "idle",
	.version = "TLSv1.3",
	.cipher = "TLS_AES_128_GCM_SHA256",
	.server_name = "www.example.org",
	.alpn = "",
	.client_name = "alice",
	.sent = 5,
	.received = 7,
	.took_us = 42,
};

static int open_clock(void **state)
{
	client.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(40000)};
	inet_pton(AF_INET, "192.0.2.1", &client.v4.sin_addr);
	noon.now = (struct timespec){1782640800, 7000000};
	strcpy(noon.common, "[28/Jun/2026:12:00:00 +0200]");
	strcpy(noon.iso, "2026-06-28T10:00:00");
	return 0;
}

static const char *written(const char *form, const struct access_entry *entry)
{
	struct access_format *format;
	size_t len;

	why[0] = '\0';
	if (access_format_create(&format, form, why))
		fail_msg("%s: %s", form, why);
	len = access_format_write(format, entry, &noon, line);
	access_format_destroy(format);
	assert_in_range(len, 1, ACCESS_LINE_MAX);
	assert_ptr_equal(memchr(line, '\n', len), line + len - 1);
	line[len - 1] = '\0';
	return line;
}

static void responses_are_in_the_known_forms(void **state)
{
	assert_string_equal(written("common", &response),
			    "192.0.2.1 - - [28/Jun/2026:12:00:00 +0200] \"GET /a/b?c=d HTTP/1.1\" 200 1000");
	assert_string_equal(
		written("combined", &response),
		"192.0.2.1 - - [28/Jun/2026:12:00:00 +0200] \"GET /a/b?c=d HTTP/1.1\" 200 1000 \"-\" "
		"\"curl/8 \\\"x\\\"\"");
	assert_string_equal(
		written("json", &response),
		"{\"time\":\"2026-06-28T10:00:00.007Z\",\"client\":\"192.0.2.1\",\"port\":40000,"
		"\"listener\":\"127.0.0.1:80\",\"service\":\"http\",\"method\":\"GET\",\"target\":\"/a/"
		"b?c=d\","
		"\"protocol\":\"HTTP/1.1\",\"host\":\"example.org\",\"referer\":null,"
		"\"user_agent\":\"curl/8 \\\"x\\\"\",\"status\":200,\"body\":1000,\"complete\":true,"
		"\"received\":99,\"sent\":1234,\"duration\":1.002003}");
}

static void connections_are_too(void **state)
{
	assert_string_equal(written("common", &connection),
			    "192.0.2.1 - alice [28/Jun/2026:12:00:00 +0200] \"proxy 10.0.0.2:8443\" - 5");
	assert_string_equal(
		written("json", &connection),
		"{\"time\":\"2026-06-28T10:00:00.007Z\",\"client\":\"192.0.2.1\",\"port\":40000,"
		"\"listener\":\"0.0.0.0:443\",\"service\":\"proxy\",\"backend\":\"10.0.0.2:8443\","
		"\"reason\":\"idle\",\"received\":7,\"sent\":5,\"duration\":0.000042,\"tls\":\"TLSv1.3\","
		"\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"server_name\":\"www.example.org\",\"alpn\":null,"
		"\"client_name\":\"alice\",\"resumed\":false}");
}

static void each_sequence_says_its_own(void **state)
{
	static const struct {
		const char *form, *of_response, *of_connection;
	} rows[] = {
		{"%h %a %{remote}p %l %u", "192.0.2.1 192.0.2.1 40000 - -",
		 "192.0.2.1 192.0.2.1 40000 - alice"},
		{"%t|%{iso}t|%{sec}t|%{msec}t",
		 "[28/Jun/2026:12:00:00 +0200]|2026-06-28T10:00:00.007Z|1782640800|1782640800007", NULL},
		{"%m %U%q %H", "GET /a/b?c=d HTTP/1.1", "- - -"},
		{"%s %>s", "200 200", "- -"},
		{"%b %B %O %I", "1000 1000 1234 99", "5 5 5 7"},
		{"%T %{ms}T %{us}T %D", "1 1002 1002003 1002003", "0 0 42 42"},
		{"%X", "+", "+"},
		{"%{Host}i %{referer}i %{USER-AGENT}i", "example.org - curl/8 \\\"x\\\"", "- - -"},
		{"%{ssl.protocol-version}x %{ssl.cipher}x %{ssl.server-name}x %{ssl.alpn}x "
		 "%{ssl.session-reused}x",
		 "- - - - 0", "TLSv1.3 TLS_AES_128_GCM_SHA256 www.example.org - 0"},
		{"%{listener}x %{service}x %{backend}x %{reason}x", "127.0.0.1:80 http - -",
		 "0.0.0.0:443 proxy 10.0.0.2:8443 idle"},
		{"100%%\t%h", "100%\t192.0.2.1", "100%\t192.0.2.1"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(written(rows[i].form, &response), rows[i].of_response);
		if (rows[i].of_connection)
			assert_string_equal(written(rows[i].form, &connection), rows[i].of_connection);
	}
}

static void what_is_not_there_is_not_made_up(void **state)
{
	struct access_entry nothing = {.client = &(union addr){.sa.sa_family = AF_UNIX},
				       .listener = "unix:/x",
				       .service = "http",
				       .is_cut = true};

	assert_string_equal(written("%h %{remote}p \"%r\" %s %b %X|%q", &nothing), "unix - \"-\" - - X|");
	assert_non_null(
		strstr(written("json", &nothing),
		       "\"client\":\"unix\",\"listener\":\"unix:/x\",\"service\":\"http\",\"line\":null,"
		       "\"method\":null,\"target\":null,"));
	assert_non_null(strstr(line, "\"status\":null,\"body\":0,\"complete\":false,"));
}

static void a_malformed_line_is_told_as_it_is(void **state)
{
	struct access_entry bad = response;
	static const char text[] = "GET \x1b[2J\"}\n{\"a\":\"\xff HTTP/1.1";

	bad.line = (struct access_text)TEXT(text);
	bad.method = bad.target = bad.protocol = (struct access_text){0};
	assert_string_equal(written("%r %m", &bad), "GET \\x1b[2J\\\"}\\x0a{\\\"a\\\":\\\"\\xff HTTP/1.1 -");
	assert_non_null(strstr(written("json", &bad),
			       "\"line\":\"GET \\u001b[2J\\\"}\\u000a{\\\"a\\\":\\\"\xef\xbf\xbd "
			       "HTTP/1.1\",\"method\":null,"));
}

/* The worst that there can be in JSON still ends as it has to. */
static void long_texts_are_cut(void **state)
{
	static char quotes[3 * ACCESS_TEXT_MAX], name[256];
	static const char end[] = "\\u0001\",\"resumed\":false}";
	struct access_entry entry = connection;
	struct access_text all = {quotes, sizeof(quotes)};

	memset(quotes, '\1', sizeof(quotes));
	memset(name, '\1', sizeof(name) - 1);
	entry.reason = NULL;
	entry.line = entry.target = entry.host = entry.referer = entry.agent = all;
	entry.method = entry.protocol = (struct access_text)TEXT("\1\1\1\1\1\1\1");
	entry.server_name = entry.client_name = entry.cipher = entry.alpn = name;
	written("json", &entry);
	assert_string_equal(line + strlen(line) - strlen(end), end);
	assert_non_null(strstr(line, "\\u0001...\",\"protocol\""));
	written("%U", &entry);
	assert_int_equal(strlen(line), ACCESS_TEXT_MAX * 4 + 3);
	/* An own form may say it again and again: what is too much is left out. */
	written("%U %r %U %r %U %r %U %r %U %r %U %r %U %r", &entry);
	assert_in_range(strlen(line), ACCESS_LINE_MAX - 8, ACCESS_LINE_MAX - 1);
}

static void what_is_wrong_with_a_form_is_said(void **state)
{
	static const struct {
		const char *form, *want;
	} rows[] = {
		{"", "is empty"},
		{"commmon", "neither common, combined nor json"},
		{"%h\n", "control character"},
		{"%h %Z", "unknown sequence '%Z'; use common, combined, json, or text with %h "},
		{"%{Cookie}i", "'%{Cookie}i'"},
		{"%{Host}", "'%{Host}'"},
		{"%{Host", "'%{'"},
		{"%h %", "'%'"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why[0] = '\0';
		assert_int_equal(access_format_check(rows[i].form, why), -EINVAL);
		if (!strstr(why, rows[i].want))
			fail_msg("'%s': '%s' has no '%s'", rows[i].form, why, rows[i].want);
	}
	assert_int_equal(access_format_check("json", why), 0);
}

static void a_clock_knows_the_time(void **state)
{
	struct access_clock clock = {0};
	struct tm tm = {0};
	time_t before = time(NULL);

	access_clock_read(&clock);
	assert_non_null(strptime(clock.iso, "%Y-%m-%dT%H:%M:%S", &tm));
	assert_in_range(timegm(&tm), before - 1, before + 60);
	assert_int_equal(strlen(clock.common), strlen("[28/Jun/2026:12:00:00 +0200]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses_are_in_the_known_forms),
		cmocka_unit_test(connections_are_too),
		cmocka_unit_test(each_sequence_says_its_own),
		cmocka_unit_test(what_is_not_there_is_not_made_up),
		cmocka_unit_test(a_malformed_line_is_told_as_it_is),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(what_is_wrong_with_a_form_is_said),
		cmocka_unit_test(a_clock_knows_the_time),
	};

	return cmocka_run_group_tests(tests, open_clock, NULL);
}
