/* SPDX-License-Identifier: MIT */
/* What the user asked for. Filled once by main.c from the table in options.c, read-only from then on. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "base/opt.h"

/* What is sent on a connection of `idle` and `churn`. */
enum request_kind { REQUEST_AUTO, REQUEST_NONE, REQUEST_ECHO, REQUEST_HTTP };

struct settings {
	unsigned int connections;
	uint64_t duration_us, warmup_us, timeout_us, deadline_us;
	unsigned int rate, connect_rate; /* per second; 0: as fast as it goes */
	uint64_t max_lag_us;
	int request; /* enum request_kind */
	uint64_t size;
	char *path;
	struct opt_list headers;
	bool tls, insecure, resume;
	char *ca, *server_name;
	char *engine;
	struct opt_list server_pids;
	char *json, *csv, *hgrm;
	bool help, version;
};

extern const struct opt_program taio_load_program;

#endif
