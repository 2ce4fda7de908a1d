/* SPDX-License-Identifier: MIT */
/* Sessions of the http service over time: phases, timeout, drain, back-pressure, ends; sites and dates. */
#include "http_run.h"
#include "server/http/date.h"
#include "server/http/http.h"
#include "server/http/session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct http_tree tree;

struct session {
	struct http_run run;
	void *session;
	struct outq out;
	enum step step;
};

static void session_open(struct session *t)
{
	assert_int_equal(run_open(&t->run, tree.root), 0);
	t->session = calloc(1, service_http.session_size);
	outq_init(&t->out);
	service_http.open(t->session, t->run.site, NULL);
}

static void session_close(struct session *t)
{
	outq_clear(&t->out);
	free(t->session);
	run_close(&t->run);
}

static size_t session_input(struct session *t, const char *text)
{
	size_t used;

	t->step = service_http.input(t->session, text, strlen(text), &used, &t->out);
	return used;
}

static enum phase session_phase(const struct session *t)
{
	return service_http.phase(t->session);
}

/* Takes the output; true if it has @text. */
static bool session_sent(struct session *t, const char *text)
{
	struct http_output output = {0};
	bool found;

	output_add(&output, "", 0);
	output_take(&output, &t->out);
	found = strstr(output.text, text);
	free(output.text);
	return found;
}

static void phase_follows_the_request(void **state)
{
	struct session t = {0};

	session_open(&t);
	assert_int_equal(session_phase(&t), PHASE_IDLE);
	assert_int_equal(session_input(&t, "GET /ten.txt HT"), 0);
	assert_int_equal(session_phase(&t), PHASE_HEAD);
	session_input(&t, REQ("/ten.txt"));
	assert_int_equal(session_phase(&t), PHASE_IDLE);
	session_input(&t, POST("/echo", "Content-Length: 5\r\n") "he");
	assert_int_equal(session_phase(&t), PHASE_BODY);
	session_input(&t, "llo");
	assert_int_equal(session_phase(&t), PHASE_IDLE);
	session_input(&t, POST("/echo", CHUNKED));
	assert_int_equal(session_phase(&t), PHASE_BODY);
	session_input(&t, "0\r\n\r\n");
	assert_int_equal(session_phase(&t), PHASE_IDLE);
	session_close(&t);
}

static void header_timeout_gets_408(void **state)
{
	struct session t = {0};

	session_open(&t);
	session_input(&t, "GET / HTTP/1.1\r\nHost:");
	assert_int_equal(service_http.timeout(t.session, CLOSE_HEADER, &t.out), STEP_DONE);
	assert_true(session_sent(&t, "HTTP/1.1 408 Request Timeout\r\n"));
	assert_int_equal(t.run.counters.v[COUNT_responses_4xx], 1);
	session_close(&t);
}

/* As if the request, and what is measured of its body, had begun @ms earlier. */
static void session_age(struct session *t, uint64_t ms)
{
	struct http_session *s = t->session;

	s->begun_ms -= ms;
	if (s->window.since_ms)
		s->window.since_ms -= ms;
}

static enum close_reason session_limit(const struct session *t)
{
	return service_http.limit(t->session);
}

static void request_timeout_holds_from_the_first_byte_to_the_last(void **state)
{
	struct session t = {.run = {.options = {.request_timeout_us = 5000000}}};

	session_open(&t);
	assert_int_equal(session_limit(&t), CLOSE_NONE);
	session_input(&t, "POST /echo HTTP/1.1\r\n");
	session_age(&t, 4000);
	assert_int_equal(session_limit(&t), CLOSE_NONE);
	session_age(&t, 1000);
	assert_int_equal(session_limit(&t), CLOSE_REQUEST);
	session_input(&t, POST("/echo", CHUNKED));
	assert_int_equal(session_limit(&t), CLOSE_REQUEST);
	session_input(&t, "0\r\n\r\n");
	assert_int_equal(session_limit(&t), CLOSE_NONE);
	session_close(&t);
}

static void request_timeout_holds_while_output_is_full(void **state)
{
	struct session t = {.run = {.options = {.request_timeout_us = 5000000, .body_min_rate = 1000}}};
	char *data = calloc(1, OUTQ_HIGH + 1);

	memset(data, 'x', OUTQ_HIGH);
	session_open(&t);
	session_input(&t, POST("/echo", "Content-Length: 99999\r\n"));
	session_input(&t, data);
	assert_true(t.out.nbytes >= OUTQ_HIGH);
	session_age(&t, 4000);
	assert_int_equal(session_limit(&t), CLOSE_NONE);
	session_age(&t, 30000);
	assert_int_equal(session_limit(&t), CLOSE_REQUEST);
	t.run.options.request_timeout_us = 0;
	assert_int_equal(session_limit(&t), CLOSE_NONE); /* the peer could not send */
	free(data);
	session_close(&t);
}

