/* SPDX-License-Identifier: MIT */
/* Owns what the command line chose. Called by the runner, before and between cases. */
#include "tests/case/options.h"

#include <assert.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 16

long suite_rounds;

static const char *pattern = "*", *links;
static bool is_list;

static const struct option_row common[] = {
	{"case", "GLOB", .text = &pattern},
	{"link", "KIND[,KIND...]", .text = &links},
	{"rounds", "N", .count = &suite_rounds},
	{"list", .flag = &is_list},
};

static const struct option_row *row_of(const struct suite *suite, unsigned int i)
{
	return i < ARRAY_LEN(common) ? &common[i] : &suite->options[i - ARRAY_LEN(common)];
}

/* The kinds of file that the suite has cases for. */
static unsigned int kinds_of(const struct suite *suite)
{
	unsigned int kinds = 0;

	for (const struct test_case *const *tc = cases_begin; tc < cases_end; tc++)
		kinds |= (*tc)->links;
	return kinds;
}

void options_usage(const struct suite *suite)
{
	const char *separator = "kinds: ";

	fprintf(stderr, "usage: %s", suite_name);
	for (unsigned int i = 0; i < ARRAY_LEN(common) + suite->noptions; i++) {
		const struct option_row *row = row_of(suite, i);

		fprintf(stderr, " [--%s%s%s]", row->name, row->value ? " " : "",
			row->value ? row->value : "");
	}
	fprintf(stderr, "\n");
	for (unsigned int i = 0; i < LINK_KINDS; i++) {
		if (!(kinds_of(suite) & link_names[i].kind))
			continue;
		fprintf(stderr, "%s%s", separator, link_names[i].name);
		separator = ", ";
	}
	fprintf(stderr, "\n");
}

/* Whether @name is one of the comma-separated @list. */
static bool is_listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, name, len) && (!at[len] || at[len] == ','))
			return true;
	}
	return false;
}

/* Whether each of the comma-separated @list is a kind of file of the suite's. */
static bool are_kinds(const struct suite *suite, const char *list)
{
	unsigned int listed = 1, known = 0;

	for (const char *at = list; (at = strchr(at, ',')); at++)
		listed++;
	for (unsigned int i = 0; i < LINK_KINDS; i++)
		known += kinds_of(suite) & link_names[i].kind && is_listed(list, link_names[i].name);
	return known == listed;
}

static bool row_set(const struct option_row *row, const char *value)
{
	if (row->flag)
		*row->flag = true;
	else if (row->text)
		*row->text = value;
	else if (row->number)
		*row->number = strtoull(value, NULL, 0);
	else
		*row->count = atol(value);
	return !row->count || *row->count > 0;
}

bool options_parse(const struct suite *suite, int argc, char **argv)
{
	struct option known[OPTIONS_MAX] = {0};
	unsigned int n = ARRAY_LEN(common) + suite->noptions;
	int row;

	assert(n < OPTIONS_MAX);
	for (unsigned int i = 0; i < n; i++) {
		known[i].name = row_of(suite, i)->name;
		known[i].has_arg = row_of(suite, i)->flag ? no_argument : required_argument;
		known[i].val = (int)i;
	}
	suite_rounds = suite->rounds;
	while ((row = getopt_long(argc, argv, "", known, NULL)) != -1)
		if (row == '?' || !row_set(row_of(suite, (unsigned int)row), optarg))
			return false;
	return optind == argc && (!links || are_kinds(suite, links));
}

bool options_list(const struct suite *suite)
{
	for (const struct test_case *const *tc = cases_begin; is_list && tc < cases_end; tc++) {
		printf("%s", (*tc)->name);
		for (unsigned int kind = 0; kind < LINK_KINDS; kind++)
			if ((*tc)->links & link_names[kind].kind)
				printf(" %s", link_names[kind].name);
		printf("\n");
	}
	return is_list;
}

bool is_case_chosen(const char *name)
{
	return !fnmatch(pattern, name, 0);
}

bool is_kind_chosen(const struct link_name *kind)
{
	return !links || is_listed(links, kind->name);
}
