/* SPDX-License-Identifier: MIT */
/* tally: what listeners and backends are called, added up over workers, and read while they come and go. */
#include "server/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NBOOKS 2

static struct tally_book books[NBOOKS];

static int open_books(void **state)
{
	memset(books, 0, sizeof(books));
	for (int i = 0; i < NBOOKS; i++)
		tally_book_init(&books[i]);
	return 0;
}

static int close_books(void **state)
{
	for (int i = 0; i < NBOOKS; i++)
		tally_book_fini(&books[i]);
	return 0;
}

/* What /metrics says of all books at @now_us, for the caller to free. */
static char *text_at(uint64_t now_us)
{
	struct tally_sheet sheet = {0};
	struct outq out;
	struct seg *seg;
	size_t len = 0;
	char *text;

	outq_init(&out);
	for (int i = 0; i < NBOOKS; i++)
		assert_int_equal(tally_sheet_add(&sheet, &books[i], now_us), 0);
	assert_int_equal(tally_sheet_print(&sheet, &out), 0);
	tally_sheet_free(&sheet);
	text = malloc(out.nbytes + 1);
	assert_non_null(text);
	STAILQ_FOREACH (seg, &out.segs, link) {
		memcpy(text + len, seg->data + seg->mem.begin, seg->mem.end - seg->mem.begin);
		len += seg->mem.end - seg->mem.begin;
	}
	text[len] = '\0';
	outq_clear(&out);
	return text;
}

static unsigned int occurrences(const char *text, const char *of)
{
	unsigned int n = 0;

	for (const char *at = text; (at = strstr(at, of)); at++)
		n++;
	return n;
}

static void assert_says_at(uint64_t now_us, const char *line)
{
	char *text = text_at(now_us);

	if (!strstr(text, line))
		fail_msg("'%s' is not in\n%s", line, text);
	free(text);
}

static void assert_says(const char *line)
{
	assert_says_at(0, line);
}

static struct tally *listener(unsigned int book, const char *where, const char *service)
{
	struct tally *tally;

	assert_int_equal(tally_open(&tally, &books[book], where, service), 0);
	return tally;
}

static struct tally *backend(const struct tally *of, const char *name)
{
	struct tally *tally;

	assert_int_equal(tally_open_backend(&tally, of, name), 0);
	return tally;
}

static void workers_are_added_up(void **state)
{
	struct tally *a = listener(0, "127.0.0.1:80", "http"), *b = listener(1, "127.0.0.1:80", "http");
	struct tally *other = listener(1, "[::1]:80", "http");

	for (int i = 0; i < 3; i++)
		tally_count(a, accepted);
	tally_count(b, accepted);
	tally_count(other, accepted);
	tally_add(b, TALLY_active, 2);
	tally_add(b, TALLY_active, -1);
	tally_count(b, responses_4xx);
	tally_count(b, closed_idle);
	assert_says("\ntaiod_listener_accepted_total{listener=\"127.0.0.1:80\",service=\"http\"} 4\n");
	assert_says("\ntaiod_listener_accepted_total{listener=\"[::1]:80\",service=\"http\"} 1\n");
	assert_says("\ntaiod_listener_active{listener=\"127.0.0.1:80\",service=\"http\"} 1\n");
	assert_says("\ntaiod_listener_responses_total{listener=\"127.0.0.1:80\",service=\"http\",class="
		    "\"4xx\"} 1\n");
	assert_says("\ntaiod_listener_closed_total{listener=\"127.0.0.1:80\",service=\"http\",reason="
		    "\"idle\"} 1\n");
	tally_put(a);
	tally_put(b);
	tally_put(other);
}

/* So that a reload that changes what a listener serves does not set it back. */
static void what_is_there_is_found_again(void **state)
{
	struct tally *before = listener(0, "unix:/run/a", "http"), *after;

	tally_count(before, accepted);
	after = listener(0, "unix:/run/a", "http");
	assert_ptr_equal(after, before);
	assert_ptr_not_equal(listener(0, "unix:/run/a", "echo"), before);
	tally_put(before);
	tally_count(after, accepted);
	assert_says("\ntaiod_listener_accepted_total{listener=\"unix:/run/a\",service=\"http\"} 2\n");
	tally_put(after);
	tally_put(TAILQ_FIRST(&books[0].tallies));
	assert_true(TAILQ_EMPTY(&books[0].tallies));
}

