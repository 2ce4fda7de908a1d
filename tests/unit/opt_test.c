/* SPDX-License-Identifier: MIT */
/* opt: one table of every type through the command line, the file, the dump, the sample, help and manual. */
#include "base/opt.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct settings {
	char *config;
	struct opt_list listen;
	char *cert;
	unsigned int workers;
	uint64_t memory;
	uint64_t idle_us;
	int policy;
	bool tls;
	bool quiet;
	bool help;
	bool man;
};

static const char *const policies[] = {"refuse", "backlog", "close-oldest", NULL};

// clang-format off
static const struct opt table[] = {
	{"config", 'c', OPT_STRING, offsetof(struct settings, config), .arg = "FILE", .section = "General",
	 .help = "Configuration file.", .argv_only = true},
	{"listen", 'l', OPT_LIST, offsetof(struct settings, listen), .arg = "ADDRESS[,KEY=VALUE]", .deflt = ":7",
	 .on_reload = OPT_RELOAD_RESTART, .help = "Where to listen.", .more = "May be repeated. As here:\n\n  --listen :80\n  --listen :81\n\nSee ip(7)."},
	{"cert", 0, OPT_STRING, offsetof(struct settings, cert), .arg = "FILE", .section = "TLS",
	 .on_reload = OPT_RELOAD_RESTART, .help = "Certificate chain in PEM."},
	{"tls", 't', OPT_BOOL, offsetof(struct settings, tls), .help = "TLS on every listener."},
	{"workers", 'w', OPT_UINT, offsetof(struct settings, workers), .arg = "N", .deflt = "2", .min = 1, .max = 64,
	 .section = "Limits", .on_reload = OPT_RELOAD_RESTART, .help = "Worker threads."},
	{"memory", 0, OPT_SIZE, offsetof(struct settings, memory), .arg = "SIZE", .deflt = "64k", .min = 4096,
	 .help = "Bytes of buffer."},
	{"idle-timeout", 'i', OPT_DURATION, offsetof(struct settings, idle_us), .arg = "DURATION", .deflt = "30s",
	 .min = 1000, .max = 86400000000, .on_reload = OPT_RELOAD_APPLY, .help = "End of what says nothing."},
	{"overflow", 0, OPT_ENUM, offsetof(struct settings, policy), .arg = "POLICY", .deflt = "backlog",
	 .choices = policies, .help = "What to do with one connection too many."},
	{"quiet", 'q', OPT_BOOL, offsetof(struct settings, quiet), .deflt = "yes", .help = "Say less."},
	{"help", 'h', OPT_ACTION, offsetof(struct settings, help), .section = "Other", .help = "This text."},
	{"man", 0, OPT_ACTION, offsetof(struct settings, man), .help = NULL},
	{0},
};
// clang-format on

static const struct opt_command commands[] = {
	{"serve", "ADDRESS...", "Serves what was asked for.", "Serves.\n\nSee socket(7)."},
	{"rest", "", "Does nothing.", NULL},
	{0},
};

static const struct opt_program program = {
	.name = "opt_test",
	.man_section = 8,
	.brief = "program of many options",
	.synopsis = (const char *const[]){"[OPTION]...", "[OPTION]... FILE", NULL},
	.table = table,
	.commands = commands,
	.description = "First paragraph, see opt(3).\n\nSecond \\ one. Is it? (Yes.) So\nit is.\n\n.dot at "
		       "the start\n\n  example -l "
		       "'x'\n  second\n\n"
		       "one\tthe first\ntwo\tthe second",
	.epilogue =
		"FILES:\n/etc/x\tis read\n\nEXIT STATUS:\nNought.\n\nMore of it.\n\nSEE ALSO:\nio_submit(2)",
};

static struct settings settings;
static char why[OPT_WHY_LEN];

static int setup(void **unused)
{
	memset(&settings, 0xaa, sizeof(settings)); /* opt_defaults() must not rely on zeroes */
	memset(why, 0, sizeof(why));
	return opt_defaults(&program, &settings);
}