static void body_min_rate_counts_the_body_alone(void **state)
{
	struct session t = {.run = {.options = {.body_min_rate = 10}}};
	char data[301] = {0};

	session_open(&t);
	memset(data, 'x', 300);
	/* A header of more than the 200 bytes of a window. */
	session_input(&t, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\nX: ");
	session_input(&t, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n"
			  "X: 0123456789012345678901234567890123456789012345678901234567890123456789"
			  "0123456789012345678901234567890123456789012345678901234567890123456789"
			  "0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n"
			  "abc");
	session_age(&t, 19000);
	assert_int_equal(session_limit(&t), CLOSE_NONE);
	session_age(&t, 1000);
	assert_int_equal(session_limit(&t), CLOSE_BODY_RATE);
	session_input(&t, data);
	assert_int_equal(session_limit(&t), CLOSE_NONE);
	/* The next window begins anew, and silence is no rate either. */
	session_age(&t, 20000);
	assert_int_equal(session_limit(&t), CLOSE_BODY_RATE);
	session_close(&t);
}

static void a_slow_request_gets_408_unless_its_response_has_begun(void **state)
{
	static const enum close_reason reasons[] = {CLOSE_REQUEST, CLOSE_BODY_RATE};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		struct session t = {0};

		session_open(&t);
		session_input(&t, POST("/echo", CHUNKED));
		assert_int_equal(service_http.timeout(t.session, reasons[i], &t.out), STEP_DONE);
		assert_true(session_sent(&t, "HTTP/1.1 408 Request Timeout\r\n"));
		session_close(&t);
		session_open(&t);
		session_input(&t, POST("/echo", CHUNKED) "1\r\nx\r\n");
		assert_true(session_sent(&t, "HTTP/1.1 200 "));
		assert_int_equal(service_http.timeout(t.session, reasons[i], &t.out), STEP_FAILED);
		assert_true(outq_empty(&t.out));
		assert_int_equal(t.run.counters.v[COUNT_slow_requests], 2);
		session_close(&t);
	}
}

static void drain_ends_an_idle_session_at_once(void **state)
{
	struct session t = {0};

	session_open(&t);
	assert_int_equal(service_http.drain(t.session), STEP_DONE);
	session_close(&t);
}

static void drain_finishes_the_request_at_hand(void **state)
{
	struct session t = {0};

	session_open(&t);
	session_input(&t, "GET /ten.txt HTTP/1.1\r\n");
	assert_int_equal(service_http.drain(t.session), STEP_MORE);
	session_input(&t, REQ("/ten.txt") REQ("/ten.txt"));
	assert_int_equal(t.step, STEP_DONE);
	assert_int_equal(t.run.counters.v[COUNT_requests], 1);
	assert_true(session_sent(&t, "\r\nConnection: close\r\n\r\n0123456789"));
	session_close(&t);
}

static void drain_lets_a_body_end(void **state)
{
	struct session t = {0};

	session_open(&t);
	session_input(&t, POST("/echo", "Content-Length: 5\r\n") "he");
	assert_int_equal(service_http.drain(t.session), STEP_MORE);
	session_input(&t, "llo");
	assert_int_equal(t.step, STEP_DONE);
	assert_true(session_sent(&t, "\r\n\r\nhello"));
	session_close(&t);
}

static void input_stops_above_the_high_water_mark_and_goes_on(void **state)
{
	static char in[200 * sizeof(REQ("/1k.bin"))];
	struct session t = {.run = {.options = {.file_cache = 4, .file_valid_us = 1000000}}};
	size_t len, taken, total = 0;

	session_open(&t);
	for (int i = 0; i < 200; i++)
		strcat(in, REQ("/1k.bin"));
	len = strlen(in);
	taken = session_input(&t, in);
	assert_true(taken < len);
	assert_int_equal(session_phase(&t), PHASE_BODY);
	assert_in_range(t.out.nbytes, OUTQ_HIGH, OUTQ_HIGH + 2048);
	assert_in_range(t.out.memory, OUTQ_HIGH, 3 * OUTQ_HIGH);
	for (total = taken; total < len; total += taken) {
		outq_clear(&t.out);
		taken = session_input(&t, in + total);
		assert_true(taken > 0);
	}
	assert_int_equal(t.run.counters.v[COUNT_requests], 200);
	assert_int_equal(t.run.counters.v[COUNT_responses_2xx], 200);
	assert_int_equal(session_phase(&t), PHASE_IDLE);
	session_close(&t);
}

