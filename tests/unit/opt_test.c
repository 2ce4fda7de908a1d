/* SPDX-License-Identifier: MIT */
/* opt, reading: one table of every type from its defaults, the command line and the file. */
#include "opt_program.h"

#include <errno.h>

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

static const struct opt bare_rows[] = {
	{"overflow", 'o', OPT_ENUM, offsetof(struct settings, policy), .choices = policies,
	 .bare = "close-oldest", .help = "One."},
	{0},
};

static void one_with_a_bare_value_needs_none(void **unused)
{
	const struct opt_program bare = {.name = "bare", .table = bare_rows};
	static const struct {
		char *word;
		int want;
	} words[] = {{"--overflow", 2}, {"--overflow=backlog", 1}, {"-o", 2}};

	for (size_t i = 0; i < COUNT(words); i++) {
		char **argv = ARGV(words[i].word, "operand");

		settings.policy = 0;
		assert_int_equal(opt_argv(&bare, &settings, 3, argv, why), 1);
		assert_int_equal(settings.policy, words[i].want);
		assert_string_equal(argv[1], "operand");
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers_parse_by_table),
		TEST(defaults_fill_every_field),
		TEST(command_line_sets_every_type),
		TEST(the_last_of_a_repeated_option_counts),
		TEST(one_with_a_bare_value_needs_none),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
