/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- books --- */

void tally_book_init(struct tally_book *book)
{
	pthread_mutex_init(&book->lock, NULL);
	TAILQ_INIT(&book->tallies);
}

void tally_book_fini(struct tally_book *book)
{
	assert(TAILQ_EMPTY(&book->tallies));
	pthread_mutex_destroy(&book->lock);
}

/* Without the lock: only the worker changes the list. */
static struct tally *find(const struct tally_book *book, const struct tally *like)
{
	struct tally *tally;

	TAILQ_FOREACH (tally, &book->tallies, link)
		if (tally->kind == like->kind && !strcmp(tally->labels, like->labels))
			return tally;
	return NULL;
}

static void put_in(struct tally_book *book, struct tally *tally)
{
	pthread_mutex_lock(&book->lock);
	TAILQ_INSERT_TAIL(&book->tallies, tally, link);
	book->n[tally->kind]++;
	pthread_mutex_unlock(&book->lock);
}

static void take_out(struct tally_book *book, struct tally *tally)
{
	pthread_mutex_lock(&book->lock);
	TAILQ_REMOVE(&book->tallies, tally, link);
	book->n[tally->kind]--;
	pthread_mutex_unlock(&book->lock);
}

/* --- labels --- */

/* Characters that a label takes, with the NUL; each may become five. */
static size_t label_room(const char *name, const char *value)
{
	return strlen(name) + sizeof("=\"\",") + 5 * strlen(value);
}

/*
 * Appends NAME="VALUE". What is not printable ASCII, as the path of a socket may have, is written as \xNN,
 * with the backslash escaped: a label that is not UTF-8 would spoil the whole answer.
 */
