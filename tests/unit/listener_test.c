/* SPDX-License-Identifier: MIT */
/* What --listen and a block take, as tables of {in, want}, and that sockets come from it. */
#include "server/http/http.h"
#include "server/http/options.h"
#include "server/listener.h"
#include "server/services.h"
#include "server/settings.h"
#include "server/sockets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static const struct {
	const char *in, *where, *service, *root, *cert, *key;
	bool tls;
	enum sockets_kind kind;
} good[] = {
	{"127.0.0.1:8080", "127.0.0.1:8080", "echo", NULL, NULL, NULL, false, SOCKETS_ADDRESS},
	{":80,service=http", ":80", "http", NULL, NULL, NULL, false, SOCKETS_ADDRESS},
	{"[::1]:0,service=discard", "[::1]:0", "discard", NULL, NULL, NULL, false, SOCKETS_ADDRESS},
	{"localhost:7,service=echo,tls", "localhost:7", "echo", NULL, NULL, NULL, true, SOCKETS_ADDRESS},
	{"*:443,service=http,root=/srv/a=b,tls", "*:443", "http", "/srv/a=b", NULL, NULL, true,
	 SOCKETS_ADDRESS},
	{"127.0.0.1:1,tls,cert=/c,key=/k", "127.0.0.1:1", "echo", NULL, "/c", "/k", true, SOCKETS_ADDRESS},
	{"127.0.0.1:1,key=/k,cert=/c,tls", "127.0.0.1:1", "echo", NULL, "/c", "/k", true, SOCKETS_ADDRESS},
	{"fd:web,service=http", "fd:web", "http", NULL, NULL, NULL, false, SOCKETS_HANDED_OVER},
	{"unix:/run/a.sock,service=http", "unix:/run/a.sock", "http", NULL, NULL, NULL, false, SOCKETS_PATH},
	{"127.0.0.1:1,tls=no,service=http", "127.0.0.1:1", "http", NULL, NULL, NULL, false, SOCKETS_ADDRESS},
	{"127.0.0.1:1,tls=yes,idle-timeout=5m", "127.0.0.1:1", "echo", NULL, NULL, NULL, true,
	 SOCKETS_ADDRESS},
	{"127.0.0.1:1,accept-proxy=10.0.0.0/8,accept-proxy=unix,tls", "127.0.0.1:1", "echo", NULL, NULL, NULL,
	 true, SOCKETS_ADDRESS},
	/* The last one counts. */
	{"127.0.0.1:1,service=http,service=echo", "127.0.0.1:1", "echo", NULL, NULL, NULL, false,
	 SOCKETS_ADDRESS},
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
		assert_int_equal(listener_parse(&l, good[i].in, NULL, why), 0);
		assert_string_equal(l.where, good[i].where);
		assert_string_equal(l.service->name, good[i].service);
		assert_text(l.words ? ((struct http_words *)l.words)->root : NULL, good[i].root);
		assert_text(l.cert, good[i].cert);
		assert_text(l.key, good[i].key);
		assert_int_equal(l.tls, good[i].tls);
		assert_int_equal(sockets_kind_of(l.where), good[i].kind);
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
	{"127.0.0.1:1,root=", "unknown field 'root';"},
	{"127.0.0.1:1,root=/srv", "unknown field 'root'"},
	{"127.0.0.1:1,service=http,cgi=/bin", ",root=DIR"},
	{"127.0.0.1:1,TLS", "'TLS'"},
	{"127.0.0.1:1,tls=perhaps", "tls: must be yes or no"},
	{"127.0.0.1:1,metrics", "unknown field 'metrics'"},
	{"127.0.0.1:1,idle-timeout", "unknown field 'idle-timeout'"},
	{"127.0.0.1:1,idle-timeout=soon", "idle-timeout: must be a duration"},
	{"127.0.0.1:1,service=http,header-max=1", "header-max: must be from 256 to 32k"},
	{"127.0.0.1:1,workers=2", "unknown field 'workers'"},
	{"127.0.0.1:1,tls-min-version=1.3", "require tls"},
	{"127.0.0.1:1,tls,tls-min-version=1.1", "'1.1' is neither 1.2 nor 1.3"},
	{"127.0.0.1:1,accept-proxy", "'accept-proxy'"},
	{"127.0.0.1:1,accept-proxy=", "'accept-proxy=' has no value"},
	{"unix:run/a.sock", "'unix:run/a.sock' is not an address"},
	{"unix:", "'unix:' is not an address"},
	{"127.0.0.1:1,colour=", "unknown field 'colour';"},
	{"127.0.0.1:1,accept-proxy=yes", "accept-proxy: 'yes' is not a network"},
	{"127.0.0.1:1,service=http,accept-proxy=10.0.0.0/33", "'10.0.0.0/33' is not a network"},
	{"127.0.0.1:1,cert=/c", "require tls"},
	{"127.0.0.1:1,key=/k", "require tls"},
	{"127.0.0.1:1,cert-dir=/d", "cert-dir and the like require tls"},
};

