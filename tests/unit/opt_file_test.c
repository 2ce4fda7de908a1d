/* SPDX-License-Identifier: MIT */
/* opt, the configuration file: blocks, and files that include others. */
#include "opt_program.h"

#include <errno.h>
#include <sys/stat.h>

/* --- blocks --- */

static const struct opt_block *block(size_t i)
{
	assert_true(i < settings.hosts.len);
	return &settings.hosts.items[i];
}

/* The entries of a block as "name=text name=text". */
static const char *entries(const struct opt_block *block)
{
	static char text[512];
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < block->len; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s=%s", i ? " " : "",
					 block->entries[i].name, block->entries[i].text);
	return text;
}

static void a_block_has_a_title_and_entries(void **unused)
{
	char name[32];

	assert_int_equal(parse_file("workers = 3\n"
				    "host \"a b\" { # comment\n"
				    "\tname = \"x, y\"\n"
				    "\talias = {\"1\", # one\n '2'}  size = 4k\n"
				    "\tquiet = no /* } */\n"
				    "}\n"
				    "host c { }\n"
				    "tls = yes\n",
				    name),
			 0);
	assert_int_equal(settings.hosts.len, 2);
	assert_string_equal(block(0)->title, "a b");
	assert_string_equal(entries(block(0)), "name=x, y alias=1 alias=2 size=4k quiet=no");
	assert_int_equal(block(0)->entries[0].line, 3);
	assert_int_equal(block(0)->entries[1].line, 4);
	assert_int_equal(block(0)->entries[2].line, 5);
	assert_int_equal(block(0)->entries[3].line, 5);
	assert_int_equal(block(0)->entries[4].line, 6);
	assert_string_equal(block(1)->title, "c");
	assert_int_equal(block(1)->len, 0);
	assert_int_equal(settings.workers, 3);
	assert_true(settings.tls);
	assert_true(settings.quiet); /* a block's key is not the option of the same name */
}

static const struct {
	const char *inside, *want;
} assigned[] = {
	{"name = a\nname = b", "name=b"},
	{"alias = a\nalias = b", "alias=b"},
	{"alias = a\nalias += b", "alias=a alias=b"},
	{"alias = {a, b}\nalias = {c}", "alias=c"},
	{"alias = {a, b}\nalias = {}", ""},
	{"alias = {a, b}\nalias += {}", "alias=a alias=b"},
	{"alias = {a}\nalias = {a}", "alias=a"},
	{"alias = {a, a}\nalias += a", "alias=a alias=a alias=a"},
	{"alias = {a, b}\nalias = {c, d}\nalias += {e}", "alias=c alias=d alias=e"},
	{"alias = {a, b}\nname = x\nalias = c", "name=x alias=c"},
	{"alias += {a}", "alias=a"},
	{"name = ''", "name="},
};

static void the_last_assignment_in_a_block_counts(void **unused)
{
	for (size_t i = 0; i < COUNT(assigned); i++) {
		char name[32], text[256];

		snprintf(text, sizeof(text), "host a {\n%s\n}\n", assigned[i].inside);
		assert_int_equal(parse_file(text, name), 0);
		assert_string_equal(entries(block(i)), assigned[i].want);
	}
}

static void blocks_of_one_title_are_as_many_blocks(void **unused)
{
	char name[32];

	assert_int_equal(
		parse_file("host a { name = 1 }\nhost b { name = 2 }\nhost a { alias = 3 }\nhost a {}\n",
			   name),
		0);
	assert_int_equal(settings.hosts.len, 4);
	assert_string_equal(entries(block(0)), "name=1");
	assert_string_equal(entries(block(1)), "name=2");
	assert_string_equal(entries(block(2)), "alias=3");
	assert_string_equal(entries(block(3)), "");
	/* Another file adds to them. */
	assert_int_equal(parse_file("host a { name = 4 }", name), 0);
	assert_int_equal(settings.hosts.len, 5);
}

