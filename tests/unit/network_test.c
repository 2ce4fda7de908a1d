/* SPDX-License-Identifier: MIT */
/* Networks as users write them, and what is in them. */
#include "base/network.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_none_is_named(void **state)
{
	static const char *const bad[] = {
		"",
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/8/8",
		"10.0.0",
		"10.0.0.0 ",
		"::/129",
		"::1%lo",
		"[::1]",
		"localhost",
		"unix/8",
		"UNIX",
		"10.0.0.0:80",
		"010.0.0.1",
		"any",
		"2001:db8:0000:0000:0000:0000:0000:0000:0000:0000:0000/32",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char why[OPT_WHY_LEN] = "";

		assert_int_equal(network_check(bad[i], why), -EINVAL);
		assert_non_null(strstr(why, bad[i]));
		assert_non_null(strstr(why, "10.0.0.0/8"));
	}
}

static union addr address(const char *text)
{
	union addr addr = {.sa.sa_family = AF_UNIX};
	char why[ADDR_WHY_LEN];

	if (strcmp(text, "unix") != 0 && addr_resolve(text, false, &addr, why))
		fail_msg("%s", why);
	return addr;
}

static void an_address_is_in_its_network(void **state)
{
	static const struct {
		const char *network, *addr;
		bool is_in;
	} rows[] = {
		{"10.0.0.0/8", "10.255.255.255:1", true},
		{"10.0.0.0/8", "11.0.0.0:1", false},
		{"10.1.2.3/8", "10.9.9.9:1", true}, /* the rest is ignored */
		{"192.0.2.1", "192.0.2.1:1", true},
		{"192.0.2.1", "192.0.2.0:1", false},
		{"192.0.2.0/31", "192.0.2.1:1", true},
		{"192.0.2.0/31", "192.0.2.2:1", false},
		{"192.0.2.128/25", "192.0.2.129:1", true},
		{"192.0.2.128/25", "192.0.2.127:1", false},
		{"0.0.0.0/0", "203.0.113.9:1", true},
		{"0.0.0.0/0", "[::1]:1", false},
		{"0.0.0.0/0", "[::ffff:203.0.113.9]:1", true}, /* an IPv4 address */
		{"10.0.0.0/8", "[::ffff:10.1.2.3]:1", true},
		{"::/0", "[::ffff:10.1.2.3]:1", false},
		{"::/0", "[2001:db8::1]:1", true},
		{"::/0", "127.0.0.1:1", false},
		{"2001:db8::/33", "[2001:db8:7fff::1]:1", true},
		{"2001:db8::/33", "[2001:db8:8000::1]:1", false},
		{"::1", "[::1]:1", true},
		{"::1", "[::2]:1", false},
		{"unix", "unix", true},
		{"unix", "127.0.0.1:1", false},
		{"0.0.0.0/0", "unix", false},
		{"::/0", "unix", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *items[] = {(char *)"203.0.113.1", (char *)(uintptr_t)rows[i].network};
		const struct opt_list texts = {items, 2};
		union addr addr = address(rows[i].addr);
		struct networks networks;
		char why[OPT_WHY_LEN];

		assert_int_equal(network_check(rows[i].network, why), 0);
		assert_int_equal(networks_parse(&networks, &texts), 0);
		if (networks_have(&networks, &addr) != rows[i].is_in)
			fail_msg("%s in %s", rows[i].addr, rows[i].network);
		networks_free(&networks);
		assert_false(networks_have(&networks, &addr));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_none_is_named),
		cmocka_unit_test(an_address_is_in_its_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