static int teardown(void **unused)
{
	opt_free(&program, &settings);
	return 0;
}

#define ARGV(...) ((char *[]){"opt_test", __VA_ARGS__, NULL})

static int parse_into(struct settings *into, char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return opt_argv(&program, into, argc, argv, why);
}

static int parse(char **argv)
{
	return parse_into(&settings, argv);
}

static int parse_file(const char *text, char *name)
{
	int fd, err;

	strcpy(name, "/tmp/opt_test.XXXXXX");
	fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	err = opt_file(&program, &settings, name, why);
	unlink(name);
	return err;
}

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

static const struct {
	const char *in;
	uint64_t want;
	int err;
} durations[] =
	{
		{"0", 0, 0},
		{"2", 2000000, 0},
		{"2s", 2000000, 0},
		{"100ms", 100000, 0},
		{"7us", 7, 0},
		{"5m", 300000000, 0},
		{"1h", 3600000000, 0},
		{"1.5s", 1500000, 0},
		{"0.1", 100000, 0},
		{".5s", 0, -EINVAL},
		{"1.s", 0, -EINVAL},
		{"0.0000019s", 2, 0},
		{"", 0, -EINVAL},
		{"s", 0, -EINVAL},
		{"-1s", 0, -EINVAL},
		{" 1s", 0, -EINVAL},
		{"1 s", 0, -EINVAL},
		{"1d", 0, -EINVAL},
		{"1ss", 0, -EINVAL},
		{"18446744073709551615us", UINT64_MAX, 0},
		{"18446744073709551616us", 0, -ERANGE},
		{"18446744073710s", 0, -ERANGE},
},
  sizes[] =
	  {
		  {"0", 0, 0},		{"4096", 4096, 0},
		  {"64k", 65536, 0},	{"64K", 65536, 0},
		  {"16m", 16777216, 0}, {"2g", 2147483648, 0},
		  {"1.5k", 0, -EINVAL}, {"k", 0, -EINVAL},
		  {"1t", 0, -EINVAL},	{"17179869184g", 0, -ERANGE},
},
  uints[] = {
	  {"0", 0, 0},
	  {"18446744073709551615", UINT64_MAX, 0},
	  {"18446744073709551616", 0, -ERANGE},
	  {"0x10", 0, -EINVAL},
	  {"1k", 0, -EINVAL},
	  {"-1", 0, -EINVAL},
	  {"", 0, -EINVAL},
};

static void numbers_parse_by_table(void **unused)
{
	uint64_t value;

	for (size_t i = 0; i < COUNT(durations); i++) {
		assert_int_equal(opt_parse_duration(durations[i].in, &value), durations[i].err);
		if (!durations[i].err)
			assert_int_equal(value, durations[i].want);
	}
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(opt_parse_size(sizes[i].in, &value), sizes[i].err);
		if (!sizes[i].err)
			assert_int_equal(value, sizes[i].want);
	}
	for (size_t i = 0; i < COUNT(uints); i++) {
		assert_int_equal(opt_parse_uint(uints[i].in, &value), uints[i].err);
		if (!uints[i].err)
			assert_int_equal(value, uints[i].want);
	}
}

static void defaults_fill_every_field(void **unused)
{
	assert_null(settings.config);
	assert_null(settings.cert);
	assert_int_equal(settings.listen.len, 1);
	assert_string_equal(settings.listen.items[0], ":7");
	assert_int_equal(settings.workers, 2);
	assert_int_equal(settings.memory, 65536);
	assert_int_equal(settings.idle_us, 30000000);
	assert_int_equal(settings.policy, 1);
	assert_false(settings.tls);
	assert_true(settings.quiet);
	assert_false(settings.help);
}

