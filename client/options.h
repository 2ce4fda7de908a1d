/* SPDX-License-Identifier: MIT */
/* What the command line of taio says, and the tables that read and explain it. */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include "base/opt.h"

enum proxy_protocol { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };

struct settings {
	char *engine;
	uint64_t timeout_us; /* 0: for ever */
	bool tls;
	bool insecure;
	char *ca;

	char *output; /* get */
	bool head;
	int proxy_protocol; /* enum proxy_protocol */

	unsigned int count; /* ping */
	uint64_t interval_us;
	uint64_t size;
	bool verbose;
	bool resume;

	uint64_t after_us; /* cancel-read */

	bool names, working; /* engines */

	char *admin; /* stats, top: "unix:/PATH" or a URL */
	uint64_t delay_us;
	int sort; /* index of sort_names */
	unsigned int rows;
	bool json;

	int policy;	/* run: index of policy_names */
	char **program; /* and its arguments, ended by NULL; argv's */

	bool help, version, man;
};

/* Each command: its row of taio_program.commands, and NAME_run() in NAME.c. */
// clang-format off
#define COMMANDS(X)                  \
	X(ENGINES, engines)          \
	X(CAT, cat)                  \
	X(GET, get)                  \
	X(PING, ping)                \
	X(CANCEL_READ, cancel_read)  \
	X(STATS, stats)              \
	X(TOP, top)                  \
	X(RUN, run)
// clang-format on

#define COMMAND_ID(id, name) COMMAND_##id,
enum command { COMMANDS(COMMAND_ID) COMMAND_COUNT };
#undef COMMAND_ID

extern const struct opt_program taio_program;

/* The module's policies by number, ended by NULL. */
extern const char *const policy_names[];

/* What taiod lists first (?sort=), ended by NULL. */
enum sort { SORT_WAITS, SORT_IDLE, SORT_AGE, SORT_BYTES, SORT_NEWEST, SORT_COUNT };
extern const char *const sort_names[];

/* The only commands that take @opt, as "stats and top"; NULL: all do. */
const char *option_owners(const struct opt *opt);
/* Whether @command is one of them. */
bool option_is_of(const char *owners, const char *command);

#endif