static void a_list_on_the_command_line_replaces_the_blocks_beside_it(void **unused)
{
	char name[32];

	assert_int_equal(parse_file("host a { name = 1 }\nworkers = 3\n", name), 0);
	assert_int_equal(parse(ARGV("--workers=4")), 0);
	assert_int_equal(settings.hosts.len, 1);
	assert_int_equal(parse(ARGV("-l", ":80")), 0);
	assert_int_equal(settings.hosts.len, 0);
	assert_int_equal(parse(ARGV("--host=a")), -EINVAL);
	assert_non_null(strstr(why, "unknown option --host"));
	assert_int_equal(parse(ARGV("--hos=a")), -EINVAL);
}

static const struct {
	const char *text;
	unsigned int line;
	const char *says[3];
} bad_blocks[] = {
	{"host a {\nname = 1\nnmae = 2\n}\n", 3, {"'nmae'", "did you mean 'name'?"}},
	{"host a { workers = 2 }\n", 1, {"'workers'", "allowed are name, size, alias; with aliases quiet"}},
	{"host a {\n}\nnmae = 1\n", 3, {"'nmae'", "opt_test --help"}},
	{"host a { include = b }\n", 1, {"'include'"}},
	{"host a { host b { } }\n", 1, {"'host'"}},
	{"host a {\nname = x\n\nalias = {\"y\",\n\"wrong\",\n\"z\"}\n}\n", 5, {"alias: ", "this is wrong"}},
	{"host a {\nsize = 3\nname = wrong\n\n}\n", 3, {"name: this is wrong"}},
	{"\nhost nobody {\nname = a\n}\n", 2, {"there is nobody"}},
	{"host nobody {}\n", 1, {"there is nobody"}},
	{"host {\n}\n", 1, {"title"}},
	{"host = a\n", 1, {"host"}},
	{"host a\nname = 1\n", 2, {"brace"}},
	{"host a {\nname = 1\n", 3, {"end of file"}},
	{"host a {\nname += 1\n}", 2, {"name"}},
	{"host a {\nname = {1}\n}", 2, {""}},
	{"host a { name = 1 }\nhost a { name = wrong }\n", 2, {"name: this is wrong"}},
	{"name = 1\n", 1, {"'name'"}},
	{"workers = '1\n2'\n", 2, {"'1?2'"}},
	{"host|name = 1\n", 1, {"host"}},
};

static void every_bad_line_of_a_block_is_named(void **unused)
{
	for (size_t i = 0; i < COUNT(bad_blocks); i++) {
		char name[32], where[64];

		assert_int_equal(parse_file(bad_blocks[i].text, name), -EINVAL);
		print_message("    %s\n", why);
		snprintf(where, sizeof(where), "%s:%u: ", name, bad_blocks[i].line);
		assert_memory_equal(why, where, strlen(where));
		assert_null(strchr(why, '\n'));
		for (size_t s = 0; s < COUNT(bad_blocks[i].says) && bad_blocks[i].says[s]; s++)
			if (!strstr(why, bad_blocks[i].says[s]))
				fail_msg("'%s' does not say '%s'", why, bad_blocks[i].says[s]);
		/* Nothing of it is left for the next. */
		opt_free(&program, &settings);
		assert_int_equal(opt_defaults(&program, &settings), 0);
		assert_int_equal(parse_file("host b { size = 1 }\n", name), 0);
		assert_int_equal(settings.hosts.len, 1);
		assert_string_equal(entries(block(0)), "size=1");
	}
}

/* --- include --- */

static char dir[32];

static int enter(void **unused)
{
	strcpy(dir, "/tmp/opt_file.XXXXXX");
	assert_non_null(mkdtemp(dir));
	return setup(unused);
}

