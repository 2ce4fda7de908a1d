/* SPDX-License-Identifier: MIT */
/* addr: what is split, what is refused, and that text comes back as it went in. */
#include "base/addr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
	const char *in, *host;
	unsigned int port;
	int err;
} splits[] = {
	{"127.0.0.1:80", "127.0.0.1", 80, 0},
	{"localhost:0", "localhost", 0, 0},
	{"example.org:65535", "example.org", 65535, 0},
	{":7", "", 7, 0},
	{"[::1]:443", "::1", 443, 0},
	{"[fe80::1%lo]:1", "fe80::1%lo", 1, 0},
	{"", NULL, 0, -EINVAL},
	{"localhost", NULL, 0, -EINVAL},
	{"localhost:", NULL, 0, -EINVAL},
	{"localhost:http", NULL, 0, -EINVAL},
	{"localhost:65536", NULL, 0, -EINVAL},
	{"localhost:99999999999999999999", NULL, 0, -EINVAL},
	{"localhost:-1", NULL, 0, -EINVAL},
	{"localhost:+1", NULL, 0, -EINVAL},
	{"localhost: 1", NULL, 0, -EINVAL},
	{"localhost:1 ", NULL, 0, -EINVAL},
	{"local host:1", NULL, 0, -EINVAL},
	{"http://localhost:1", NULL, 0, -EINVAL},
	{"a/b:1", NULL, 0, -EINVAL},
	{"::1:80", NULL, 0, -EINVAL},
	{"[::1]", NULL, 0, -EINVAL},
	{"[::1]80", NULL, 0, -EINVAL},
	{"[::1:80", NULL, 0, -EINVAL},
	{"[]:80", NULL, 0, -EINVAL},
	{"a-name-that-is-longer-than-its-place:80", NULL, 0, -EINVAL},
};

static void splits_or_refuses(void **unused)
{
	for (size_t i = 0; i < COUNT(splits); i++) {
		unsigned int port = 4711;
		char host[24];

		print_message("    %s\n", splits[i].in);
		assert_int_equal(addr_split(splits[i].in, host, sizeof(host), &port), splits[i].err);
		if (splits[i].err)
			continue;
		assert_string_equal(host, splits[i].host);
		assert_int_equal(port, splits[i].port);
	}
}

static void numeric_text_comes_back(void **unused)
{
	static const char *const texts[] = {
		"127.0.0.1:80",
		"255.255.255.255:65535",
		"[::1]:443",
		"[::]:0",
		"[2001:db8:1234:5678:9abc:def0:1111:2222]:65535",
	};
	char why[ADDR_WHY_LEN], text[ADDR_TEXT_LEN];
	union addr addr;

	for (size_t i = 0; i < COUNT(texts); i++) {
		assert_int_equal(addr_resolve(texts[i], true, &addr, why), 0);
		assert_string_equal(addr_text(&addr, text), texts[i]);
		assert_int_equal(addr_len(&addr),
				 *texts[i] == '[' ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	}
}

static void no_host_is_any_address_to_listen_and_loopback_to_connect(void **unused)
{
	char why[ADDR_WHY_LEN], text[ADDR_TEXT_LEN];
	union addr addr, all[4];
	int n;

	assert_int_equal(addr_resolve(":80", true, &addr, why), 0);
	addr_text(&addr, text);
	assert_true(!strcmp(text, "0.0.0.0:80") || !strcmp(text, "[::]:80"));
	n = addr_resolve_all(":80", false, all, COUNT(all), why);
	assert_in_range(n, 1, COUNT(all));
	for (int i = 0; i < n; i++) {
		addr_text(&all[i], text);
		assert_true(!strcmp(text, "127.0.0.1:80") || !strcmp(text, "[::1]:80"));
	}
}

static void refusal_names_the_text_and_the_remedy(void **unused)
{
	char why[ADDR_WHY_LEN] = "";
	union addr addr;

	assert_int_equal(addr_resolve("nonsense", false, &addr, why), -EINVAL);
	assert_non_null(strstr(why, "nonsense"));
	assert_non_null(strstr(why, "HOST:PORT"));
	assert_true(addr_resolve("no-such-host.invalid:1", false, &addr, why) < 0);
	assert_non_null(strstr(why, "no-such-host.invalid"));
}

static void monstrous_text_stays_in_its_buffers(void **unused)
{
	char text[5000], why[ADDR_WHY_LEN];
	union addr addr;

	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 4, ":80", 4);
	assert_int_equal(addr_resolve(text, false, &addr, why), -EINVAL);
	assert_true(strlen(why) < sizeof(why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_or_refuses),
		cmocka_unit_test(numeric_text_comes_back),
		cmocka_unit_test(no_host_is_any_address_to_listen_and_loopback_to_connect),
		cmocka_unit_test(refusal_names_the_text_and_the_remedy),
		cmocka_unit_test(monstrous_text_stays_in_its_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
