/* SPDX-License-Identifier: MIT */
#include "counters.h"

#include <stddef.h>

static const struct {
	const char *name, *type, *help;
} rows[] = {
#define COUNTER_ROW(name, type, help) [COUNT_##name] = {#name, #type, help},
	COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};

static const struct {
	const char *name, *help;
	size_t offset;
} service_rows[] = {
	{"requests", "requests answered", offsetof(struct service_counters, requests)},
	{"responses_2xx", "answers with status 2xx", offsetof(struct service_counters, responses_2xx)},
	{"responses_3xx", "answers with status 3xx", offsetof(struct service_counters, responses_3xx)},
	{"responses_4xx", "answers with status 4xx", offsetof(struct service_counters, responses_4xx)},
	{"responses_5xx", "answers with status 5xx", offsetof(struct service_counters, responses_5xx)},
	{"bad_requests", "requests refused as malformed", offsetof(struct service_counters, bad_requests)},
	{"smuggling", "of those, shapes used for smuggling", offsetof(struct service_counters, smuggling)},
	{"header_too_big", "requests refused for the size of their header",
	 offsetof(struct service_counters, header_too_big)},
	{"path_escapes", "paths that led out of the root", offsetof(struct service_counters, path_escapes)},
};

#define NSERVICE_ROWS (sizeof(service_rows) / sizeof(service_rows[0]))

static uint64_t *service_value(const struct service_counters *c, size_t i)
{
	return (uint64_t *)((char *)c + service_rows[i].offset);
}

void counters_sum(struct counters *sum, const struct counters *from)
{
	for (int i = 0; i < COUNT_MAX; i++)
		sum->v[i] += __atomic_load_n(&from->v[i], __ATOMIC_RELAXED);
	for (size_t i = 0; i < NSERVICE_ROWS; i++)
		*service_value(&sum->service, i) +=
			__atomic_load_n(service_value(&from->service, i), __ATOMIC_RELAXED);
}

int counters_each(const struct counters *sum, counter_row *row, void *arg)
{
	int ret = 0;

	for (int i = 0; i < COUNT_MAX && !ret; i++)
		ret = row(arg, rows[i].name, rows[i].type, rows[i].help, sum->v[i]);
	for (size_t i = 0; i < NSERVICE_ROWS && !ret; i++)
		ret = row(arg, service_rows[i].name, "counter", service_rows[i].help,
			  *service_value(&sum->service, i));
	return ret;
}

static int print_row(void *out, const char *name, const char *type, const char *help, uint64_t value)
{
	const char *suffix = type[0] == 'c' ? "_total" : "";

	return outq_printf(out, "# HELP taiod_%s%s %s\n# TYPE taiod_%s%s %s\ntaiod_%s%s %llu\n", name, suffix,
			   help, name, suffix, type, name, suffix, (unsigned long long)value);
}

int counters_print(const struct counters *sum, struct outq *out)
{
	return counters_each(sum, print_row, out);
}
