/* SPDX-License-Identifier: MIT */
/* opt, writing: the same table in the dump, the sample, help and manual; and what two settings differ in. */
#include "opt_program.h"

static char *capture(void (*writer)(const struct opt_program *, FILE *))
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	writer(&program, to);
	fclose(to);
	return text;
}

static char *capture_dump(void)
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	opt_dump(&program, &settings, to);
	fclose(to);
	return text;
}

static void dump_reads_back_to_the_same(void **unused)
{
	char name[32], *first, *second;

	assert_int_equal(parse(ARGV("-w7", "--memory=1234567", "-i", "1234567us", "--overflow=refuse",
				    "--tls", "--no-quiet", "--cert=it's a \"$HOME\\x\" ${HOME}",
				    "--listen=a b", "--listen=c'\\n$")),
			 0);
	first = capture_dump();
	opt_free(&program, &settings);
	assert_int_equal(opt_defaults(&program, &settings), 0);
	assert_int_equal(parse_file(first, name), 0);
	second = capture_dump();
	assert_string_equal(first, second);
	assert_string_equal(settings.cert, "it's a \"$HOME\\x\" ${HOME}");
	assert_int_equal(settings.memory, 1234567);
	assert_int_equal(settings.idle_us, 1234567);
	assert_int_equal(settings.listen.len, 2);
	assert_string_equal(settings.listen.items[1], "c'\\n$");
	free(second);
	free(first);
}

static void blocks_are_dumped_as_they_are_read(void **unused)
{
	char name[32], *first, *second;

	assert_int_equal(parse_file("host \"a b\" { alias = {a, \"b, c\"} size = 04k alias += '}' name = "
				    "'it\\'s \"$x'\n quiet = on }\n"
				    "host c {}\nhost '' { name = '' }\nhost c { name = \"\n#\" }\n",
				    name),
			 0);
	first = capture_dump();
	assert_non_null(strstr(first,
			       "\nhost \"a b\" {\n\talias = {\"a\", \"b, c\", \"}\"}\n\tsize = \"04k\"\n"
			       "\tname = 'it\\'s \"$x'\n\tquiet = \"on\"\n}\nhost \"c\" {\n}\n"));
	opt_free(&program, &settings);
	assert_int_equal(opt_defaults(&program, &settings), 0);
	assert_int_equal(parse_file(first, name), 0);
	assert_int_equal(settings.hosts.len, 4);
	second = capture_dump();
	assert_string_equal(first, second);
	free(second);
	free(first);
}

static const struct {
	const char *a, *b;
	bool differ;
} blocks[] = {
	{"host a {}", "host a {}", false},
	{"host a {}", "", true},
	{"host a {}", "host b {}", true},
	{"host a {}", "host a {}\nhost a {}", true},
	{"host a { name = 1 }", "host a {}", true},
	{"host a { name = 1 }", "host a { name = 2 }", true},
	{"host a { name = 1 }", "host a { size = 1 }", true},
	{"host a { alias = {1, 2} }", "host a { alias = {2, 1} }", true},
	{"host a { alias = {1, 2} }", "host a {\n\nalias = 1\nalias += 2 }", false},
	{"host a {}\nhost b {}", "host b {}\nhost a {}", true},
};

static void blocks_differ_by_what_they_say(void **unused)
{
	const struct opt *hosts = table;

	while (hosts->type != OPT_BLOCKS)
		hosts++;
	for (size_t i = 0; i < COUNT(blocks); i++) {
		struct settings other;
		char name[32];

		opt_free(&program, &settings);
		assert_int_equal(opt_defaults(&program, &settings), 0);
		assert_int_equal(parse_file(blocks[i].a, name), 0);
		other = settings;
		assert_int_equal(opt_defaults(&program, &settings), 0);
		assert_int_equal(parse_file(blocks[i].b, name), 0);
		assert_int_equal(opt_equal(hosts, &settings, &other), !blocks[i].differ);
		opt_free(&program, &other);
	}
}

static void a_copy_is_equal_and_its_own(void **unused)
{
	struct settings copy;

	assert_int_equal(parse(ARGV("-w7", "-i1s", "--overflow=refuse", "--tls", "--no-quiet", "--cert=a",
				    "-l:1", "-l:2")),
			 0);
	assert_int_equal(opt_defaults(&program, &copy), 0);
	assert_int_equal(opt_copy(&program, &settings, &copy), 0);
	for (const struct opt *opt = table; opt->name; opt++)
		assert_true(opt_equal(opt, &settings, &copy));
	assert_ptr_not_equal(copy.cert, settings.cert);
	opt_free(&program, &copy);
	assert_string_equal(settings.cert, "a");
	assert_string_equal(settings.listen.items[1], ":2");
}

