/* SPDX-License-Identifier: MIT */
/* url: what a URL is split into, and what is refused and why. */
#include "base/url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

// clang-format off
static const struct {
	const char *in;
	bool is_tls;
	const char *host, *authority, *hostport, *path;
} splits[] = {
	{"http://h", false, "h", "h", "h:80", "/"},
	{"https://h/", true, "h", "h", "h:443", "/"},
	{"HTTPS://Example.org/A", true, "Example.org", "Example.org", "Example.org:443", "/A"},
	{"http://h:1/a/b", false, "h", "h:1", "h:1", "/a/b"},
	{"http://h:80/", false, "h", "h", "h:80", "/"},
	{"https://h:80/", true, "h", "h:80", "h:80", "/"},
	{"https://h:443/", true, "h", "h", "h:443", "/"},
	{"http://h:/", false, "h", "h", "h:80", "/"},
	{"http://[::1]", false, "::1", "[::1]", "[::1]:80", "/"},
	{"http://[::1]:8080/x", false, "::1", "[::1]:8080", "[::1]:8080", "/x"},
	{"https://[::1]:", true, "::1", "[::1]", "[::1]:443", "/"},
	{"http://h/a?b=c/d", false, "h", "h", "h:80", "/a?b=c/d"},
	{"http://h:1?x", false, "h", "h:1", "h:1", "/?x"},
	{"http://h:1#f", false, "h", "h:1", "h:1", "/"},
	{"http://h:1?x#f", false, "h", "h:1", "h:1", "/?x"},
	{"http://h/a#f?x", false, "h", "h", "h:80", "/a"},
	{"http://h/a@b:c", false, "h", "h", "h:80", "/a@b:c"},
	{"http://h/%20", false, "h", "h", "h:80", "/%20"},
};

#define SCHEME "it must begin with http:// or https://"
#define BLANKS "it contains blanks or control characters; percent-encode them (%20)"
#define USER   "user names and passwords are not supported"
#define HOST   "its host or port is malformed"

static const struct {
	const char *in, *why;
} refusals[] = {
	{"", SCHEME},
	{"h:80", SCHEME},
	{"http:/h", SCHEME},
	{"ftp://h/", SCHEME},
	{" http://h/", SCHEME},
	{"http://h/a b", BLANKS},
	{"http://h/a\tb", BLANKS},
	{"http://h/a\r\nX: y", BLANKS},
	{"http://h/\x7f", BLANKS},
	{"http://h/\x01", BLANKS},
	{"http://h/#a b", BLANKS},
	{"http://u@h/", USER},
	{"http://u:p@h/", USER},
	{"http://", HOST},
	{"http:///a", HOST},
	{"http://?x", HOST},
	{"http://:80/", HOST},
	{"http://h:x/", HOST},
	{"http://h:0/", HOST},
	{"http://h:65536/", HOST},
	{"http://h:1:/", HOST},
	{"http://::1/", HOST},
	{"http://[]/", HOST},
	{"http://[::1/", HOST},
	{"http://[::1]1/", HOST},
};
// clang-format on

static void urls_are_split(void **unused)
{
	struct url url;
	const char *why;

	for (size_t i = 0; i < COUNT(splits); i++) {
		print_message("    %s\n", splits[i].in);
		assert_true(url_has_scheme(splits[i].in));
		assert_int_equal(url_parse(splits[i].in, &url, &why), 0);
		assert_int_equal(url.is_tls, splits[i].is_tls);
		assert_string_equal(url.host, splits[i].host);
		assert_string_equal(url.authority, splits[i].authority);
		assert_string_equal(url.hostport, splits[i].hostport);
		assert_string_equal(url.path, splits[i].path);
	}
}

static void what_is_no_url_is_refused_with_the_reason(void **unused)
{
	struct url url;
	const char *why;

	for (size_t i = 0; i < COUNT(refusals); i++) {
		print_message("    %s\n", refusals[i].in);
		assert_int_equal(url_parse(refusals[i].in, &url, &why), -EINVAL);
		assert_string_equal(why, refusals[i].why);
		assert_int_equal(url_has_scheme(refusals[i].in), strcmp(refusals[i].why, SCHEME) != 0);
	}
}

/* @before, and as many 'a' as fill @len bytes; freed by the caller. */
static char *filled(const char *before, size_t len)
{
	char *text = malloc(len + 1);

	memset(text, 'a', len);
	memcpy(text, before, strlen(before));
	text[len] = '\0';
	return text;
}

static void check_len(const char *before, size_t len, const char *refusal)
{
	char *text = filled(before, strlen(before) + len);
	const char *why = NULL;
	struct url url;

	if (refusal) {
		assert_int_equal(url_parse(text, &url, &why), -EINVAL);
		assert_string_equal(why, refusal);
	} else {
		assert_int_equal(url_parse(text, &url, &why), 0);
	}
	free(text);
}

static void long_parts_are_whole_or_refused(void **unused)
{
	struct url url;

	check_len("http://", sizeof(url.host) - 1, NULL);
	check_len("http://", sizeof(url.host), HOST);
	check_len("http://", 1000, HOST);
	check_len("http://h/", URL_PATH_LEN - 2, NULL);
	check_len("http://h/", URL_PATH_LEN - 1, "it is too long");
	check_len("http://h?", URL_PATH_LEN - 3, NULL);
	check_len("http://h?", URL_PATH_LEN - 2, "it is too long");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_split),
		cmocka_unit_test(what_is_no_url_is_refused_with_the_reason),
		cmocka_unit_test(long_parts_are_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
