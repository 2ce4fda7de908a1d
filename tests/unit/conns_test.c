/* SPDX-License-Identifier: MIT */
/* conns: lists of connections, of which anything may be missing or of another type; and their order. */
#include "client/conns.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct conns parse(const char *text)
{
	char why[CONNS_WHY_LEN] = "";
	struct conns conns;

	if (conns_parse(&conns, text, strlen(text), why))
		fail_msg("%s: %s", text, why);
	return conns;
}

static void workers_are_joined(void **state)
{
	struct conns conns = parse("{\"workers\": [{\"worker\": 0, \"open\": 3, \"states\": {\"serve\": 2, "
				   "\"flush\": 1}, \"services\": "
				   "{\"http\": 3}, \"connections\": [{\"id\": \"0-7\", \"service\": "
				   "\"http\", \"peer\": \"1.2.3.4:5\", "
				   "\"state\": \"serve\", \"age_s\": 1.5, \"idle_s\": 1, \"waits_s\": null, "
				   "\"bytes_in\": 3}]}, {\"open\": "
				   "1, \"states\": {\"serve\": 1}, \"connections\": [{\"id\": \"1-1\"}]}]}");

	assert_int_equal(conns.n, 2);
	assert_true(conns.open == 4);
	assert_int_equal(conns.states.n, 2);
	assert_string_equal(conns.states.names[0], "serve");
	assert_true(conns.states.counts[0] == 3 && conns.states.counts[1] == 1);
	assert_string_equal(conns.rows[0].id, "0-7");
	assert_true(conns.rows[0].age_s == 1.5 && conns.rows[0].idle_s == 1 && isnan(conns.rows[0].waits_s));
	assert_string_equal(conns.rows[1].id, "1-1");
	assert_string_equal(conns.rows[1].peer, "");
	assert_true(isnan(conns.rows[1].age_s));
	conns_free(&conns);
}

static void what_is_no_list_is_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"{",
		"[]",
		"null",
		"\"workers\"",
		"{} {}",
		"{\"a\"",
		"{\"workers\": {}}",
		"{\"workers\": null}",
		"{\"workers\": [}",
		"\xff",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char why[CONNS_WHY_LEN] = "";
		struct conns conns;

		if (conns_parse(&conns, rows[i], strlen(rows[i]), why) != -EINVAL)
			fail_msg("'%s' is taken", rows[i]);
		assert_true(*why);
		assert_null(conns.root);
	}
}

static void depth_is_bounded(void **state)
{
	static char text[200000];
	char why[CONNS_WHY_LEN];
	struct conns conns;

	memset(text, '[', sizeof(text));
	assert_int_equal(conns_parse(&conns, text, sizeof(text), why), -EINVAL);
}

static void other_types_are_as_if_missing(void **state)
{
	static const char *const rows[] = {
		"{\"workers\": [1, null, \"x\", [], {}]}",
		"{\"workers\": [{\"open\": \"3\", \"states\": [], \"services\": 7, \"connections\": {}}]}",
		"{\"workers\": [{\"open\": null, \"states\": {\"a\": \"b\", \"c\": {}}, \"connections\": "
		"\"none\"}]}",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conns conns = parse(rows[i]);

		assert_int_equal(conns.n, 0);
		assert_true(conns.open == 0);
		assert_int_equal(conns.states.n, 0);
		conns_free(&conns);
	}
}

static void rows_of_other_types_are_empty(void **state)
{
	struct conns conns =
		parse("{\"workers\": [{\"connections\": [null, 1, \"x\", [], {\"id\": 7, \"peer\": null, "
		      "\"age_s\": \"1\", \"bytes_in\": {}}]}]}");

	assert_int_equal(conns.n, 5);
	for (int sort = 0; sort < SORT_COUNT; sort++)
		conns_sort(&conns, (enum sort)sort);
	for (size_t i = 0; i < conns.n; i++) {
		assert_string_equal(conns.rows[i].id, "");
		assert_true(isnan(conns.rows[i].age_s));
	}
	conns_free(&conns);
}

static void more_kinds_than_are_counted_are_left_out(void **state)
{
	struct conns conns =
		parse("{\"workers\": [{\"states\": "
		      "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,"
		      "\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1,\"r\":1}}, {\"states\": "
		      "{\"a\": 2, \"s\": 1}}]}");

	assert_int_equal(conns.states.n, TALLY_MAX);
	assert_true(conns.states.counts[0] == 3);
	conns_free(&conns);
}

static void each_order_has_its_first(void **state)
{
	static const struct {
		enum sort sort;
		const char *ids;
	} rows[] = {
		{SORT_WAITS, "wibja"} /* of equal ones the most idle */,
		{SORT_IDLE, "ijwba"},
		{SORT_AGE, "aijbw"},
		{SORT_BYTES, "biwaj"},
		{SORT_NEWEST, "wbjia"},
	};
	struct conns conns =
		parse("{\"workers\": [{\"connections\": ["
		      "{\"id\": \"a\", \"age_s\": 9, \"idle_s\": 1, \"waits_s\": null, \"bytes_in\": 1, "
		      "\"bytes_out\": 1},"
		      "{\"id\": \"b\", \"age_s\": 3, \"idle_s\": 2, \"waits_s\": 1, \"bytes_in\": 5, "
		      "\"bytes_out\": 5}]},"
		      "{\"connections\": ["
		      "{\"id\": \"w\", \"age_s\": 2, \"idle_s\": 3, \"waits_s\": 4, \"bytes_in\": 1, "
		      "\"bytes_out\": 2},"
		      "{\"id\": \"i\", \"age_s\": 6, \"idle_s\": 5, \"waits_s\": 1, \"bytes_in\": 4, "
		      "\"bytes_out\": 0},"
		      "{\"id\": \"j\", \"age_s\": 5, \"idle_s\": 4, \"bytes_in\": 0, \"bytes_out\": 1}]}]}");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char ids[6] = "";

		conns_sort(&conns, rows[i].sort);
		for (size_t k = 0; k < conns.n; k++)
			ids[k] = conns.rows[k].id[0];
		assert_string_equal(ids, rows[i].ids);
	}
	conns_free(&conns);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_are_joined),
		cmocka_unit_test(what_is_no_list_is_refused),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(other_types_are_as_if_missing),
		cmocka_unit_test(rows_of_other_types_are_empty),
		cmocka_unit_test(more_kinds_than_are_counted_are_left_out),
		cmocka_unit_test(each_order_has_its_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
