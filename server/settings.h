/* SPDX-License-Identifier: MIT */
/*
 * The values of the option table (options.c); read-only once the workers run. Durations are in
 * microseconds.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "base/opt.h"
#include "timeout.h"

#include <stdbool.h>
#include <stdint.h>

enum when_full { FULL_REFUSE, FULL_WAIT, FULL_EVICT };

struct settings {
	/* actions */
	bool check, dump_config, show_man, show_help, show_version, sample_config;
	char *config;

	struct opt_list listen;
	char *port_file;
	unsigned int backlog;

	char *engine;
	unsigned int workers;
	unsigned int ring_entries;
	unsigned int helpers;
	bool reap_syscall;

	uint64_t timeout_us[DEADLINE_NCLASSES]; /* timeout.h; 0: never */
	uint64_t drain_us;

	unsigned int max_connections;
	int when_full; /* enum when_full */
	uint64_t conn_memory;
	uint64_t send_min_rate; /* bytes per second that a peer takes of its output; 0: any */

	char *cert, *key, *state_dir, *tls_min, *tls_keylog;
	struct opt_list ticket_keys;

	int log_level;
	char *stats_file;
};

#endif
