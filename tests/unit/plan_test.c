/* SPDX-License-Identifier: MIT */
/* Which clients go where: backends as written, the file of sni-map=, names and protocols. */
#include "server/proxy/plan.h"
#include "server/proxy/sni_map.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char file[] = "/tmp/plan_test-XXXXXX", why[OPT_WHY_LEN];

static int make_file(void **state)
{
	int fd = mkstemp(file);

	return fd < 0 ? -1 : close(fd);
}

static int drop_file(void **state)
{
	return unlink(file);
}

static void write_file(const char *text, size_t len)
{
	FILE *to = fopen(file, "w");

	assert_int_equal(fwrite(text, 1, len, to), len);
	fclose(to);
}

/* Words with up to four backends of their own, and with the file if it has @text. */
static struct proxy_words words_of(const char *const *to, const char *text)
{
	static char *items[4];
	struct proxy_words words = {.to.items = items, .sni_map = text ? file : NULL, .verify = true};

	for (; to && to[words.to.len]; words.to.len++)
		items[words.to.len] = (char *)(uintptr_t)to[words.to.len];
	if (text)
		write_file(text, strlen(text));
	return words;
}

static void the_host_of_a_backend(void **state)
{
	static const struct {
		const char *text, *host; /* NULL: none */
	} rows[] = {
		{"name:80", "name"},	{"h2:80", "h2"},
		{"h2:name:80", "name"}, {"h2:[::1]:80", "::1"},
		{"unix:/run/a", NULL},	{"unix:80", NULL},
		{"h2:unix:80", NULL},	{"http/1.1:[::1]:80", "::1"},
	};
	char host[PLACE_HOST_LEN];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(place_host(rows[i].text, host), rows[i].host != NULL);
		if (rows[i].host)
			assert_string_equal(host, rows[i].host);
	}
}

#define TO(...) ((const char *const[]){__VA_ARGS__, NULL})

static void backends_as_written(void **state)
{
	static const struct {
		const char *text, *protocol, *address;
	} good[] = {
		{"127.0.0.1:80", "", "127.0.0.1:80"},
		{"[::1]:80", "", "[::1]:80"},
		{"name:80", "", "name:80"},
		{"unix:/run/a:80", "", "unix:/run/a:80"},
		{"h2:127.0.0.1:80", "h2", "127.0.0.1:80"},
		{"h2:[::1]:80", "h2", "[::1]:80"},
		{"h2:name:80", "h2", "name:80"},
		{"h2:unix:/run/a", "h2", "unix:/run/a"},
		{"http/1.1:name:80", "http/1.1", "name:80"},
		/* Names that are a protocol's, too, or look like what else may be there. */
		{"h2:80", "", "h2:80"},
		{"h2:h2:80", "h2", "h2:80"},
		{"h2:80:90", "h2", "80:90"},
		{"unix:h2:80", "", "unix:h2:80"},
		{"unix:unix:a", "", "unix:unix:a"},
		{"h2:unix:name:80", "h2", "unix:name:80"},
		{"unix.test:80", "", "unix.test:80"},
		{"h2:[fe80::1%lo]:80", "h2", "[fe80::1%lo]:80"},
	};
	static const char *const bad[] = {"",
					  "80",
					  ":80",
					  "h2",
					  "h2:80x",
					  "name:0",
					  "unix:",
					  "h2:unix:",
					  "h2::80",
					  "[::1]",
					  "[::1]80",
					  "[h2:::1]80",
					  "::1:80",
					  "fe80::1:80",
					  "1:2:3:4:5:6:7:8:80",
					  "h2:::1:80",
					  "h2:fe80::1:80",
					  "h2:h2:h2:80",
					  "a-protocol-that-is-too-long-for-any:name:80"};
	char protocol[PROTOCOL_LEN];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(place_check(good[i].text, why), 0);
		assert_string_equal(place_split(good[i].text, protocol), good[i].address);
		assert_string_equal(protocol, good[i].protocol);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(place_check(bad[i], why), -EINVAL);
}

