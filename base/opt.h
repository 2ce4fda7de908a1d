/* SPDX-License-Identifier: MIT */
/*
 * Options as one table: a row is the command-line option, the configuration key, the line of --help and
 * the paragraph of the manual. Used by taiod, taio and taio-load.
 *
 * Values go into a plain struct at opt.offset, typed by opt.type. The command line overrides the file.
 */
#ifndef OPT_H
#define OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum opt_type {
	OPT_BOOL,     /* bool; on the command line: --name, --no-name or --name=yes|no|true|false|on|off */
	OPT_UINT,     /* unsigned int, min..max */
	OPT_SIZE,     /* uint64_t bytes; suffix k, m, g (powers of 1024) */
	OPT_DURATION, /* uint64_t microseconds; suffix us, ms, s (default), m, h; fractions allowed */
	OPT_STRING,   /* char *, owned by the struct (opt_free) */
	OPT_ENUM,     /* int: index into opt.choices, NULL-terminated */
	OPT_LIST,     /* struct opt_list; may be repeated */
	OPT_ACTION,   /* bool, command line only: -t, --help, --version, --dump-config */
	OPT_BLOCKS,   /* struct opt_blocks, file only: NAME "TITLE" { KEY = VALUE ... }; may be repeated */
};

/* What a reload does with a value that differs from the one in effect. */
enum opt_reload {
	OPT_RELOAD_NONE,    /* nothing: the program never reloads, or the row is an action */
	OPT_RELOAD_APPLY,   /* puts it into effect */
	OPT_RELOAD_RESTART, /* says that it requires a restart; so do the manual and the sample */
};

struct opt_list {
	char **items;
	size_t len;
};

/* What a block of the file holds: a value, or an item of a list, is an entry each, in the order of the file.
 */
struct opt_entry {
	char *name, *text;
	unsigned int line; /* where it was read */
};

struct opt_block {
	char *title;
	struct opt_entry *entries;
	size_t len;
};

struct opt_blocks {
	struct opt_block *items;
	size_t len;
};

struct opt {
	const char *name; /* "idle-timeout" */
	char key;	  /* short form, or 0 */
	enum opt_type type;
	size_t offset;	   /* offsetof(struct settings, idle_us) */
	const char *arg;   /* "DURATION", for --help and the manual */
	const char *deflt; /* in the option's own syntax (OPT_LIST: one item); NULL: unset, zero */
	uint64_t min, max; /* OPT_UINT, OPT_SIZE, OPT_DURATION (us); max 0: no bound */
	const char *const *choices;
	const char *bare;    /* what the command line's --name without =VALUE means; NULL: it needs a value */
	const char *section; /* heading in help and manual; a new one starts a group, NULL continues it */
	const char *help;    /* one sentence for --help, in the user's words */
	const char *more;    /* further text for the manual and the sample configuration, or NULL */
	/* Checks one value of an OPT_STRING or OPT_LIST beyond its type: 0, or -EINVAL and what is wrong with
	 * it in why[OPT_WHY_LEN]. */
	int (*check)(const char *text, char *why);
	enum opt_reload on_reload;
	bool argv_only; /* not a key of the configuration file: --config itself; implied by OPT_ACTION */
	/*
	 * OPT_BLOCKS: the keys of a block, ended by a row without name, of which only name, type, arg, deflt
	 * and section (a condition that begins a group, such as "with http") matter.
	 */
	const struct opt *keys;
	const char
		*beside; /* OPT_BLOCKS: an OPT_LIST that, given on the command line, replaces them, or NULL */
	/* Checks a block that has been read: 0, or -EINVAL, what is wrong in why[OPT_WHY_LEN], and in *at the
	 * index of the entry that is (its length: none of them). */
	int (*check_block)(const struct opt_block *block, size_t *at, char *why);
};

/* A command of a program that has several: the first operand. */
struct opt_command {
	const char *name;     /* "get" */
	const char *operands; /* "URL", or "" */
	const char *help;     /* for --help, one sentence */
	const char *more;     /* manual text, or NULL */
};