static void echo_stops_above_the_high_water_mark(void **state)
{
	struct session t = {.run = {.options = {.body_max = 1 << 20}}};
	size_t total = 0;
	char *data = calloc(1, 100000);

	memset(data, 'x', 99999);
	session_open(&t);
	session_input(&t, POST("/echo", "Content-Length: 99999\r\n"));
	outq_clear(&t.out);
	for (int rounds = 0; total < 99999; rounds++) {
		assert_true(rounds < 3);
		total += session_input(&t, data + total);
		assert_true(t.out.nbytes <= OUTQ_HIGH);
		outq_clear(&t.out);
	}
	free(data);
	session_close(&t);
}

static void a_connection_ends_after_keepalive_max_requests(void **state)
{
	struct session t = {.run = {.options = {.keepalive_max = 2}}};

	session_open(&t);
	session_input(&t, REQ("/ten.txt"));
	assert_int_equal(t.step, STEP_MORE);
	assert_false(session_sent(&t, "Connection: close"));
	session_input(&t, REQ("/ten.txt") REQ("/ten.txt"));
	assert_int_equal(t.step, STEP_DONE);
	assert_true(session_sent(&t, "Connection: close"));
	session_close(&t);
}

static void eof_inside_a_head_gets_a_response(void **state)
{
	struct session t = {0};

	session_open(&t);
	session_input(&t, "GET / HTTP");
	assert_int_equal(service_http.eof(t.session, 10, &t.out), STEP_DONE);
	assert_true(session_sent(&t, "HTTP/1.1 400 "));
	session_close(&t);
}

static void eof_between_requests_ends_quietly(void **state)
{
	struct session t = {0};

	session_open(&t);
	session_input(&t, REQ("/ten.txt"));
	outq_clear(&t.out);
	assert_int_equal(service_http.eof(t.session, 0, &t.out), STEP_DONE);
	assert_true(outq_empty(&t.out));
	session_close(&t);
}

static void a_small_file_finds_room_behind_its_head(void **state)
{
	struct session t = {0};
	struct seg *seg;

	session_open(&t);
	session_input(&t, REQ("/1k.bin"));
	seg = STAILQ_FIRST(&t.out.segs);
	assert_int_equal(seg->kind, SEG_MEM);
	assert_true(seg->mem.cap - seg->mem.end >= 1024);
	assert_int_equal(STAILQ_NEXT(seg, link)->kind, SEG_FILE);
	session_close(&t);
}

static int print_metrics(void *arg, struct outq *out)
{
	return outq_printf(out, "up %d\n", *(int *)arg);
}

static int fail_metrics(void *arg, struct outq *out)
{
	return -ENOMEM;
}

static void metrics_are_served_with_their_length(void **state)
{
	int up = 1;
	struct session t = {
		.run = {.options = {.metrics = true}, .env = {.metrics = print_metrics, .metrics_arg = &up}}};

	session_open(&t);
	session_input(&t, REQ("/metrics"));
	assert_true(session_sent(&t, "Content-Length: 5\r\n\r\nup 1\n"));
	session_input(&t, "HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_false(session_sent(&t, "up 1"));
	session_close(&t);
}

static void without_memory_the_connection_is_aborted(void **state)
{
	struct session t = {.run = {.options = {.metrics = true}, .env = {.metrics = fail_metrics}}};

	session_open(&t);
	session_input(&t, REQ("/metrics"));
	assert_int_equal(t.step, STEP_FAILED);
	session_close(&t);
}

static void without_a_root_only_the_routes_respond(void **state)
{
	struct http_run run = {0};
	struct http_output output;
	char statuses[64];

	assert_int_equal(run_open(&run, NULL), 0);
	output = run_bytes(&run, REQ("/ten.txt") REQ("/healthz"), strlen(REQ("/ten.txt") REQ("/healthz")),
			   NULL, 0);
	statuses_of(&output, statuses, sizeof(statuses));
	assert_string_equal(statuses, "404 200");
	free(output.text);
	run_close(&run);
}

static void a_site_names_the_root_that_it_cannot_open(void **state)
{
	struct http_run run = {0};

	assert_int_equal(run_open(&run, "/none/such"), -ENOENT);
	assert_non_null(strstr(run.why, "/none/such"));
}

static void dotfiles_are_served_where_that_is_wanted(void **state)
{
	struct http_run run = {.options = {.dotfiles = true}};
	const char *requests = REQ("/.hidden") REQ("/.git/config") REQ("/sub/.htpasswd") REQ("/.none");
	struct http_output output;
	char statuses[64];

	assert_int_equal(run_open(&run, tree.root), 0);
	output = run_bytes(&run, requests, strlen(requests), NULL, 0);
	statuses_of(&output, statuses, sizeof(statuses));
	assert_string_equal(statuses, "200 200 200 404");
	free(output.text);
	run_close(&run);
}

static void options_refuse_what_cannot_work(void **state)
{
	static const struct {
		const char *name, *text, *says;
	} bad[] = {
		{"index", "a/b", "a/b"},
		{"index", "", "file name"},
		{"header-max", "33k", "33k"},
	};
	const struct opt_program program = {.table = service_http.options};
	struct http_options options = {0};
	char why[OPT_WHY_LEN];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_not_equal(opt_set(&program, &options, bad[i].name, bad[i].text, why), 0);
		assert_non_null(strstr(why, bad[i].says));
	}
	assert_int_equal(opt_set(&program, &options, "header-max", "32k", why), 0);
	assert_int_equal(opt_set(&program, &options, "root", "/", why), -ENOENT);
}

