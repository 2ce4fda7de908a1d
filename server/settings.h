/* SPDX-License-Identifier: MIT */
/*
 * The values of the option table (options.c); read-only once the workers run. Durations are in
 * microseconds.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "base/opt.h"
#include "limits.h"

#include <stdbool.h>
#include <stdint.h>

struct service;

#define RING_ENTRIES_MAX (1 << 20) /* taio_open() takes no more */

struct settings {
	/* actions */
	bool check, dump_config, show_man, show_help, show_version, sample_config;
	unsigned int reload_pid; /* --reload; 0: not asked for */
	char *config;

	struct opt_list listen;	     /* in one line each */
	struct opt_blocks listeners; /* in a block of the file each */
	char *port_file;

	char *engine;
	unsigned int workers;
	unsigned int ring_entries;
	unsigned int helpers;
	bool reap_syscall;

	struct limits limits; /* of listeners without their own */
	uint64_t drain_us;
	uint64_t upgrade_us;	      /* 0: as long as they last */
	unsigned int max_connections; /* of all listeners together */
	uint64_t max_memory;	      /* bytes, of the process; 0: any number */
	unsigned int max_per_address; /* 0: any number */
	char *address_prefix;	      /* checked by census_check_prefix() */

	char *cert, *key, *cert_dir, *state_dir, *tls_min, *tls_keylog;
	char *client_ca, *client_crl, *client_verify;
	char *tls_ciphers, *tls_ciphersuites, *tls_groups;
	int tls_kernel; /* enum tls_kernel_use (tls/tls.h) */
	struct opt_list ticket_keys;
	bool tls_tickets;
	unsigned int tls_cache;
	unsigned int handshake_threads; /* 0: the workers do it */

	int log_level;
	char *stats_file;
	char *access_log, *access_format; /* NULL: there is none */
	uint64_t access_queue;		  /* bytes, of each worker */
};

/*
 * Room for all options: struct settings, then the services' options. NULL: no memory. Freed by free(), after
 * opt_free().
 */
struct settings *settings_create(void);

/* Where the options of services[@i] are, from the start of the settings. */
size_t settings_offset(unsigned int i);

/* The options of @service (service.h), NULL if it has none. */
const void *settings_of(const struct settings *settings, const struct service *service);

#endif
