/* SPDX-License-Identifier: MIT */
/*
 * Values of options: parsed, checked against their bounds, written as text and compared. No state; any
 * thread, but a settings struct is one thread's at a time. Invariant: opt_assign() reads what
 * opt_value_text() writes as the same value.
 */
#include "opt_value.h"

#include "opt_block.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Largest first: a value is written in the first unit that divides it. */
static const struct unit durations[] = {
	{"h", 3600000000}, {"m", 60000000}, {"s", 1000000}, {"ms", 1000}, {"us", 1}, {"", 1000000}, {0},
};

static const struct unit sizes[] = {
	{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}, {0},
};

static const struct {
	const char *word;
	bool value;
} truths[] = {
	{"yes", true}, {"no", false}, {"true", true}, {"false", false}, {"on", true}, {"off", false},
};

static const char *const examples[] = {
	[OPT_BOOL] = "yes or no",
	[OPT_UINT] = "a whole number such as 4",
	[OPT_SIZE] = "a size such as 4096, 64k or 16m",
	[OPT_DURATION] = "a duration such as 250ms, 30s or 5m",
};

/* The digits at *text, which is moved past them; -EINVAL if there are none. */
static int parse_digits(const char **text, uint64_t *value)
{
	const char *p = *text;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (*value = 0; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
			return -ERANGE;
	}
	*text = p;
	return 0;
}

/* ".25" at *text in billionths; digits after the ninth are dropped. */
static int parse_fraction(const char **text, uint64_t *nano)
{
	uint64_t weight = 100000000;
	const char *p = *text;

	*nano = 0;
	if (*p != '.')
		return 0;
	if (!isdigit((unsigned char)p[1]))
		return -EINVAL;
	for (p++; isdigit((unsigned char)*p); p++, weight /= 10)
		*nano += weight * (uint64_t)(*p - '0');
	*text = p;
	return 0;
}

static const struct unit *find_unit(const struct unit *units, const char *suffix)
{
	for (; units->suffix; units++) {
		if (!strcasecmp(units->suffix, suffix))
			return units;
	}
	return NULL;
}

int opt_parse_uint(const char *text, uint64_t *value)
{
	int err = parse_digits(&text, value);

	return err ? err : *text ? -EINVAL : 0;
}

int opt_parse_size(const char *text, uint64_t *bytes)
{
	const struct unit *unit;
	uint64_t value;
	int err;

	err = parse_digits(&text, &value);
	if (err)
		return err;
	unit = find_unit(sizes, text);
	if (!unit)
		return -EINVAL;
	return __builtin_mul_overflow(value, unit->factor, bytes) ? -ERANGE : 0;
}

int opt_parse_duration(const char *text, uint64_t *us)
{
	const struct unit *unit;
	uint64_t whole, nano;
	int err;

	err = parse_digits(&text, &whole);
	if (!err)
		err = parse_fraction(&text, &nano);
	if (err)
		return err;
	unit = find_unit(durations, text);
	if (!unit)
		return -EINVAL;
	/* nano < 10^9 and factor < 2^32: the product fits. */
	if (__builtin_mul_overflow(whole, unit->factor, us) ||
	    __builtin_add_overflow(*us, (nano * unit->factor + 500000000) / 1000000000, us))
		return -ERANGE;
	return 0;
}

