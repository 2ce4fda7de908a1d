/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- lines --- */

static bool is_name(char c, bool is_first)
{
	return c == '_' || c == ':' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (!is_first && c >= '0' && c <= '9');
}

static char *skip_name(char *p)
{
	char *begin = p;

	while (is_name(*p, p == begin))
		p++;
	return p == begin ? NULL : p;
}

static char *skip_blanks(char *p)
{
	return p + strspn(p, " \t");
}

/* Behind the quote that ends a value, or NULL. */
static char *skip_quoted(char *p)
{
	if (*p != '"')
		return NULL;
	for (p++; *p != '"'; p++)
		if (!*p || (*p == '\\' && !*++p))
			return NULL;
	return p + 1;
}

/* From behind the brace: at the one that ends the labels, or NULL. */
static char *skip_labels(char *p)
{
	for (p = skip_blanks(p); *p != '}'; p = skip_blanks(p)) {
		p = skip_name(p);
		if (!p || *(p = skip_blanks(p)) != '=')
			return NULL;
		p = skip_quoted(skip_blanks(p + 1));
		if (!p)
			return NULL;
		p = skip_blanks(p);
		if (*p == ',')
			p++;
		else if (*p != '}')
			return NULL;
	}
	return p;
}

/* strtod(3) would take hexadecimal numbers, blanks and NaN(...). */
static bool read_value(char *p, double *value)
{
	char *end = p + strcspn(p, " \t"), *stop;
	size_t len = (size_t)(end - p);

	if (!len || strspn(p, "0123456789+-.eEInfNa") < len)
		return false;
	*value = strtod(p, &stop);
	if (stop != end)
		return false;
	end = skip_blanks(end); /* a time, in milliseconds */
	end += *end == '-';
	end += strspn(end, "0123456789");
	return !*skip_blanks(end);
}

static bool read_line(char *line, struct metric *row)
{
	char *p = skip_name(line), *labels;

	if (!p)
		return false;
	*row = (struct metric){.name = line, .labels = ""};
	labels = skip_blanks(p);
	if (*labels == '{') {
		char *end = skip_labels(labels + 1);

		if (!end)
			return false;
		row->labels = labels + 1;
		*p = *end = '\0';
		p = end;
	} else if (labels == p) {
		return false;
	}
	*p++ = '\0';
	return read_value(skip_blanks(p), &row->value);
}

static struct metric *new_row(struct metrics *metrics)
{
	size_t room = metrics->room ? 2 * metrics->room : 64;
	struct metric *grown;

	if (metrics->n < metrics->room)
		return &metrics->rows[metrics->n];
	grown = reallocarray(metrics->rows, room, sizeof(*grown));
	if (!grown)
		return NULL;
	metrics->rows = grown;
	metrics->room = room;
	return &grown[metrics->n];
}

static int read_lines(struct metrics *metrics, size_t *number)
{
	char *line = metrics->text, *next;

	for (*number = 1; *line; line = next, ++*number) {
		char *end = strchrnul(line, '\n');
		struct metric *row;

		next = end + (*end != '\0');
		if (end > line && end[-1] == '\r')
			end--;
		*end = '\0';
		line = skip_blanks(line);
		if (!*line || *line == '#')
			continue;
		row = new_row(metrics);
		if (!row)
			return -ENOMEM;
		if (!read_line(line, row))
			return -EINVAL;
		metrics->n++;
	}
	return 0;
}

int metrics_parse(struct metrics *metrics, const char *text, size_t len, size_t *line)
{
	int err;

	*metrics = (struct metrics){0};
	*line = 1;
	if (memchr(text, '\0', len))
		return -EINVAL;
	metrics->text = strndup(text, len);
	err = metrics->text ? read_lines(metrics, line) : -ENOMEM;
	if (err)
		metrics_free(metrics);
	return err;
}

void metrics_free(struct metrics *metrics)
{
	free(metrics->text);
	free(metrics->rows);
	*metrics = (struct metrics){0};
}

/* --- values --- */

double metrics_value(const struct metrics *metrics, const char *name)
{
	for (size_t i = 0; i < metrics->n; i++)
		if (!*metrics->rows[i].labels && !strcmp(metrics->rows[i].name, name))
			return metrics->rows[i].value;
	return NAN;
}