static char *add_label(char *to, const char *name, const char *value)
{
	to += sprintf(to, "%s=\"", name);
	for (const char *at = value; *at; at++) {
		unsigned char c = (unsigned char)*at;

		if (c < ' ' || c > '~')
			to += sprintf(to, "\\\\x%02x", c);
		else
			to += sprintf(to, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	return to + sprintf(to, "\"");
}

static struct tally *make(struct tally_book *book, enum tally_kind kind, size_t room)
{
	struct tally *tally = calloc(1, sizeof(*tally) + room);

	if (!tally)
		return NULL;
	tally->book = book;
	tally->kind = kind;
	return tally;
}

static struct tally *make_listener(struct tally_book *book, const char *listener, const char *service)
{
	struct tally *made =
		make(book, TALLY_LISTENER, label_room("listener", listener) + label_room("service", service));
	char *end;

	if (!made)
		return NULL;
	end = add_label(made->labels, "listener", listener);
	made->listener_len = (size_t)(end - made->labels);
	*end++ = ',';
	add_label(end, "service", service);
	return made;
}

static struct tally *make_backend(const struct tally *listener, const char *backend)
{
	struct tally *made =
		make(listener->book, TALLY_BACKEND, listener->listener_len + label_room("backend", backend));
	char *end;

	if (!made)
		return NULL;
	end = mempcpy(made->labels, listener->labels, listener->listener_len);
	*end++ = ',';
	add_label(end, "backend", backend);
	return made;
}

/* --- life --- */

/* @made, or the one that is there already, takes its place. */
static struct tally *enter(struct tally *made)
{
	struct tally *tally = find(made->book, made);

	if (tally) {
		free(made);
		return tally_get(tally);
	}
	made->refs = 1;
	put_in(made->book, made);
	return made;
}

static bool is_full(const struct tally_book *book, enum tally_kind kind)
{
	return book->n[kind] >= TALLIES_MAX;
}

int tally_open(struct tally **tally, struct tally_book *book, const char *listener, const char *service)
{
	struct tally *made = make_listener(book, listener, service);

	if (made && is_full(book, TALLY_LISTENER) && !find(book, made)) {
		free(made);
		made = make_listener(book, "others", "others");
	}
	*tally = made ? enter(made) : NULL;
	return made ? 0 : -ENOMEM;
}

int tally_open_backend(struct tally **tally, const struct tally *listener, const char *backend)
{
	struct tally *made;

	*tally = NULL;
	if (!listener)
		return 0;
	made = make_backend(listener, backend);
	if (made && is_full(listener->book, TALLY_BACKEND) && !find(listener->book, made)) {
		free(made);
		made = make_backend(listener, "others");
	}
	*tally = made ? enter(made) : NULL;
	return made ? 0 : -ENOMEM;
}

struct tally *tally_get(struct tally *tally)
{
	if (tally)
		tally->refs++;
	return tally;
}

void tally_put(struct tally *tally)
{
	if (!tally || --tally->refs)
		return;
	take_out(tally->book, tally);
	free(tally);
}

/* --- sheets --- */

struct tally_sum {
	enum tally_kind kind;
	uint64_t v[TALLY_NROWS + 1]; /* and the time of the connects */
	char *labels;
};

/* The rows of backends with @listener's "others" may be more than TALLIES_MAX by as many as there are
 * listeners. */
static int grow(struct tally_sheet *sheet)
{
	unsigned int room = sheet->room ? 2 * sheet->room : 16;
	struct tally_sum *sums;

	if (sheet->n < sheet->room)
		return 0;
	sums = reallocarray(sheet->sums, room, sizeof(*sums));
	if (!sums)
		return -ENOMEM;
	sheet->sums = sums;
	sheet->room = room;
	return 0;
}

static bool is_of(const struct tally_sum *sum, const struct tally *tally)
{
	return sum->kind == tally->kind && !strcmp(sum->labels, tally->labels);
}

/* The sum for @tally, made if there is none; NULL: no memory. */
static struct tally_sum *sum_of(struct tally_sheet *sheet, const struct tally *tally)
{
	struct tally_sum *sum;

	for (unsigned int i = 0; i < sheet->n; i++) {
		unsigned int at = (sheet->next + i) % sheet->n;

		if (!is_of(&sheet->sums[at], tally))
			continue;
		sheet->next = at + 1;
		return &sheet->sums[at];
	}
	if (grow(sheet))
		return NULL;
	sum = &sheet->sums[sheet->n];
	*sum = (struct tally_sum){.kind = tally->kind, .labels = strdup(tally->labels)};
	if (!sum->labels)
		return NULL;
	sheet->next = ++sheet->n;
	return sum;
}

static uint64_t value(const struct tally *tally, enum tally_row row)
{
	return __atomic_load_n(&tally->v[row], __ATOMIC_RELAXED);
}

static enum tally_row state_of(const struct tally *tally, uint64_t now_us)
{
	if (value(tally, TALLY_ndown))
		return TALLY_down;
	return value(tally, TALLY_rests_until_us) > now_us ? TALLY_resting : TALLY_up;
}

int tally_sheet_add(struct tally_sheet *sheet, struct tally_book *book, uint64_t now_us)
{
	const struct tally *tally;
	int ret = 0;

	sheet->next = 0;
	pthread_mutex_lock(&book->lock);
	TAILQ_FOREACH (tally, &book->tallies, link) {
		struct tally_sum *sum = sum_of(sheet, tally);

		if (!sum) {
			ret = -ENOMEM;
			break;
		}
		for (int row = 0; row <= TALLY_connect_us; row++)
			sum->v[row] += value(tally, (enum tally_row)row);
		if (value(tally, TALLY_nroutes))
			sum->v[state_of(tally, now_us)]++;
	}
	pthread_mutex_unlock(&book->lock);
	return ret;
}

void tally_sheet_free(struct tally_sheet *sheet)
{
	for (unsigned int i = 0; i < sheet->n; i++)
		free(sheet->sums[i].labels);
	free(sheet->sums);
}

/* --- text --- */

static const struct {
	unsigned int kinds;
	const char *name, *label, *type, *help;
} rows[] = {
#define TALLY_ROW(row, kinds, name, label, type, help) [TALLY_##row] = {kinds, #name, label, #type, help},
	TALLY_ROWS(TALLY_ROW)
#undef TALLY_ROW
#define TALLY_CLOSED_ROW(NAME, name, text, by_cancel)                                                        \
	[TALLY_closed_##name] = {OF_BOTH, "closed", "reason=\"" #name "\"", "counter", "connections closed"},
		CLOSE_REASONS(TALLY_CLOSED_ROW)
#undef TALLY_CLOSED_ROW
};

static const char *const prefixes[] = {[TALLY_LISTENER] = "listener", [TALLY_BACKEND] = "backend"};

static bool has(const struct tally_sheet *sheet, enum tally_kind kind)
{
	for (unsigned int i = 0; i < sheet->n; i++)
		if (sheet->sums[i].kind == kind)
			return true;
	return false;
}

static int print_row(const struct tally_sheet *sheet, enum tally_kind kind, int row, struct outq *out)
{
	const char *name = rows[row].name, *label = rows[row].label, *before = prefixes[kind];
	const char *suffix = rows[row].type[0] == 'c' ? "_total" : "";
	int ret = 0;

	if (!row || strcmp(rows[row - 1].name, name) != 0)
		ret = outq_printf(out, "# HELP taiod_%s_%s%s %s\n# TYPE taiod_%s_%s%s %s\n", before, name,
				  suffix, rows[row].help, before, name, suffix, rows[row].type);
	for (unsigned int i = 0; i < sheet->n && !ret; i++) {
		const struct tally_sum *sum = &sheet->sums[i];

		if (sum->kind == kind)
			ret = outq_printf(out, "taiod_%s_%s%s{%s%s%s} %llu\n", before, name, suffix,
					  sum->labels, *label ? "," : "", label,
					  (unsigned long long)sum->v[row]);
	}
	return ret;
}

/* A summary without quantiles: the mean is what a backend's connects are compared by. */
static int print_connect(const struct tally_sheet *sheet, struct outq *out)
{
	int ret = outq_printf(out,
			      "# HELP taiod_backend_connect_seconds time that the connections took to make, "
			      "before a TLS handshake\n# TYPE taiod_backend_connect_seconds summary\n");

	for (unsigned int i = 0; i < sheet->n && !ret; i++) {
		const struct tally_sum *sum = &sheet->sums[i];

		if (sum->kind == TALLY_BACKEND)
			ret = outq_printf(out,
					  "taiod_backend_connect_seconds_sum{%s} %.6f\n"
					  "taiod_backend_connect_seconds_count{%s} %llu\n",
					  sum->labels, (double)sum->v[TALLY_connect_us] / 1e6, sum->labels,
					  (unsigned long long)sum->v[TALLY_connects]);
	}
	return ret;
}

int tally_sheet_print(const struct tally_sheet *sheet, struct outq *out)
{
	int ret = 0;

	for (int kind = 0; kind < TALLY_NKINDS && !ret; kind++) {
		if (!has(sheet, (enum tally_kind)kind))
			continue;
		for (int row = 0; row < TALLY_NROWS && !ret; row++)
			if (rows[row].kinds & 1U << kind)
				ret = print_row(sheet, (enum tally_kind)kind, row, out);
		if (kind == TALLY_BACKEND && !ret)
			ret = print_connect(sheet, out);
	}
	return ret;
}