static void command_line_sets_every_type(void **unused)
{
	assert_int_equal(parse(ARGV("-w4", "--memory=1m", "-i", "250ms", "--overflow", "refuse", "--tls",
				    "--no-quiet", "--cert=a b.pem", "-h")),
			 0);
	assert_int_equal(settings.workers, 4);
	assert_int_equal(settings.memory, 1048576);
	assert_int_equal(settings.idle_us, 250000);
	assert_int_equal(settings.policy, 0);
	assert_true(settings.tls);
	assert_false(settings.quiet);
	assert_string_equal(settings.cert, "a b.pem");
	assert_true(settings.help);
}

static void the_last_of_a_repeated_option_counts(void **unused)
{
	assert_int_equal(parse(ARGV("--cert=a", "--cert=b", "-t", "--tls=no", "--quiet=off", "--quiet")), 0);
	assert_string_equal(settings.cert, "b");
	assert_false(settings.tls);
	assert_true(settings.quiet);
}

static void list_on_the_command_line_replaces_then_grows(void **unused)
{
	assert_int_equal(parse(ARGV("-l", ":80", "--listen=:81,tls")), 0);
	assert_int_equal(settings.listen.len, 2);
	assert_string_equal(settings.listen.items[0], ":80");
	assert_string_equal(settings.listen.items[1], ":81,tls");
}

static void operands_move_to_the_front_in_order(void **unused)
{
	char **argv = ARGV("cat", "-w", "3", "host", "--tls", "-", "--", "-x", "y");

	assert_int_equal(parse(argv), 5);
	assert_string_equal(argv[1], "cat");
	assert_string_equal(argv[2], "host");
	assert_string_equal(argv[3], "-");
	assert_string_equal(argv[4], "-x");
	assert_string_equal(argv[5], "y");
	assert_int_equal(settings.workers, 3);
	assert_true(settings.tls);
}

static void options_alone_leave_argv_alone(void **unused)
{
	char **argv = ARGV("-w", "3", "--tls", "-l", ":9");
	char *before[7];

	memcpy(before, argv, sizeof(before));
	assert_int_equal(parse(argv), 0);
	assert_memory_equal(before, argv, sizeof(before));
	assert_int_equal(parse(argv), 0); /* a reload */
	assert_int_equal(settings.listen.len, 1);
}

static void peek_finds_the_last_and_changes_nothing(void **unused)
{
	char **argv = ARGV("file", "--config=a", "-c", "b", "--no-tls", "--", "--config=c");

	assert_string_equal(opt_argv_peek(&program, 8, argv, "config"), "b");
	assert_string_equal(opt_argv_peek(&program, 8, argv, "tls"), "no");
	assert_null(opt_argv_peek(&program, 8, argv, "cert"));
	assert_string_equal(argv[1], "file");
	assert_null(settings.config);
}

static const struct {
	const char *arg, *says[3];
} bad_args[] = {
	{"--workers=zero", {"--workers: ", "whole number", "'zero'"}},
	{"--workers=0", {"--workers: ", "from 1 to 64", "'0'"}},
	{"--workers=65", {"--workers: ", "from 1 to 64"}},
	{"--workers=99999999999999999999", {"--workers: ", "from 1 to 64"}},
	{"--memory=1", {"--memory: ", "at least 4k"}},
	{"--idle-timeout=5parsecs", {"--idle-timeout: ", "250ms", "'5parsecs'"}},
	{"--idle-timeout=2d", {"--idle-timeout: ", "30s"}},
	{"--idle-timeout=25h", {"--idle-timeout: ", "from 1ms to 24h"}},
	{"--overflow=panic", {"--overflow: ", "one of refuse, backlog, close-oldest", "'panic'"}},
	{"--tls=perhaps", {"--tls: ", "yes or no", "'perhaps'"}},
	{"--no-tls=yes", {"--no-tls takes no value"}},
	{"--help=yes", {"--help takes no value"}},
	{"--wrokers=3", {"unknown option --wrokers", "did you mean --workers?"}},
	{"--worker", {"--workers needs a value", "--workers=N"}},
	{"--frobnicate", {"unknown option --frobnicate", "opt_test --help"}},
	{"-z", {"unknown option -z", "opt_test --help"}},
	{"-w", {"--workers needs a value"}},
};