static void dates_parse_in_three_forms_only(void **state)
{
	static const struct {
		const char *in;
		bool ok;
		time_t want;
	} rows[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", true, 784111777},
		{"Sunday, 06-Nov-94 08:49:37 GMT", true, 784111777},
		{"Sun Nov  6 08:49:37 1994", true, 784111777},
		{"Sun Nov 16 08:49:37 1994", true, 784975777},
		{"Thu, 29 Feb 2024 23:59:60 GMT", true, 1709251199},
		{"Friday, 01-Jan-99 00:00:00 GMT", true, 915148800},
		{"Wednesday, 01-Jan-70 00:00:00 GMT", true, 3155760000},
		{"Wed, 29 Feb 2023 00:00:00 GMT", false, 0},
		{"Sun, 32 Jan 2023 00:00:00 GMT", false, 0},
		{"Sun, 00 Jan 2023 00:00:00 GMT", false, 0},
		{"Sun, 06 Nov 1994 24:00:00 GMT", false, 0},
		{"Sun, 06 Nov 1994 08:49:37 UTC", false, 0},
		{"Sun, 06 nov 1994 08:49:37 GMT", false, 0},
		{"Son, 06 Nov 1994 08:49:37 GMT", false, 0},
		{"Sun, 6 Nov 1994 08:49:37 GMT", false, 0},
		{"Sun, 06-Nov-94 08:49:37 GMT", false, 0},
		{"784111777", false, 0},
		{"", false, 0},
	};
	const time_t now = 1800000000; /* 2027 */

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		time_t time = 0;
		bool ok = http_date_parse(rows[i].in, strlen(rows[i].in), now, &time);

		if (ok != rows[i].ok || (ok && time != rows[i].want))
			fail_msg("%s: %d %ld", rows[i].in, ok, (long)time);
	}
}

static void dates_format_and_parse_back(void **state)
{
	static const time_t times[] = {0, 784111777, 951782400, 1709251199, 4102444800, 253402300799};
	char text[HTTP_DATE_LEN];
	time_t back;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		http_date_format(times[i], text);
		assert_true(http_date_parse(text, sizeof(text), 0, &back));
		assert_int_equal(back, times[i]);
	}
	http_date_format(784111777, text);
	assert_memory_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT", HTTP_DATE_LEN);
}

static int setup(void **state)
{
	tree_create(&tree);
	return 0;
}

static int teardown(void **state)
{
	tree_destroy(&tree);
	outq_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phase_follows_the_request),
		cmocka_unit_test(header_timeout_gets_408),
		cmocka_unit_test(request_timeout_holds_from_the_first_byte_to_the_last),
		cmocka_unit_test(request_timeout_holds_while_output_is_full),
		cmocka_unit_test(body_min_rate_counts_the_body_alone),
		cmocka_unit_test(a_slow_request_gets_408_unless_its_response_has_begun),
		cmocka_unit_test(drain_ends_an_idle_session_at_once),
		cmocka_unit_test(drain_finishes_the_request_at_hand),
		cmocka_unit_test(drain_lets_a_body_end),
		cmocka_unit_test(input_stops_above_the_high_water_mark_and_goes_on),
		cmocka_unit_test(echo_stops_above_the_high_water_mark),
		cmocka_unit_test(a_connection_ends_after_keepalive_max_requests),
		cmocka_unit_test(eof_inside_a_head_gets_a_response),
		cmocka_unit_test(eof_between_requests_ends_quietly),
		cmocka_unit_test(a_small_file_finds_room_behind_its_head),
		cmocka_unit_test(metrics_are_served_with_their_length),
		cmocka_unit_test(without_memory_the_connection_is_aborted),
		cmocka_unit_test(without_a_root_only_the_routes_respond),
		cmocka_unit_test(a_site_names_the_root_that_it_cannot_open),
		cmocka_unit_test(dotfiles_are_served_where_that_is_wanted),
		cmocka_unit_test(options_refuse_what_cannot_work),
		cmocka_unit_test(dates_parse_in_three_forms_only),
		cmocka_unit_test(dates_format_and_parse_back),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
