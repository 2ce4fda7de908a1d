/* SPDX-License-Identifier: MIT */
/* What --listen takes, as a table of {in, want}, and that sockets come from it. */
#include "server/http/options.h"
#include "server/listener.h"
#include "server/sockets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static const struct {
	const char *in, *where, *service, *root, *cert, *key;
	bool tls, handed_over;
} good[] = {
	{"127.0.0.1:8080", "127.0.0.1:8080", "echo", NULL, NULL, NULL, false, false},
	{":80,service=http", ":80", "http", NULL, NULL, NULL, false, false},
	{"[::1]:0,service=discard", "[::1]:0", "discard", NULL, NULL, NULL, false, false},
	{"localhost:7,service=echo,tls", "localhost:7", "echo", NULL, NULL, NULL, true, false},
	{"*:443,service=http,root=/srv/a=b,tls", "*:443", "http", "/srv/a=b", NULL, NULL, true, false},
	{"127.0.0.1:1,tls,cert=/c,key=/k", "127.0.0.1:1", "echo", NULL, "/c", "/k", true, false},
	{"127.0.0.1:1,key=/k,cert=/c,tls", "127.0.0.1:1", "echo", NULL, "/c", "/k", true, false},
	{"fd:web,service=http", "fd:web", "http", NULL, NULL, NULL, false, true},
	/* The last one counts. */
	{"127.0.0.1:1,service=http,service=echo", "127.0.0.1:1", "echo", NULL, NULL, NULL, false, false},
};

static void assert_text(const char *got, const char *want)
{
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void what_is_right_is_taken_apart(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char why[LISTENER_WHY_LEN];
		struct listener l;

		assert_int_equal(listener_check(good[i].in, why), 0);
		assert_int_equal(listener_parse(&l, good[i].in, why), 0);
		assert_string_equal(l.where, good[i].where);
		assert_string_equal(l.service->name, good[i].service);
		assert_text(l.words ? ((struct http_words *)l.words)->root : NULL, good[i].root);
		assert_text(l.cert, good[i].cert);
		assert_text(l.key, good[i].key);
		assert_int_equal(l.tls, good[i].tls);
		assert_int_equal(sockets_is_handed_over(l.where), good[i].handed_over);
		listener_close(&l);
	}
}

static const struct {
	const char *in, *says;
} bad[] = {
	{"", "is not an address"},
	{"127.0.0.1", "127.0.0.1"},
	{"127.0.0.1:http", "127.0.0.1:http"},
	{"127.0.0.1:65536", "127.0.0.1:65536"},
	{"127.0.0.1:-1", "127.0.0.1:-1"},
	{"::1:80", "::1:80"},
	{"127.0.0.1:1,", "unknown field ''"},
	{"127.0.0.1:1,service", "'service'"},
	{"127.0.0.1:1,service=", "'service='"},
	{"127.0.0.1:1,service=gopher", "unknown service 'gopher'; use one of echo, discard, http"},
	{"127.0.0.1:1,colour=red", "'colour'"},
	{"127.0.0.1:1,root=", "'root='"},
	{"127.0.0.1:1,root=/srv", "unknown field 'root'"},
	{"127.0.0.1:1,service=http,cgi=/bin", ",root=DIR"},
	{"127.0.0.1:1,TLS", "'TLS'"},
	{"127.0.0.1:1,tls=yes", "'tls'"},
	{"127.0.0.1:1,cert=/c", "require tls"},
	{"127.0.0.1:1,key=/k", "require tls"},
};

static void what_is_wrong_is_named(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char why[LISTENER_WHY_LEN] = "";
		struct listener l;

		assert_int_equal(listener_check(bad[i].in, why), -EINVAL);
		assert_int_equal(listener_parse(&l, bad[i].in, why), -EINVAL);
		if (!strstr(why, bad[i].says))
			fail_msg("'%s': '%s' does not say '%s'", bad[i].in, why, bad[i].says);
		assert_null(strchr(why, '\n'));
	}
}

static void long_words_fit_into_the_complaint(void **state)
{
	char text[4096], why[LISTENER_WHY_LEN];
	static const char *const fronts[] = {"", "127.0.0.1:1,", "127.0.0.1:1,service="};

	for (size_t i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
		memset(text, 'a', sizeof(text));
		memcpy(text, fronts[i], strlen(fronts[i]));
		text[sizeof(text) - 1] = '\0';
		assert_int_equal(listener_check(text, why), -EINVAL);
		assert_true(strlen(why) < LISTENER_WHY_LEN);
	}
}

static struct sockets *open_at(const char *where, unsigned int n)
{
	char why[SOCKETS_WHY_LEN];
	struct sockets *sockets;

	if (sockets_open(&sockets, where, n, 16, why))
		fail_msg("%s", why);
	return sockets;
}

static void workers_share_one_port(void **state)
{
	struct sockets *sockets = open_at("127.0.0.1:0", 3);

	assert_int_equal(sockets->n, 3);
	assert_int_not_equal(addr_port(&sockets->addr), 0);
	for (unsigned int i = 0; i < 3; i++) {
		union addr addr;
		socklen_t len = sizeof(addr);

		assert_int_equal(getsockname(sockets->fds[i], &addr.sa, &len), 0);
		assert_true(addr_equal(&addr, &sockets->addr));
	}
	sockets_close_one(sockets, 1);
	assert_int_equal(sockets->fds[1], -1);
	sockets_put(sockets);
}

static void sockets_are_known_by_their_place(void **state)
{
	struct sockets *sockets = open_at("127.0.0.1:0", 1);
	char text[ADDR_TEXT_LEN], why[ADDR_WHY_LEN];
	static const struct {
		const char *where;
		bool want;
	} table[] = {
		{"127.0.0.1:0", true},	{"127.1:0", true},  {"127.0.0.2:0", false},
		{"127.0.0.1:1", false}, {"[::1]:0", false}, {":0", false},
	};
	union addr wanted;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(addr_resolve(table[i].where, true, &wanted, why), 0);
		assert_int_equal(sockets_are_at(sockets, table[i].where, &wanted), table[i].want);
	}
	assert_false(sockets_are_at(sockets, "fd:web", &wanted));
	addr_text(&sockets->addr, text);
	assert_int_equal(addr_resolve(text, true, &wanted, why), 0);
	assert_true(sockets_are_at(sockets, text, &wanted));
	sockets_put(sockets);
}

static void a_socket_that_nobody_handed_over_is_an_error(void **state)
{
	char why[SOCKETS_WHY_LEN];
	struct sockets *sockets;

	assert_int_equal(sockets_open(&sockets, "fd:web", 1, 16, why), -ENOENT);
	assert_non_null(strstr(why, "FileDescriptorName="));
}

static void a_root_must_be_a_directory(void **state)
{
	static const struct {
		const char *in;
		int want;
	} roots[] = {
		{"127.0.0.1:0,service=http,root=/", 0},
		{"127.0.0.1:0,service=http,root=/does/not/exist", -ENOENT},
		{"127.0.0.1:0,service=http,root=/etc/passwd", -ENOTDIR},
	};

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		char why[LISTENER_WHY_LEN];
		struct listener l;

		assert_int_equal(listener_parse(&l, roots[i].in, why), 0);
		assert_int_equal(listener_verify(&l, why), roots[i].want);
		listener_close(&l);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_right_is_taken_apart),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(long_words_fit_into_the_complaint),
		cmocka_unit_test(workers_share_one_port),
		cmocka_unit_test(sockets_are_known_by_their_place),
		cmocka_unit_test(a_socket_that_nobody_handed_over_is_an_error),
		cmocka_unit_test(a_root_must_be_a_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