static void a_label_cannot_spoil_the_answer(void **state)
{
	static const struct {
		const char *where, *label;
	} table[] = {
		{"unix:/a\"b", "unix:/a\\\"b"},
		{"unix:/a\\b", "unix:/a\\\\b"},
		{"unix:/a\nb", "unix:/a\\\\x0ab"},
		{"unix:/\xff{}=,", "unix:/\\\\xff{}=,"},
		{"unix:/\xc3\xa9", "unix:/\\\\xc3\\\\xa9"},
		{"", ""},
	};
	char line[256];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tally *of = listener(0, table[i].where, "proxy"), *to = backend(of, table[i].where);

		snprintf(line, sizeof(line), "\ntaiod_listener_active{listener=\"%s\",service=\"proxy\"} 0\n",
			 table[i].label);
		assert_says(line);
		snprintf(line, sizeof(line), "\ntaiod_backend_active{listener=\"%s\",backend=\"%s\"} 0\n",
			 table[i].label, table[i].label);
		assert_says(line);
		tally_put(to);
		tally_put(of);
	}
}

static void a_backend_is_in_one_state_of_each_worker(void **state)
{
	struct tally *of[NBOOKS], *to[NBOOKS];
	static const char up[] = "listener=\"l\",backend=\"b\",state=\"up\"} ",
			  resting[] = "listener=\"l\",backend=\"b\",state=\"resting\"} ",
			  down[] = "listener=\"l\",backend=\"b\",state=\"down\"} ";
	static const struct {
		uint64_t now_us;
		unsigned int ndown, nroutes; /* of the first worker; nroutes of both */
		char up, resting, down;
	} table[] = {
		{99, 0, 1, '1', '1', '0'},  {100, 0, 1, '2', '0', '0'}, {99, 1, 1, '0', '1', '1'},
		{100, 2, 2, '1', '0', '1'}, {99, 1, 0, '0', '0', '0'},
	};
	char line[128];

	for (int i = 0; i < NBOOKS; i++) {
		of[i] = listener((unsigned int)i, "l", "proxy");
		to[i] = backend(of[i], "b");
	}
	tally_set(to[1], TALLY_rests_until_us, 100);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		tally_set(to[0], TALLY_ndown, table[i].ndown);
		tally_set(to[0], TALLY_nroutes, table[i].nroutes);
		tally_set(to[1], TALLY_nroutes, table[i].nroutes);
		snprintf(line, sizeof(line), "\ntaiod_backend_state{%s%c\n", up, table[i].up);
		assert_says_at(table[i].now_us, line);
		snprintf(line, sizeof(line), "\ntaiod_backend_state{%s%c\n", resting, table[i].resting);
		assert_says_at(table[i].now_us, line);
		snprintf(line, sizeof(line), "\ntaiod_backend_state{%s%c\n", down, table[i].down);
		assert_says_at(table[i].now_us, line);
	}
	tally_count(to[0], connects);
	tally_add(to[0], TALLY_connect_us, 1500);
	assert_says("\ntaiod_backend_connect_seconds_sum{listener=\"l\",backend=\"b\"} 0.001500\n"
		    "taiod_backend_connect_seconds_count{listener=\"l\",backend=\"b\"} 1\n");
	for (int i = 0; i < NBOOKS; i++) {
		tally_put(to[i]);
		tally_put(of[i]);
	}
}

static void a_name_is_explained_once(void **state)
{
	struct tally *a = listener(0, "a", "http"), *b = listener(1, "b", "http");
	char *text = text_at(0);

	assert_int_equal(occurrences(text, "# TYPE taiod_listener_closed_total counter\n"), 1);
	assert_int_equal(occurrences(text, "# TYPE taiod_listener_accepted_total counter\n"), 1);
	assert_int_equal(occurrences(text, "taiod_backend_"), 0);
	free(text);
	tally_put(a);
	tally_put(b);
}