static int parse_bool(const char *text, bool *value)
{
	for (size_t i = 0; i < sizeof(truths) / sizeof(truths[0]); i++) {
		if (!strcasecmp(text, truths[i].word)) {
			*value = truths[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_choice(const struct opt *opt, const char *text, int *value)
{
	for (int i = 0; opt->choices[i]; i++) {
		if (!strcmp(text, opt->choices[i])) {
			*value = i;
			return 0;
		}
	}
	return -EINVAL;
}

static char *format_units(const struct unit *units, uint64_t value)
{
	char *text;

	while (units->factor > 1 && (!value || value % units->factor))
		units++;
	return asprintf(&text, "%" PRIu64 "%s", value / units->factor, units->suffix) < 0 ? NULL : text;
}

/* @value in the syntax of @opt's type. */
static char *format_number(const struct opt *opt, uint64_t value)
{
	static const struct unit plain[] = {{"", 1}, {0}};

	if (opt->type == OPT_DURATION)
		return value ? format_units(durations, value) : strdup("0s");
	return format_units(opt->type == OPT_SIZE ? sizes : plain, value);
}

static void list_choices(const struct opt *opt, char *buf, size_t len)
{
	size_t used = (size_t)snprintf(buf, len, "one of ");

	for (int i = 0; opt->choices[i] && used < len; i++)
		used += (size_t)snprintf(buf + used, len - used, "%s%s", i ? ", " : "", opt->choices[i]);
}

static bool is_number(const struct opt *opt)
{
	return opt->type == OPT_UINT || opt->type == OPT_SIZE || opt->type == OPT_DURATION;
}

char *opt_bounds(const struct opt *opt, char *buf, size_t len)
{
	char *min = NULL, *max = NULL;

	*buf = '\0';
	if (opt->type == OPT_ENUM)
		list_choices(opt, buf, len);
	if (!is_number(opt))
		return buf;
	min = format_number(opt, opt->min);
	max = format_number(opt, opt->max);
	if (min && max && opt->max)
		snprintf(buf, len, "from %s to %s", min, max);
	else if (min && opt->min)
		snprintf(buf, len, "at least %s", min);
	free(max);
	free(min);
	return buf;
}

/* Writes "must be ..., not '...'"; returns @err. */
static int refuse(const struct opt *opt, const char *text, int err, char *why)
{
	char bounds[OPT_WHY_LEN / 2];
	const char *want;

	if (err == -ENOMEM) {
		snprintf(why, OPT_WHY_LEN, "out of memory");
		return err;
	}
	opt_bounds(opt, bounds, sizeof(bounds));
	want = *bounds && (err == -ERANGE || opt->type == OPT_ENUM) ? bounds : examples[opt->type];
	snprintf(why, OPT_WHY_LEN, "must be %s, not '%.100s'", want, text);
	return err;
}

static int assign_number(const struct opt *opt, void *field, const char *text)
{
	uint64_t value;
	int err;

	if (opt->type == OPT_DURATION)
		err = opt_parse_duration(text, &value);
	else
		err = opt->type == OPT_SIZE ? opt_parse_size(text, &value) : opt_parse_uint(text, &value);
	if (err)
		return err;
	if (value < opt->min || (opt->max && value > opt->max))
		return -ERANGE;
	if (opt->type == OPT_UINT) {
		if (value > UINT_MAX)
			return -ERANGE;
		*(unsigned int *)field = (unsigned int)value;
	} else {
		*(uint64_t *)field = value;
	}
	return 0;
}

static int assign_string(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int append_item(struct opt_list *list, const char *text)
{
	char **items = reallocarray(list->items, list->len + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	list->items = items;
	items[list->len] = strdup(text);
	if (!items[list->len])
		return -ENOMEM;
	list->len++;
	return 0;
}

int opt_assign(const struct opt *opt, void *settings, const char *text, char *why)
{
	void *field = (char *)settings + opt->offset;
	int err = opt->check ? opt->check(text, why) : 0;

	if (err)
		return err;
	switch (opt->type) {
	case OPT_BOOL:
	case OPT_ACTION:
		err = parse_bool(text, field);
		break;
	case OPT_UINT:
	case OPT_SIZE:
	case OPT_DURATION:
		err = assign_number(opt, field, text);
		break;
	case OPT_STRING:
		err = assign_string(field, text);
		break;
	case OPT_ENUM:
		err = parse_choice(opt, text, field);
		break;
	case OPT_LIST:
		err = append_item(field, text);
		break;
	case OPT_BLOCKS: /* opt_conf.c */
		return -EINVAL;
	}
	return err ? refuse(opt, text, err, why) : 0;
}

char *opt_value_text(const struct opt *opt, const void *settings)
{
	const void *field = (const char *)settings + opt->offset;

	switch (opt->type) {
	case OPT_BOOL:
	case OPT_ACTION:
		return strdup(*(const bool *)field ? "yes" : "no");
	case OPT_UINT:
		return format_number(opt, *(const unsigned int *)field);
	case OPT_SIZE:
	case OPT_DURATION:
		return format_number(opt, *(const uint64_t *)field);
	case OPT_STRING:
		return *(char *const *)field ? strdup(*(char *const *)field) : NULL;
	case OPT_ENUM:
		return strdup(opt->choices[*(const int *)field]);
	case OPT_LIST:
	case OPT_BLOCKS:
		break;
	}
	return NULL;
}

struct opt_list *opt_list_of(const struct opt *opt, void *settings)
{
	return (struct opt_list *)((char *)settings + opt->offset);
}

struct opt_blocks *opt_blocks_of(const struct opt *opt, void *settings)
{
	return (struct opt_blocks *)((char *)settings + opt->offset);
}

void opt_clear(const struct opt *opt, void *settings)
{
	char **string = (char **)((char *)settings + opt->offset);
	struct opt_list *list = opt_list_of(opt, settings);

	if (opt->type == OPT_STRING) {
		free(*string);
		*string = NULL;
	} else if (opt->type == OPT_LIST) {
		for (size_t i = 0; i < list->len; i++)
			free(list->items[i]);
		free(list->items);
		*list = (struct opt_list){0};
	} else if (opt->type == OPT_BLOCKS) {
		opt_blocks_clear(opt_blocks_of(opt, settings));
	}
}

static int copy_list(const struct opt *opt, const struct opt_list *from, void *to)
{
	int err = 0;

	opt_clear(opt, to);
	for (size_t i = 0; i < from->len && !err; i++)
		err = append_item(opt_list_of(opt, to), from->items[i]);
	return err;
}

int opt_copy_value(const struct opt *opt, const void *from, void *to)
{
	const void *source = (const char *)from + opt->offset;
	void *field = (char *)to + opt->offset;

	switch (opt->type) {
	case OPT_BOOL:
	case OPT_ACTION:
		*(bool *)field = *(const bool *)source;
		break;
	case OPT_UINT:
		*(unsigned int *)field = *(const unsigned int *)source;
		break;
	case OPT_SIZE:
	case OPT_DURATION:
		*(uint64_t *)field = *(const uint64_t *)source;
		break;
	case OPT_ENUM:
		*(int *)field = *(const int *)source;
		break;
	case OPT_STRING:
		if (*(char *const *)source)
			return assign_string(field, *(char *const *)source);
		opt_clear(opt, to);
		break;
	case OPT_LIST:
		return copy_list(opt, source, to);
	case OPT_BLOCKS:
		break;
	}
	return 0;
}

static bool strings_equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool lists_equal(const struct opt_list *a, const struct opt_list *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

bool opt_equal(const struct opt *row, const void *a, const void *b)
{
	const void *left = (const char *)a + row->offset, *right = (const char *)b + row->offset;

	switch (row->type) {
	case OPT_BOOL:
	case OPT_ACTION:
		return *(const bool *)left == *(const bool *)right;
	case OPT_UINT:
		return *(const unsigned int *)left == *(const unsigned int *)right;
	case OPT_SIZE:
	case OPT_DURATION:
		return *(const uint64_t *)left == *(const uint64_t *)right;
	case OPT_STRING:
		return strings_equal(*(char *const *)left, *(char *const *)right);
	case OPT_ENUM:
		return *(const int *)left == *(const int *)right;
	case OPT_LIST:
		return lists_equal(left, right);
	case OPT_BLOCKS:
		return opt_blocks_equal(left, right);
	}
	return false;
}