/*
 * A program: its table (ended by a row without name) and the text of its manual around it.
 *
 * Manual text contains no roff: it is paragraphs separated by empty lines. One whose lines begin with a blank
 * is shown verbatim (examples); one whose lines are "term<TAB>text" becomes a list; name(7) becomes a
 * reference (mandoc wants those of SEE ALSO ordered by section, then by name).
 */
struct opt_program {
	const char *name; /* "taiod" */
	unsigned int man_section;
	const char *brief;	     /* "TCP/TLS daemon over io_submit" */
	const char *const *synopsis; /* usage lines after the name, NULL-terminated */
	const struct opt *table;
	const struct opt_command *commands; /* ended by a row without name; NULL: the program has none */
	const char *commands_title;	    /* in the help, such as Commands */
	const char *description;	    /* manual text */
	const char
		*epilogue; /* manual sections: each a paragraph that begins with a line "HEADING:", or NULL */
};

/*
 * Errors are one line in why[OPT_WHY_LEN]: where (file:line, or the option), what is wrong, and the remedy.
 */
#define OPT_WHY_LEN 1024

/* Sets every field of the table, whatever it held. -ENOMEM; -EINVAL: a row rejects its own default. */
int opt_defaults(const struct opt_program *program, void *settings);

/*
 * Reads a libconfuse file whose keys are the table's names (lists: listen = {"...", "..."} or listen +=
 * "..."). -EINVAL for an unknown key or a bad value, with FILE:LINE in why; -errno if it cannot be read.
 * Values before the error have been set by then: a reload reads into a fresh struct. One thread at a time.
 *
 * The key include names a file that is read in its place, or a pattern (glob(7)): then all files that match
 * are, in the order of their names, possibly none. A relative name starts from the directory of the file that
 * it is in.
 */
int opt_file(const struct opt_program *program, void *settings, const char *file, char *why);

/*
 * Parses argv (GNU order: options and operands mix, -- ends options). Operands are moved to the front of
 * argv[1..] and their number returned; -EINVAL with why. A first list item on the command line
 * replaces the list of the file. An argv without operands is left unchanged, to be parsed again on reload.
 * One thread at a time (getopt_long(3)).
 */
int opt_argv(const struct opt_program *program, void *settings, int argc, char **argv, char *why);

/*
 * The last value of option @name in argv (a bool or action: "yes" or "no"), NULL if it is not given or
 * follows a mistake that opt_argv() will report. Changes nothing: it is there to find --config.
 */
const char *opt_argv_peek(const struct opt_program *program, int argc, char **argv, const char *name);

/* Sets the one option @name. -ENOENT: there is none; -EINVAL, -ERANGE or -ENOMEM with why. */
int opt_set(const struct opt_program *program, void *settings, const char *name, const char *text, char *why);

void opt_free(const struct opt_program *program, void *settings);

/* Copies every value of the table. -ENOMEM: those that follow are as they were. Not for OPT_BLOCKS. */
int opt_copy(const struct opt_program *program, const void *from, void *to);

/* Does @row have the same value in both? A list in another order differs, and an unset string from "". */
bool opt_equal(const struct opt *row, const void *a, const void *b);

typedef void opt_change_fn(void *arg, const struct opt *row);

/* Calls @fn for each row whose value differs between the two, in the table's order. */
void opt_changes(const struct opt_program *program, const void *old_settings, const void *new_settings,
		 opt_change_fn *fn, void *arg);

void opt_help(const struct opt_program *program, FILE *to);
void opt_man(const struct opt_program *program, FILE *to);    /* mdoc; passes `mandoc -Tlint -Wwarning` */
void opt_sample(const struct opt_program *program, FILE *to); /* a configuration file, every key commented */
void opt_dump(const struct opt_program *program, const void *settings,
	      FILE *to); /* the effective configuration, as opt_file() reads it */

/* Parsers of one value, for listener sub-options and tests. 0 or -EINVAL / -ERANGE. */
int opt_parse_duration(const char *text, uint64_t *us);
int opt_parse_size(const char *text, uint64_t *bytes);
int opt_parse_uint(const char *text, uint64_t *value);

#endif