static void there_is_a_bound(void **state)
{
	static struct tally *all[TALLIES_MAX + 2];
	struct tally *of = listener(0, "l", "proxy");
	char name[32], *text;

	for (unsigned int i = 0; i < TALLIES_MAX + 2; i++) {
		snprintf(name, sizeof(name), "10.0.0.1:%u", i + 1);
		all[i] = backend(of, name);
		tally_count(all[i], connects);
	}
	assert_ptr_equal(all[TALLIES_MAX], all[TALLIES_MAX + 1]);
	assert_says("\ntaiod_backend_connects_total{listener=\"l\",backend=\"others\"} 2\n");
	assert_says("\ntaiod_backend_connects_total{listener=\"l\",backend=\"10.0.0.1:1\"} 1\n");
	/* One that is there is found, whether there is room or not. */
	assert_ptr_equal(backend(of, "10.0.0.1:1"), all[0]);
	tally_put(all[0]);
	text = text_at(0);
	assert_int_equal(occurrences(text, "\ntaiod_backend_connects_total{"), TALLIES_MAX + 1);
	free(text);
	for (unsigned int i = 0; i < TALLIES_MAX + 2; i++)
		tally_put(all[i]);
	tally_put(of);
}

static void nobody_counts_without_one(void **state)
{
	struct tally *none;

	assert_int_equal(tally_open_backend(&none, NULL, "b"), 0);
	assert_null(none);
	assert_null(tally_get(none));
	tally_count(none, accepted);
	tally_set(none, TALLY_active, 1);
	tally_put(none);
}

/* --- threads: one reads what two workers count, open and close --- */

#define ROUNDS 2000

static atomic_uint nrunning;

static void *work(void *arg)
{
	struct tally_book *book = arg;
	char name[32];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct tally *stays, *goes;

		if (tally_open(&stays, book, "stays", "proxy"))
			abort();
		if (!i) /* the reference that keeps it */
			tally_get(stays);
		tally_count(stays, accepted);
		snprintf(name, sizeof(name), "goes:%u", i % 7);
		if (tally_open_backend(&goes, stays, name))
			abort();
		tally_count(goes, connects);
		tally_put(goes);
		tally_put(stays);
	}
	atomic_fetch_sub(&nrunning, 1);
	return NULL;
}

static unsigned long long accepted_by_now(void)
{
	static const char what[] = "taiod_listener_accepted_total{listener=\"stays\",service=\"proxy\"} ";
	char *text = text_at(0), *at = strstr(text, what);
	unsigned long long n = at ? strtoull(at + strlen(what), NULL, 10) : 0;

	free(text);
	return n;
}

static void a_reader_never_sees_one_go_back(void **state)
{
	unsigned long long seen = 0, now;
	pthread_t threads[NBOOKS];

	atomic_store(&nrunning, NBOOKS);
	for (int i = 0; i < NBOOKS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &books[i]), 0);
	while (atomic_load(&nrunning)) {
		now = accepted_by_now();
		assert_true(now >= seen);
		seen = now;
	}
	for (int i = 0; i < NBOOKS; i++)
		pthread_join(threads[i], NULL);
	assert_true(accepted_by_now() == NBOOKS * ROUNDS);
	for (int i = 0; i < NBOOKS; i++)
		tally_put(TAILQ_FIRST(&books[i].tallies));
}

#define BOOK_TEST(name) cmocka_unit_test_setup_teardown(name, open_books, close_books)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOOK_TEST(workers_are_added_up),
		BOOK_TEST(what_is_there_is_found_again),
		BOOK_TEST(a_label_cannot_spoil_the_answer),
		BOOK_TEST(a_backend_is_in_one_state_of_each_worker),
		BOOK_TEST(a_name_is_explained_once),
		BOOK_TEST(there_is_a_bound),
		BOOK_TEST(nobody_counts_without_one),
		BOOK_TEST(a_reader_never_sees_one_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