/* Two settings read from two command lines, and the names of the rows that differ, in the order told. */
struct pair {
	struct settings a, b;
	const char *changed[COUNT(table)];
	size_t len;
};

static void note_change(void *arg, const struct opt *row)
{
	struct pair *pair = arg;

	assert_true(pair->len < COUNT(pair->changed));
	pair->changed[pair->len++] = row->name;
}

static struct pair compare(char **a, char **b)
{
	struct pair pair = {0};

	assert_int_equal(opt_defaults(&program, &pair.a), 0);
	assert_int_equal(opt_defaults(&program, &pair.b), 0);
	assert_int_equal(parse_into(&pair.a, a), 0);
	assert_int_equal(parse_into(&pair.b, b), 0);
	opt_changes(&program, &pair.a, &pair.b, note_change, &pair);
	for (const struct opt *opt = table; opt->name; opt++)
		assert_int_equal(opt_equal(opt, &pair.a, &pair.b), opt_equal(opt, &pair.b, &pair.a));
	opt_free(&program, &pair.a);
	opt_free(&program, &pair.b);
	return pair;
}

static const struct {
	const char *name, *arg, *other; /* other: NULL: the default */
} differences[] = {
	{"config", "--config=/a", "--config=/b"},
	{"listen", "--listen=:8", NULL},
	{"listen", "--listen=:8", "--listen=:9"},
	{"cert", "--cert=a", "--cert=b"},
	{"cert", "--cert=a", NULL},
	{"cert", "--cert=", NULL},
	{"cert", "--cert=", "--cert=a"},
	{"tls", "--tls", NULL},
	{"workers", "--workers=3", NULL},
	{"memory", "--memory=1000000000001", "--memory=1000000000000"},
	{"idle-timeout", "--idle-timeout=29999999us", NULL},
	{"overflow", "--overflow=refuse", NULL},
	{"quiet", "--no-quiet", NULL},
	{"help", "--help", NULL},
};

static void a_difference_is_named_and_nothing_else(void **unused)
{
	for (size_t i = 0; i < COUNT(differences); i++) {
		char *a[] = {"opt_test", (char *)differences[i].arg, NULL};
		char *b[] = {"opt_test", (char *)differences[i].other, NULL};
		struct pair pair = compare(a, b);

		assert_int_equal(pair.len, 1);
		assert_string_equal(pair.changed[0], differences[i].name);
		assert_int_equal(compare(a, a).len, 0);
	}
}

static void lists_differ_by_order_and_length(void **unused)
{
	char **both = ARGV("-l", ":1", "-l", ":2");

	assert_int_equal(compare(both, ARGV("-l", ":2", "-l", ":1")).len, 1);
	assert_int_equal(compare(both, ARGV("-l", ":1")).len, 1);
	assert_int_equal(compare(ARGV("-l", ":1"), both).len, 1);
	assert_int_equal(compare(both, ARGV("-l", ":1", "-l", ":2")).len, 0);
}

static void changes_come_in_the_order_of_the_table(void **unused)
{
	struct pair pair =
		compare(ARGV("--no-quiet", "-i", "1s", "-w3", "--cert=x", "-l:8"), ARGV("--cert=y"));
	static const char *const want[] = {"listen", "cert", "workers", "idle-timeout", "quiet"};

	assert_int_equal(pair.len, COUNT(want));
	for (size_t i = 0; i < COUNT(want); i++)
		assert_string_equal(pair.changed[i], want[i]);
}

static unsigned int occurrences(const char *text, const char *words)
{
	unsigned int n = 0;

	for (; (text = strstr(text, words)); text += strlen(words))
		n++;
	return n;
}

static void manual_and_sample_tell_what_requires_a_restart(void **unused)
{
	char *sample = capture(opt_sample), *page = capture(opt_man);

	assert_non_null(strstr(sample, "\n# (changes require a restart)\n#listen = "));
	assert_non_null(strstr(sample, "\n# (changes require a restart)\n#cert = "));
	assert_non_null(strstr(sample, "\n# (from 1 to 64; changes require a restart)\n#workers = "));
	assert_non_null(strstr(sample, "\n# (from 1ms to 24h)\n#idle-timeout = "));
	assert_int_equal(occurrences(sample, "restart"), 3);
	assert_non_null(strstr(page, "\nDefault:\n:7.\nChanges require a restart.\n"));
	assert_non_null(strstr(page, "\nCertificate chain in PEM.\n.Pp\nChanges require a restart.\n"));
	assert_non_null(strstr(page, "\nFrom 1 to 64\n(default\n2).\nChanges require a restart.\n"));
	assert_int_equal(occurrences(page, "restart"), 3);
	free(page);
	free(sample);
}