static void what_is_wrong_is_named(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char why[LISTENER_WHY_LEN] = "";
		struct listener l;

		assert_int_equal(listener_check(bad[i].in, why), -EINVAL);
		assert_int_equal(listener_parse(&l, bad[i].in, NULL, why), -EINVAL);
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

/* --- blocks --- */

#define ENTRIES_MAX 8

struct block_row {
	const char *title;
	const char *entries[ENTRIES_MAX][2];
	int at; /* bad_blocks: the entry that is wrong; -1: the title */
	const char *says;
};

/* Borrows the row's strings; @entries is room for ENTRIES_MAX. */
static struct opt_block block_of(const struct block_row *row, struct opt_entry *entries)
{
	struct opt_block block = {.title = (char *)row->title, .entries = entries};

	for (; block.len < ENTRIES_MAX && row->entries[block.len][0]; block.len++)
		entries[block.len] = (struct opt_entry){.name = (char *)row->entries[block.len][0],
							.text = (char *)row->entries[block.len][1]};
	return block;
}

static struct settings *settings_with(uint64_t idle_us, const char *index)
{
	struct settings *general = settings_create();
	struct http_options *http;

	assert_non_null(general);
	assert_int_equal(opt_defaults(&(struct opt_program){.table = limits_rows}, &general->limits), 0);
	general->limits.timeout_us[DEADLINE_IDLE] = idle_us;
	http = (struct http_options *)(uintptr_t)settings_of(general, &service_http);
	assert_int_equal(opt_defaults(&(struct opt_program){.table = http_options}, http), 0);
	free(http->index);
	http->index = strdup(index);
	return general;
}

static void settings_end(struct settings *general)
{
	opt_free(&(struct opt_program){.table = http_options},
		 (void *)(uintptr_t)settings_of(general, &service_http));
	free(general);
}

static void a_listener_has_its_own_values_and_the_general_ones(void **state)
{
	static const struct block_row row = {
		"127.0.0.1:1",
		{{"root", "/srv/a,b"},
		 {"write-timeout", "1500ms"},
		 {"service", "http"},
		 {"header-max", "1k"},
		 {"max-connections", "7"},
		 {"when-full", "evict"}},
		0,
		NULL,
	};
	struct opt_entry entries[ENTRIES_MAX];
	struct opt_block block = block_of(&row, entries);
	struct settings *general = settings_with(77, "home");
	char why[LISTENER_WHY_LEN];
	const struct http_options *options;
	struct listener l;

	assert_int_equal(listener_parse_block(&l, &block, general, why), 0);
	assert_string_equal(((struct http_words *)l.words)->root, "/srv/a,b");
	assert_int_equal(l.limits.timeout_us[DEADLINE_WRITE], 1500000);
	assert_int_equal(l.limits.timeout_us[DEADLINE_IDLE], 77);
	assert_int_equal(l.limits.max_connections, 7);
	assert_int_equal(l.limits.when_full, FULL_EVICT);
	options = l.options;
	assert_int_equal(options->header_max, 1024);
	assert_int_equal(options->body_max, 16 << 20);
	assert_string_equal(options->index, "home");
	/* It is a copy. */
	settings_end(general);
	assert_string_equal(options->index, "home");
	listener_close(&l);
}

static void one_line_says_the_same_as_a_block(void **state)
{
	static const struct block_row row = {
		"127.0.0.1:1",
		{{"service", "proxy"}, {"to", "127.0.0.1:2"}, {"to", "unix:/a"}, {"tls", "yes"}},
		0,
		NULL,
	};
	struct opt_entry entries[ENTRIES_MAX];
	struct opt_block block = block_of(&row, entries);
	char why[LISTENER_WHY_LEN];
	struct listener a, b;

	assert_int_equal(listener_parse_block(&a, &block, NULL, why), 0);
	assert_int_equal(
		listener_parse(&b, "127.0.0.1:1,service=proxy,to=127.0.0.1:2,to=unix:/a,tls", NULL, why), 0);
	assert_string_equal(a.spec, b.spec);
	assert_memory_equal(&a.limits, &b.limits, sizeof(a.limits));
	for (const struct opt *word = a.service->words; word->name; word++)
		assert_true(opt_equal(word, a.words, b.words));
	listener_close(&a);
	listener_close(&b);
}

static const struct block_row bad_blocks[] = {
	{"127.0.0.1", {{0}}, -1, "is not an address"},
	{"127.0.0.1:1",
	 {{"service", "gopher"}},
	 0,
	 "unknown service 'gopher'; use one of echo, discard, http"},
	{"127.0.0.1:1",
	 {{"root", "/srv"}},
	 0,
	 "not allowed with service echo; allowed are service, tls, cert"},
	{"127.0.0.1:1",
	 {{"service", "http"}, {"to", "127.0.0.1:1"}},
	 1,
	 "not allowed with service http; allowed are service, tls, cert, key, cert-dir, "},
	{"127.0.0.1:1",
	 {{"to", "127.0.0.1:1"}, {"service", "http"}},
	 0,
	 "tls-groups, max-connections, accept-proxy, "},
	{"127.0.0.1:1",
	 {{"to", "127.0.0.1:1"}, {"service", "http"}},
	 0,
	 "linger-timeout, when-full, conn-memory, "},
	{"127.0.0.1:1", {{"to", "127.0.0.1:1"}, {"service", "http"}}, 0, "backlog, root, index, header-max"},
	{"127.0.0.1:1", {{"tls", "yes"}, {"idle-timeout", "soon"}}, 1, "must be a duration such as"},
	{"127.0.0.1:1", {{"service", "proxy"}, {"to", "x:1"}, {"to", "unix:"}}, 2, "'unix:' has no path"},
	{"127.0.0.1:1", {{"tls", "no"}, {"cert", "/c"}}, 1, "require tls"},
	{"127.0.0.1:1", {{"max-connections", "-1"}}, 0, "must be a whole number"},
};

static void what_is_wrong_in_a_block_is_named(void **state)
{
	for (size_t i = 0; i < sizeof(bad_blocks) / sizeof(bad_blocks[0]); i++) {
		struct opt_entry entries[ENTRIES_MAX];
		struct opt_block block = block_of(&bad_blocks[i], entries);
		char why[LISTENER_WHY_LEN] = "";
		struct listener l;
		size_t at;

		assert_int_equal(listener_check_block(&block, &at, why), -EINVAL);
		assert_int_equal(at, bad_blocks[i].at < 0 ? block.len : (size_t)bad_blocks[i].at);
		if (!strstr(why, bad_blocks[i].says))
			fail_msg("'%s' does not say '%s'", why, bad_blocks[i].says);
		assert_null(strchr(why, '\n'));
		assert_int_equal(listener_parse_block(&l, &block, NULL, why), -EINVAL);
	}
}

/* What a block may hold is what one service or another takes, and nothing twice. */
static void every_key_is_somebodys(void **state)
{
	for (const struct opt *key = listener_keys; key->name; key++) {
		for (const struct opt *other = listener_keys; other < key; other++)
			assert_string_not_equal(key->name, other->name);
		assert_non_null(key->help);
	}
	for (unsigned int i = 0; services[i]; i++)
		for (const struct opt *row = services[i]->words; row && row->name; row++) {
			const struct opt *key = listener_keys;

			while (key->name && strcmp(key->name, row->name) != 0)
				key++;
			assert_non_null(key->name);
			assert_int_equal(key->type == OPT_LIST, row->type == OPT_LIST);
		}
}

/* --- sockets --- */

static struct sockets *open_at(const char *where, unsigned int n)
{
	char why[SOCKETS_WHY_LEN];
	struct sockets *sockets;

	if (sockets_open(&sockets, where, 0, n, 16, why))
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
		assert_int_equal(sockets_are_at(sockets, table[i].where, 0, &wanted), table[i].want);
	}
	assert_false(sockets_are_at(sockets, "fd:web", 0, &wanted));
	addr_text(&sockets->addr, text);
	assert_int_equal(addr_resolve(text, true, &wanted, why), 0);
	assert_true(sockets_are_at(sockets, text, 0, &wanted));
	sockets_put(sockets);
}

static void a_socket_that_nobody_handed_over_is_an_error(void **state)
{
	char why[SOCKETS_WHY_LEN];
	struct sockets *sockets;

	assert_int_equal(sockets_open(&sockets, "fd:web", 0, 1, 16, why), -ENOENT);
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

		assert_int_equal(listener_parse(&l, roots[i].in, NULL, why), 0);
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
		cmocka_unit_test(a_listener_has_its_own_values_and_the_general_ones),
		cmocka_unit_test(one_line_says_the_same_as_a_block),
		cmocka_unit_test(what_is_wrong_in_a_block_is_named),
		cmocka_unit_test(every_key_is_somebodys),
		cmocka_unit_test(workers_share_one_port),
		cmocka_unit_test(sockets_are_known_by_their_place),
		cmocka_unit_test(a_socket_that_nobody_handed_over_is_an_error),
		cmocka_unit_test(a_root_must_be_a_directory),
	};

	listener_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