static void every_bad_argument_is_named_with_its_remedy(void **unused)
{
	for (size_t i = 0; i < COUNT(bad_args); i++) {
		char *argv[] = {"opt_test", (char *)bad_args[i].arg, NULL};

		assert_int_equal(parse(argv), -EINVAL);
		print_message("    %s\n", why);
		assert_null(strchr(why, '\n'));
		for (size_t s = 0; s < COUNT(bad_args[i].says) && bad_args[i].says[s]; s++)
			assert_non_null(strstr(why, bad_args[i].says[s]));
	}
}

static void file_takes_bare_and_quoted_values(void **unused)
{
	char name[32];

	assert_int_equal(parse_file("# comment\n"
				    "workers = 8   // another\n"
				    "memory = '1m'\n"
				    "idle-timeout = 1.5s\n"
				    "overflow = \"close-oldest\"\n"
				    "tls = true\nquiet = off\n"
				    "cert = \"/etc/a b.pem\"\n"
				    "listen = {\":80,service=http\", ':81'}\n",
				    name),
			 0);
	assert_int_equal(settings.workers, 8);
	assert_int_equal(settings.memory, 1048576);
	assert_int_equal(settings.idle_us, 1500000);
	assert_int_equal(settings.policy, 2);
	assert_true(settings.tls);
	assert_false(settings.quiet);
	assert_string_equal(settings.cert, "/etc/a b.pem");
	assert_int_equal(settings.listen.len, 2);
	assert_string_equal(settings.listen.items[0], ":80,service=http");
	assert_string_equal(settings.listen.items[1], ":81");
}

static void list_in_the_file_can_be_appended_to_or_emptied(void **unused)
{
	char name[32];

	assert_int_equal(parse_file("listen += \":80\"\nlisten += {\":81\", \":82\"}\n", name), 0);
	assert_int_equal(settings.listen.len, 4);
	assert_string_equal(settings.listen.items[0], ":7");
	assert_string_equal(settings.listen.items[3], ":82");
	assert_int_equal(parse_file("listen = {}\n", name), 0);
	assert_int_equal(settings.listen.len, 0);
	assert_int_equal(parse_file("workers = 3\n", name), 0);
	assert_int_equal(settings.listen.len, 0);
}

static void comments_stand_anywhere_but_within_text(void **unused)
{
	char name[32];

	assert_int_equal(parse_file("#\nlisten = { # first\n\":80\", # 'second\n'#:81' // third\n}\n"
				    "cert = /a//b#the path\nworkers=3#4",
				    name),
			 0);
	assert_int_equal(settings.listen.len, 2);
	assert_string_equal(settings.listen.items[1], "#:81");
	assert_string_equal(settings.cert, "/a//b");
	assert_int_equal(parse_file("", name), 0);
}

static void command_line_overrides_the_file(void **unused)
{
	char name[32];

	assert_int_equal(parse_file("listen = {\":80\", \":81\"}\nworkers = 8\ntls = yes\n", name), 0);
	assert_int_equal(parse(ARGV("--listen=:82", "--no-tls")), 0);
	assert_int_equal(settings.listen.len, 1);
	assert_string_equal(settings.listen.items[0], ":82");
	assert_int_equal(settings.workers, 8);
	assert_false(settings.tls);
}

