/* SPDX-License-Identifier: MIT */
#include "conns.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static void read_row(struct conn_row *row, const json_t *json)
{
	*row = (struct conn_row){
		.id = text_of(json, "id"),
		.service = text_of(json, "service"),
		.peer = text_of(json, "peer"),
		.backend = text_of(json, "backend"),
		.state = text_of(json, "state"),
		.age_s = number_of(json, "age_s"),
		.idle_s = number_of(json, "idle_s"),
		.waits_s = number_of(json, "waits_s"),
		.bytes_in = number_of(json, "bytes_in"),
		.bytes_out = number_of(json, "bytes_out"),
		.json = json,
	};
}

static void add_tally(struct tally *tally, const char *name, double count)
{
	size_t i = 0;

	while (i < tally->n && strcmp(tally->names[i], name) != 0)
		i++;
	if (i == TALLY_MAX || isnan(count))
		return;
	if (i == tally->n) {
		tally->names[tally->n++] = name;
		tally->counts[i] = 0;
	}
	tally->counts[i] += count;
}

static void add_tallies(struct tally *tally, json_t *worker, const char *key)
{
	json_t *counts = json_object_get(worker, key), *value;
	const char *name;

	json_object_foreach(counts, name, value)
		add_tally(tally, name, json_is_number(value) ? json_number_value(value) : NAN);
}

static size_t count_rows(const json_t *workers)
{
	const json_t *worker;
	size_t i, n = 0;

	json_array_foreach(workers, i, worker) n += json_array_size(json_object_get(worker, "connections"));
	return n;
}

static void read_worker(struct conns *conns, json_t *worker)
{
	double open = number_of(worker, "open");
	const json_t *json;
	size_t i;

	conns->open += isnan(open) ? 0 : open;
	add_tallies(&conns->states, worker, "states");
	add_tallies(&conns->services, worker, "services");
	json_array_foreach(json_object_get(worker, "connections"), i, json)
		read_row(&conns->rows[conns->n++], json);
}

int conns_parse(struct conns *conns, const char *text, size_t len, char *why)
{
	json_t *workers, *worker;
	json_error_t error;
	size_t i;

	*conns = (struct conns){.root = json_loadb(text, len, 0, &error)};
	if (!conns->root) {
		snprintf(why, CONNS_WHY_LEN, "not valid JSON: line %d: %s", error.line, error.text);
		return -EINVAL;
	}
	workers = json_object_get(conns->root, "workers");
	if (!json_is_array(workers)) {
		snprintf(why, CONNS_WHY_LEN, "no list of connections by worker");
		conns_free(conns);
		return -EINVAL;
	}
	conns->rows = calloc(count_rows(workers) + 1, sizeof(conns->rows[0]));
	if (!conns->rows) {
		snprintf(why, CONNS_WHY_LEN, "out of memory");
		conns_free(conns);
		return -ENOMEM;
	}
	json_array_foreach(workers, i, worker) read_worker(conns, worker);
	return 0;
}

void conns_free(struct conns *conns)
{
	json_decref(conns->root);
	free(conns->rows);
	*conns = (struct conns){0};
}

/* --- order --- */

static double key_of(const struct conn_row *row, enum sort sort)
{
	double key = sort == SORT_WAITS	  ? row->waits_s
		     : sort == SORT_IDLE  ? row->idle_s
		     : sort == SORT_AGE	  ? row->age_s
		     : sort == SORT_BYTES ? row->bytes_in + row->bytes_out
					  : -row->age_s;

	return isnan(key) ? -INFINITY : key;
}

/* Of equal ones, those that are idle for longer. */
static int by_sort(const void *a, const void *b, void *arg)
{
	enum sort sort = *(const enum sort *)arg;
	double left = key_of(a, sort), right = key_of(b, sort);

	if (left == right && sort != SORT_IDLE) {
		left = key_of(a, SORT_IDLE);
		right = key_of(b, SORT_IDLE);
	}
	return left > right ? -1 : left < right;
}

void conns_sort(struct conns *conns, enum sort sort)
{
	qsort_r(conns->rows, conns->n, sizeof(conns->rows[0]), by_sort, &sort);
}