/* The quoted value of a label, at its first character, or NULL. The labels were checked. */
static const char *find_label(const char *labels, const char *label)
{
	size_t len = strlen(label);

	for (const char *p = labels; *p;) {
		const char *name = p += strspn(p, " \t,");
		bool is_it;

		p += strcspn(p, "= \t");
		is_it = (size_t)(p - name) == len && !strncmp(name, label, len);
		p = strchr(p, '"');
		if (!p)
			return NULL;
		if (is_it)
			return p + 1;
		for (p++; *p && *p != '"'; p++)
			p += *p == '\\' && p[1];
		p += *p == '"';
	}
	return NULL;
}

static void copy_value(const char *from, char *value, size_t size)
{
	size_t n = 0;

	for (; *from && *from != '"' && n + 1 < size; from++) {
		if (*from == '\\' && from[1] && *++from == 'n')
			value[n++] = '\n';
		else
			value[n++] = *from;
	}
	value[n] = '\0';
}

void metrics_label(const struct metrics *metrics, const char *name, const char *label, char *value,
		   size_t size)
{
	*value = '\0';
	for (size_t i = 0; i < metrics->n; i++) {
		const char *found = find_label(metrics->rows[i].labels, label);

		if (!found || strcmp(metrics->rows[i].name, name) != 0)
			continue;
		copy_value(found, value, size);
		return;
	}
}

/* --- histograms --- */

static bool is_bucket(const struct metric *row, const char *name, const char *label, const char *value)
{
	size_t len = strlen(name);
	const char *found;
	char text[64];

	if (strncmp(row->name, name, len) != 0 || strcmp(row->name + len, "_bucket") != 0)
		return false;
	if (!label)
		return true;
	found = find_label(row->labels, label);
	if (!found)
		return false;
	copy_value(found, text, sizeof(text));
	return !strcmp(text, value);
}

/* The bucket up to @le, which is made if it is not there. NULL: there are too many. */
static double *bucket_of(struct histogram *histogram, double le)
{
	size_t i = 0;

	while (i < histogram->n && histogram->le[i] < le)
		i++;
	if (i < histogram->n && histogram->le[i] == le)
		return &histogram->counts[i];
	if (histogram->n == HISTOGRAM_BUCKETS)
		return NULL;
	memmove(&histogram->le[i + 1], &histogram->le[i], (histogram->n - i) * sizeof(double));
	memmove(&histogram->counts[i + 1], &histogram->counts[i], (histogram->n - i) * sizeof(double));
	histogram->n++;
	histogram->le[i] = le;
	histogram->counts[i] = 0;
	return &histogram->counts[i];
}

static void add_bucket(struct histogram *histogram, const struct metric *row)
{
	const char *text = find_label(row->labels, "le");
	char le[32], *end;
	double upper, *count;

	if (!text || !(row->value >= 0) || isinf(row->value))
		return;
	copy_value(text, le, sizeof(le));
	upper = strtod(le, &end);
	if (end == le || *end || isnan(upper))
		return;
	count = bucket_of(histogram, upper);
	if (count)
		*count += row->value;
}

/* From "up to" to "between". */
static void difference(struct histogram *histogram)
{
	double before = 0;

	for (size_t i = 0; i < histogram->n; i++) {
		double upto = fmax(histogram->counts[i], before);

		histogram->counts[i] = upto - before;
		before = upto;
	}
}

void metrics_histogram(const struct metrics *metrics, const char *name, const char *label, const char *value,
		       struct histogram *histogram)
{
	histogram->n = 0;
	for (size_t i = 0; i < metrics->n; i++)
		if (is_bucket(&metrics->rows[i], name, label, value))
			add_bucket(histogram, &metrics->rows[i]);
	difference(histogram);
}

void histogram_since(struct histogram *histogram, const struct histogram *before)
{
	if (histogram->n != before->n)
		return;
	for (size_t i = 0; i < histogram->n; i++)
		if (histogram->le[i] != before->le[i] || histogram->counts[i] < before->counts[i])
			return;
	for (size_t i = 0; i < histogram->n; i++)
		histogram->counts[i] -= before->counts[i];
}

double histogram_count(const struct histogram *histogram)
{
	double count = 0;

	for (size_t i = 0; i < histogram->n; i++)
		count += histogram->counts[i];
	return count;
}

double histogram_quantile(const struct histogram *histogram, double q)
{
	double rank = q * histogram_count(histogram), seen = 0;

	for (size_t i = 0; i < histogram->n; i++) {
		seen += histogram->counts[i];
		if (seen > 0 && seen >= rank)
			return histogram->le[i];
	}
	return NAN;
}