static const struct {
	const char *text;
	unsigned int line;
	const char *says[3];
} bad_files[] = {
	{"\nworkers = many\n", 2, {"workers: ", "a whole number such as 4", "'many'"}},
	{"workers = \"99\"\n", 1, {"workers: ", "from 1 to 64"}},
	{"tls = yes\n\n\nidle-timeout = 5parsecs", 4, {"idle-timeout: ", "30s", "'5parsecs'"}},
	{"overflow = 'panic'\n", 1, {"overflow: ", "refuse, backlog"}},
	{"tls = 2\n", 1, {"tls: ", "yes or no"}},
	{"tls = yes\nfrobnicate = 1\n", 2, {"frobnicate"}},
	{"worker = 1\n", 1, {"'worker'", "did you mean 'workers'?"}},
	{"config = x\n", 1, {"'config'"}},
	{"help = yes\n", 1, {"'help'"}},
	{"workers 3\n", 1, {"workers"}},
	{"workers = \n", 2, {"end of file"}},
	{"workers = {1, 2}\n", 1, {""}},
	{"workers += 1\n", 1, {"workers"}},
	{"listen = {\":80\"", 1, {"end of file"}},
	{"server {\n}\n", 1, {"server"}},
	{"cert = \"unterminated\n", 2, {"end of file"}},
	{"cert = 'unterminated\n", 2, {"unterminated"}},
	{"tls = /* unterminated\n", 2, {"end of file"}},
	{"tls = yes } \n", 1, {"brace"}},
	{"# one\n#two\n\n// three\nworkers = 3 # 'four\nworker = 1\n", 6, {"'worker'"}},
	{"listen = {\":80\", # one\n\":81\" // \"two\n}\nworker = 1\n", 4, {"'worker'"}},
	{"cert = \"# \\\" no // comment\"\ncert = '#\\''\n/* # ' */ worker = 1\n", 3, {"'worker'"}},
	{"/*/ # */\nworker = 1\n", 2, {"'worker'"}},
};

static void every_bad_line_is_named_with_file_and_line(void **unused)
{
	for (size_t i = 0; i < COUNT(bad_files); i++) {
		char name[32], where[64];

		assert_int_equal(parse_file(bad_files[i].text, name), -EINVAL);
		print_message("    %s\n", why);
		snprintf(where, sizeof(where), "%s:%u: ", name, bad_files[i].line);
		assert_memory_equal(why, where, strlen(where));
		assert_null(strchr(why, '\n'));
		for (size_t s = 0; s < COUNT(bad_files[i].says) && bad_files[i].says[s]; s++)
			assert_non_null(strstr(why, bad_files[i].says[s]));
		/* Nothing of it remains in the parser: the next file is read from its beginning. */
		settings.workers = 0;
		assert_int_equal(parse_file("workers = 5\n", name), 0);
		assert_int_equal(settings.workers, 5);
	}
}

static void unreadable_files_are_an_errno(void **unused)
{
	assert_int_equal(opt_file(&program, &settings, "/no/such/file", why), -ENOENT);
	assert_non_null(strstr(why, "/no/such/file: No such file"));
	assert_int_equal(opt_file(&program, &settings, "/tmp", why), -EISDIR);
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

		snprintf(key, sizeof(key), "\n#%s = ", opt->name);
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

		if (!opt->help)
			continue;
		snprintf(spelling, sizeof(spelling), "--%s%s", opt->type == OPT_BOOL ? "[no-]" : "",
			 opt->name);
		assert_non_null(strstr(help, spelling));
		assert_non_null(strstr(help, opt->help));
	}
	assert_null(strstr(help, "--man"));
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
	lint = popen("out=$(mandoc -Tlint -Wwarning); echo \"$out\"; test -z \"$out\"", "w");
	assert_non_null(lint);
	fputs(page, lint);
	assert_int_equal(pclose(lint), 0);
	free(page);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers_parse_by_table),
		TEST(defaults_fill_every_field),
		TEST(command_line_sets_every_type),
		TEST(the_last_of_a_repeated_option_counts),
		TEST(list_on_the_command_line_replaces_then_grows),
		TEST(operands_move_to_the_front_in_order),
		TEST(options_alone_leave_argv_alone),
		TEST(peek_finds_the_last_and_changes_nothing),
		TEST(every_bad_argument_is_named_with_its_remedy),
		TEST(file_takes_bare_and_quoted_values),
		TEST(list_in_the_file_can_be_appended_to_or_emptied),
		TEST(comments_stand_anywhere_but_within_text),
		TEST(command_line_overrides_the_file),
		TEST(every_bad_line_is_named_with_file_and_line),
		TEST(unreadable_files_are_an_errno),
		TEST(dump_reads_back_to_the_same),
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
