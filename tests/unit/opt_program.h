/* SPDX-License-Identifier: MIT */
/* A program that has an option of every type, for the tests of opt: its settings, and what they are read
 * from. */
#ifndef OPT_PROGRAM_H
#define OPT_PROGRAM_H

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
	struct opt_blocks hosts;
};

static const char *const policies[] = {"refuse", "backlog", "close-oldest", NULL};

static const struct opt host_keys[] = {
	{.name = "name", .type = OPT_STRING, .arg = "NAME"},
	{.name = "size", .type = OPT_SIZE, .arg = "SIZE", .deflt = "4k"},
	{.name = "alias", .type = OPT_LIST, .arg = "NAME"},
	{.name = "quiet", .type = OPT_BOOL, .deflt = "no", .section = "with aliases"},
	{0},
};

static inline int check_host(const struct opt_block *block, size_t *at, char *reason)
{
	for (*at = 0; *at < block->len; ++*at) {
		if (!strcmp(block->entries[*at].text, "wrong")) {
			snprintf(reason, OPT_WHY_LEN, "this is wrong");
			return -EINVAL;
		}
	}
	snprintf(reason, OPT_WHY_LEN, "there is nobody");
	return strcmp(block->title, "nobody") ? 0 : -EINVAL;
}

// clang-format off
static const struct opt table[] = {
	{"config", 'c', OPT_STRING, offsetof(struct settings, config), .arg = "FILE", .section = "General",
	 .help = "Configuration file.", .argv_only = true},
	{"listen", 'l', OPT_LIST, offsetof(struct settings, listen), .arg = "ADDRESS[,KEY=VALUE]", .deflt = ":7",
	 .on_reload = OPT_RELOAD_RESTART, .help = "Where to listen.", .more = "May be repeated. As here:\n\n  --listen :80\n  --listen :81\n\nSee ip(7)."},
	{"host", 0, OPT_BLOCKS, offsetof(struct settings, hosts), .arg = "NAME", .keys = host_keys, .check_block = check_host,
	 .beside = "listen", .on_reload = OPT_RELOAD_APPLY, .help = "A host of many keys.", .more = "As here:\n\n  host a { }"},
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

static inline int setup(void **unused)
{
	memset(&settings, 0xaa, sizeof(settings)); /* opt_defaults() must not rely on zeroes */
	memset(why, 0, sizeof(why));
	return opt_defaults(&program, &settings);
}

static inline int teardown(void **unused)
{
	opt_free(&program, &settings);
	return 0;
}

#define ARGV(...) ((char *[]){"opt_test", __VA_ARGS__, NULL})

static inline int parse_into(struct settings *into, char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return opt_argv(&program, into, argc, argv, why);
}

static inline int parse(char **argv)
{
	return parse_into(&settings, argv);
}

static inline int parse_file(const char *text, char *name)
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