static void what_is_offered(void **state)
{
	static const struct {
		const char *to[4], *alpn;
	} rows[] = {
		{{"a:1", "b:1"}, NULL},
		{{"h2:a:1"}, "h2"},
		{{"h2:a:1", "b:1"}, "h2,http/1.1"},
		{{"b:1", "h2:a:1", "h2:c:1"}, "h2,http/1.1"},
		{{"http/1.1:a:1", "h2:b:1", "c:1"}, "http/1.1,h2"},
	};
	char text[PROTOCOLS_TEXT_LEN];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct proxy_words words = words_of(rows[i].to, NULL);

		assert_int_equal(plan_alpn(&words, text), rows[i].alpn != NULL);
		if (rows[i].alpn)
			assert_string_equal(text, rows[i].alpn);
	}
}

/* The first backend of the group that is chosen; "": there is none. */
static const char *chosen(const struct plan *plan, const char *name, const char *protocol)
{
	int group = plan_choose(plan, name, protocol);

	return group < 0 ? "" : plan->places[plan->groups[group].places[0]].name;
}

static void names_choose(void **state)
{
	struct proxy_words words = words_of(TO("127.0.0.1:1"), "# names\n"
							       "example.org 127.0.0.1:2 127.0.0.1:3 # two\n"
							       "\n"
							       "*.Example.ORG.\t127.0.0.1:4\r\n"
							       "*.a.example.org 127.0.0.1:5\n"
							       "b.a.example.org 127.0.0.1:6");
	static const char *const rows[][2] = {
		{"", "127.0.0.1:1"},
		{"org", "127.0.0.1:1"},
		{"example.org", "127.0.0.1:2"},
		{"www.example.org", "127.0.0.1:4"},
		{"x.www.example.org", "127.0.0.1:4"},
		{"a.example.org", "127.0.0.1:4"},
		{"c.a.example.org", "127.0.0.1:5"},
		{"b.a.example.org", "127.0.0.1:6"},
		{"x.b.a.example.org", "127.0.0.1:5"},
		{"notexample.org", "127.0.0.1:1"},
	};
	struct plan *plan;

	assert_int_equal(plan_check(&words, true, why), 0);
	assert_int_equal(plan_make(&plan, &words, NULL, why), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(chosen(plan, rows[i][0], ""), rows[i][1]);
	assert_int_equal(plan->groups[plan_choose(plan, "example.org", "")].n, 2);
	plan_put(plan);
}

static void a_name_without_a_default_goes_nowhere(void **state)
{
	struct proxy_words words = words_of(NULL, "example.org 127.0.0.1:2\n");
	struct plan *plan;

	assert_int_equal(plan_check(&words, true, why), 0);
	assert_int_equal(plan_make(&plan, &words, NULL, why), 0);
	assert_string_equal(chosen(plan, "example.org", ""), "127.0.0.1:2");
	assert_string_equal(chosen(plan, "example.com", ""), "");
	assert_string_equal(chosen(plan, "", ""), "");
	plan_put(plan);
}

static void protocols_choose(void **state)
{
	struct proxy_words words =
		words_of(TO("127.0.0.1:1", "h2:127.0.0.1:2", "http/1.1:127.0.0.1:3"), NULL);
	struct plan *plan;

	assert_int_equal(plan_make(&plan, &words, NULL, why), 0);
	assert_string_equal(chosen(plan, "", ""), "127.0.0.1:1");
	assert_string_equal(chosen(plan, "", "h2"), "127.0.0.1:2");
	assert_string_equal(chosen(plan, "", "http/1.1"), "127.0.0.1:3");
	assert_string_equal(chosen(plan, "", "h3"), "");
	plan_put(plan);
	words = words_of(TO("127.0.0.1:1", "h2:127.0.0.1:2"), NULL);
	assert_int_equal(plan_make(&plan, &words, NULL, why), 0);
	assert_string_equal(chosen(plan, "", "http/1.1"), "127.0.0.1:1");
	plan_put(plan);
	words = words_of(TO("http/1.1:127.0.0.1:1"), NULL);
	assert_int_equal(plan_make(&plan, &words, NULL, why), 0);
	assert_string_equal(chosen(plan, "", ""), "127.0.0.1:1");
	plan_put(plan);
}

static void words_that_do_not_fit_together(void **state)
{
	static const struct {
		const char *to[3], *map;
		bool is_tls, sni_route;
		const char *want; /* NULL: they do */
	} rows[] = {
		{{NULL}, NULL, false, false, "needs a backend"},
		{{"h2:a:1"}, NULL, false, false, "needs tls"},
		{{"a:1"}, "x a:1", false, false, "needs tls, or sni-route"},
		{{"a:1"}, "x a:1", false, true, NULL},
		{{"a:1"}, "x a:1", true, true, "without tls"},
		{{"a:1"}, NULL, false, true, "needs ,sni-map"},
		{{"a:1"}, "x h2:a:1", true, false, "no backend of to= has the protocol h2"},
		{{"a:1", "h2:a:1"}, "x a:1", true, false, "no backend has the protocol h2"},
		{{"a:1", "h2:a:1"}, "x a:1 h2:b:1", true, false, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct proxy_words words = words_of(rows[i].to, rows[i].map);

		words.sni_route = rows[i].sni_route;
		assert_int_equal(plan_check(&words, rows[i].is_tls, why), rows[i].want ? -EINVAL : 0);
		if (rows[i].want)
			assert_non_null(strstr(why, rows[i].want));
	}
}

static void errors_have_their_line(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"a 127.0.0.1:1\n\nb\n", ":3: no backend for b"},
		{"a nowhere\n", ":1: 'nowhere' is not a backend"},
		{"a nowhere\n", "unix:PATH or h2:NAME:80"},
		{"# x\na/b 127.0.0.1:1\n", ":2: not a name, or *.NAME: a/b"},
		{"* 127.0.0.1:1\n", ":1: not a name"},
		{"a*.b 127.0.0.1:1\n", ":1: not a name"},
		{"*.a h:1\nb h:1\n*.A h:2\n", ":3: also in line 1: *.a"},
	};
	struct sni_map map;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		write_file(rows[i].text, strlen(rows[i].text));
		assert_int_equal(sni_map_read(&map, file, why), -EINVAL);
		assert_non_null(strstr(why, file));
		assert_non_null(strstr(why, rows[i].want));
	}
	write_file("a h:1\n\0b h:1\n", 13);
	assert_int_equal(sni_map_read(&map, file, why), -EINVAL);
	assert_int_equal(sni_map_read(&map, "/nowhere", why), -ENOENT);
	assert_int_equal(sni_map_read(&map, "/", why), -EISDIR);
	write_file("", 0);
	assert_int_equal(sni_map_read(&map, file, why), 0);
	assert_int_equal(map.len, 0);
	sni_map_free(&map);
}

