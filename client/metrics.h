/* SPDX-License-Identifier: MIT */
/*
 * Metrics in Prometheus' text format (version 0.0.4), from a server that may not be ours: what is malformed
 * is refused with its line, what is unknown is kept, and nothing of it is taken to be consistent. Pure.
 */
#ifndef CLIENT_METRICS_H
#define CLIENT_METRICS_H

#include <stdbool.h>
#include <stddef.h>

struct metric {
	const char *name;
	const char *labels; /* what is between the braces, or "" */
	double value;	    /* may be NaN or infinite */
};

struct metrics {
	char *text; /* that the rows point into */
	struct metric *rows;
	size_t n, room;
};

/*
 * Reads @text, which it copies. 0; -EINVAL with the number of the first line that is malformed in *line; or
 * -ENOMEM. In both cases there is nothing to be freed.
 */
int metrics_parse(struct metrics *metrics, const char *text, size_t len, size_t *line);
/* All zero is allowed. */
void metrics_free(struct metrics *metrics);

/* The value without labels, or NaN. */
double metrics_value(const struct metrics *metrics, const char *name);
/* The value of @label of the first row @name, its escapes undone, cut to size; "" if there is none. */
void metrics_label(const struct metrics *metrics, const char *name, const char *label, char *value,
		   size_t size);

#define HISTOGRAM_BUCKETS 64

/* bucket i counts what is at most le[i] and above the one before. */
struct histogram {
	size_t n;
	double le[HISTOGRAM_BUCKETS], counts[HISTOGRAM_BUCKETS];
};

/* The sum of all series of histogram @name whose @label is @value; NULL: of all. */
void metrics_histogram(const struct metrics *metrics, const char *name, const char *label, const char *value,
		       struct histogram *histogram);
/* What has been added since @before, a histogram of the same; all of @histogram if that was not before it. */
void histogram_since(struct histogram *histogram, const struct histogram *before);
double histogram_count(const struct histogram *histogram);
/* An upper bound of the value that the part @q (0..1) of them do not exceed; NaN: there are none. */
double histogram_quantile(const struct histogram *histogram, double q);

#endif