static int leave(void **unused)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	return teardown(unused);
}

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Directories are made as they are named. */
static void put(const char *name, const char *text)
{
	const char *slash = strrchr(name, '/');
	char parent[64];
	FILE *to;

	if (slash) {
		snprintf(parent, sizeof(parent), "%s/%.*s", dir, (int)(slash - name), name);
		assert_true(mkdir(parent, 0700) == 0 || errno == EEXIST);
	}
	to = fopen(path_of(name), "w");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
}

static int read_dir(const char *name)
{
	return opt_file(&program, &settings, path_of(name), why);
}

static const char *listens(void)
{
	static char text[256];

	*text = '\0';
	for (size_t i = 0; i < settings.listen.len; i++)
		strcat(strcat(text, i ? " " : ""), settings.listen.items[i]);
	return text;
}

static void a_file_is_read_in_the_place_of_its_include(void **unused)
{
	put("main", "workers = 3\ntls = yes\nlisten = {a}\nhost 1 {}\n"
		    "include = \"sub/other\" # relative\n"
		    "listen += d\nworkers = 5\nhost 4 {}\n");
	put("sub/other", "workers = 4\ntls = no\nlisten += b\nhost 2 {}\ninclude = next\n");
	put("sub/next", "listen += c\nhost 3 { name = x }\n");
	assert_int_equal(read_dir("main"), 0);
	assert_int_equal(settings.workers, 5);
	assert_false(settings.tls);
	assert_string_equal(listens(), "a b c d");
	assert_int_equal(settings.hosts.len, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(block(i)->title[0], '1' + i);
}

static void a_list_may_be_replaced_on_either_side(void **unused)
{
	put("main", "listen = {a}\ninclude = other\nlisten += d\n");
	put("other", "listen = {b, c}\n");
	assert_int_equal(read_dir("main"), 0);
	assert_string_equal(listens(), "b c d");
	put("other", "listen = {}\n");
	assert_int_equal(read_dir("main"), 0);
	assert_string_equal(listens(), "d");
	put("main", "include = other\nlisten = {e, f}\n");
	assert_int_equal(read_dir("main"), 0);
	assert_string_equal(listens(), "e f");
	put("main", "include = other\n");
	assert_int_equal(read_dir("main"), 0);
	assert_string_equal(listens(), "");
}

static void a_pattern_is_read_in_the_order_of_names(void **unused)
{
	char absolute[128];

	put("main", "listen = {}\ninclude = \"conf.d/*.conf\"\n");
	put("conf.d/20.conf", "listen += b\n");
	put("conf.d/10.conf", "listen += a\n");
	put("conf.d/30.conf", "listen += c\n");
	put("conf.d/40.conf~", "listen += d\n");
	put("conf.d/.50.conf", "listen += e\n");
	assert_int_equal(read_dir("main"), 0);
	assert_string_equal(listens(), "a b c");
	snprintf(absolute, sizeof(absolute), "listen = {}\ninclude = '%s/conf.d/[23]0.conf'\n", dir);
	put("main", absolute);
	assert_int_equal(read_dir("main"), 0);
	assert_string_equal(listens(), "b c");
}

static void a_pattern_may_match_nothing(void **unused)
{
	put("main", "include = \"conf.d/*.conf\"\nworkers = 3\n");
	assert_int_equal(read_dir("main"), 0);
	put("conf.d/other", "workers = 4\n");
	assert_int_equal(read_dir("main"), 0);
	assert_int_equal(settings.workers, 3);
}

static void a_directory_whose_name_is_a_pattern_is_just_a_name(void **unused)
{
	put("[ab]*/main", "include = \"*.conf\"\ninclude = \"plain\"\n");
	put("[ab]*/x.conf", "workers = 4\n");
	put("[ab]*/plain", "tls = yes\n");
	put("abc/x.conf", "workers = 5\n");
	assert_int_equal(read_dir("[ab]*/main"), 0);
	assert_int_equal(settings.workers, 4);
	assert_true(settings.tls);
}

/* The error is at @line of @file, and says @says. */
static void assert_refused(const char *file, unsigned int line, const char *says)
{
	char where[160];

	assert_int_equal(read_dir("main"), -EINVAL);
	print_message("    %s\n", why);
	snprintf(where, sizeof(where), "%s:%u: ", path_of(file), line);
	assert_memory_equal(why, where, strlen(where));
	if (!strstr(why, says))
		fail_msg("'%s' does not say '%s'", why, says);
	assert_null(strchr(why, '\n'));
}

static void errors_name_the_included_file(void **unused)
{
	put("main", "# one\n\ninclude = other\nworkers = 3\n");
	put("other", "tls = yes\nworkres = 3\n");
	assert_refused("other", 2, "did you mean 'workers'?");
	put("other", "host a {\n\nname = wrong\n}\n");
	assert_refused("other", 3, "name: this is wrong");
	put("other", "cert = \"unterminated\n");
	assert_refused("other", 2, "end of file");
	/* After an include, lines count on. */
	put("other", "# one\n# two\n# three\ntls = no\n");
	put("main", "# one\n\ninclude = other\nworkers = many\n");
	assert_refused("main", 4, "'many'");
}

static void what_cannot_be_included_is_named(void **unused)
{
	put("main", "tls = yes\ninclude = missing\n");
	assert_refused("main", 2, "missing: No such file");
	put("sub/x", "");
	put("main", "tls = yes\ninclude = sub\n");
	assert_refused("main", 2, "Is a directory");
	put("main", "include = {a, b}\n");
	assert_refused("main", 1, "");
	put("main", "include += a\n");
	assert_refused("main", 1, "include");
	put("main", "include\n");
	assert_refused("main", 2, "");
}

static void circles_are_refused(void **unused)
{
	put("main", "\ninclude = main\n");
	assert_refused("main", 2, "being read already");
	put("main", "include = conf.d/a\n");
	put("conf.d/a", "\n\ninclude = \"../conf.d/*\"\n");
	assert_refused("conf.d/a", 3, "being read already");
	put("conf.d/a", "include = \"../main\"\n");
	assert_refused("conf.d/a", 1, "being read already");
	/* Twice is no circle. */
	put("main", "listen = {}\ninclude = conf.d/a\ninclude = conf.d/a\n");
	put("conf.d/a", "listen += a\n");
	assert_int_equal(read_dir("main"), 0);
	assert_string_equal(listens(), "a a");
}

static void depth_is_limited(void **unused)
{
	char name[] = "0", text[] = "include = 1\n";

	put("main", "include = 0\n");
	for (; *name < '8'; ++*name) {
		text[sizeof(text) - 3] = (char)(*name + 1);
		put(name, text);
	}
	put("7", "workers = 7\n");
	assert_int_equal(read_dir("main"), 0);
	assert_int_equal(settings.workers, 7);
	put("7", "include = 8\n");
	put("8", "workers = 8\n");
	assert_refused("7", 1, "8 files deep");
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_block_has_a_title_and_entries),
		TEST(the_last_assignment_in_a_block_counts),
		TEST(blocks_of_one_title_are_as_many_blocks),
		TEST(a_list_on_the_command_line_replaces_the_blocks_beside_it),
		TEST(every_bad_line_of_a_block_is_named),
		FILE_TEST(a_file_is_read_in_the_place_of_its_include),
		FILE_TEST(a_list_may_be_replaced_on_either_side),
		FILE_TEST(a_pattern_is_read_in_the_order_of_names),
		FILE_TEST(a_pattern_may_match_nothing),
		FILE_TEST(a_directory_whose_name_is_a_pattern_is_just_a_name),
		FILE_TEST(errors_name_the_included_file),
		FILE_TEST(what_cannot_be_included_is_named),
		FILE_TEST(circles_are_refused),
		FILE_TEST(depth_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