/* Of a name that is lost, and of one that was never there (.invalid: RFC 6761). */
static void a_lost_name_keeps_its_addresses(void **state)
{
	struct proxy_words words = words_of(TO("127.0.0.1:1", "lost.invalid:2"), NULL);
	struct plan_source sources[] = {{.text = (char *)"lost.invalid:2", .first = 0, .n = 1}};
	struct place known = {.name = "127.0.0.9:2"};
	struct plan before = {.places = &known, .nplaces = 1, .sources = sources, .nsources = 1};
	struct plan *plan;

	assert_int_equal(plan_make(&plan, &words, &before, why), 0);
	assert_int_equal(plan->nplaces, 2);
	assert_string_equal(plan->places[plan_source(plan, "lost.invalid:2")->first].name, "127.0.0.9:2");
	plan_put(plan);
	assert_true(plan_make(&plan, &words, NULL, why) < 0);
	assert_non_null(strstr(why, "lost.invalid"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backends_as_written),
		cmocka_unit_test(the_host_of_a_backend),
		cmocka_unit_test(what_is_offered),
		cmocka_unit_test(names_choose),
		cmocka_unit_test(a_name_without_a_default_goes_nowhere),
		cmocka_unit_test(protocols_choose),
		cmocka_unit_test(words_that_do_not_fit_together),
		cmocka_unit_test(errors_have_their_line),
		cmocka_unit_test(a_lost_name_keeps_its_addresses),
	};

	return cmocka_run_group_tests(tests, make_file, drop_file);
}