static void sample_uncommented_is_the_defaults(void **unused)
{
	char name[32], *sample = capture(opt_sample), *dump = capture_dump(), *again;

	for (const struct opt *opt = table; opt->name; opt++) {
		char key[64];

		snprintf(key, sizeof(key),
			 opt->type == OPT_BLOCKS ? "\n#%s \"NAME\" {\n" : "\n#%s = ", opt->name);
		assert_true(!strstr(sample, key) == (opt->argv_only || opt->type == OPT_ACTION));
	}
	assert_int_equal(parse_file(sample, name), 0);
	again = capture_dump();
	assert_string_equal(dump, again);
	free(again);
	for (char *hash = sample; (hash = strstr(hash, "\n#")); hash++) {
		if (hash[2] != ' ' && hash[2] != '\n' && hash[2] != '#')
			hash[1] = ' ';
	}
	assert_int_equal(parse_file(sample, name), 0);
	assert_string_equal(settings.cert, "FILE");
	free(settings.cert);
	settings.cert = NULL;
	assert_int_equal(settings.hosts.len, 1);
	assert_string_equal(settings.hosts.items[0].title, "NAME");
	assert_int_equal(settings.hosts.items[0].len, COUNT(host_keys) - 1);
	assert_int_equal(parse(ARGV("-l:7")), 0); /* replaces it */
	again = capture_dump();
	assert_string_equal(dump, again);
	free(again);
	free(dump);
	free(sample);
}

static void help_names_every_option_within_79_columns(void **unused)
{
	char *help = capture(opt_help), *line, *rest = help;

	for (const struct opt *opt = table; opt->name; opt++) {
		char spelling[64];

		if (!opt->help || opt->type == OPT_BLOCKS)
			continue;
		snprintf(spelling, sizeof(spelling), "--%s%s", opt->type == OPT_BOOL ? "[no-]" : "",
			 opt->name);
		assert_non_null(strstr(help, spelling));
		assert_non_null(strstr(help, opt->help));
	}
	assert_null(strstr(help, "--man"));
	assert_null(strstr(help, "host"));
	assert_non_null(strstr(help, "serve ADDRESS...  "));
	while ((line = strsep(&rest, "\n")))
		assert_true(strlen(line) <= 79);
	free(help);
}

static void manual_passes_lint(void **unused)
{
	char *page = capture(opt_man);
	FILE *lint;

	if (system("command -v mandoc >/dev/null")) {
		free(page);
		skip();
	}
	assert_non_null(strstr(page, ".Xr io_submit 2"));
	assert_non_null(strstr(page, "\n\\&.dot"));
	assert_non_null(strstr(page, ".Sh EXIT STATUS"));
	assert_non_null(strstr(page, ".It Cm serve Ar \"ADDRESS...\""));
	assert_null(strstr(page, "\\-man"));
	assert_non_null(strstr(page, "\n.It host \\(dqNAME\\(dq { Ar KEY = Ar VALUE ... }\n"));
	assert_non_null(strstr(page, "\nKeys:\nname,\nsize,\nalias.\n.Pp\nWith aliases:\nquiet.\n"));
	lint = popen("out=$(mandoc -Tlint -Wwarning); echo \"$out\"; test -z \"$out\"", "w");
	assert_non_null(lint);
	fputs(page, lint);
	assert_int_equal(pclose(lint), 0);
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dump_reads_back_to_the_same),
		TEST(blocks_are_dumped_as_they_are_read),
		TEST(blocks_differ_by_what_they_say),
		TEST(a_copy_is_equal_and_its_own),
		TEST(a_difference_is_named_and_nothing_else),
		TEST(lists_differ_by_order_and_length),
		TEST(changes_come_in_the_order_of_the_table),
		TEST(manual_and_sample_tell_what_requires_a_restart),
		TEST(sample_uncommented_is_the_defaults),
		TEST(help_names_every_option_within_79_columns),
		TEST(manual_passes_lint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
