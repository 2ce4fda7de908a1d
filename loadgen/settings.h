/* SPDX-License-Identifier: MIT */
/* What the user asked for. main.c fills it once from the table in options.c; read-only from then on. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "base/opt.h"

/* Room for any message that says why a run cannot start or has failed. */
#define WHY_LEN 512

/* --request: what is sent on a connection of modes without a protocol of their own. */
enum request_kind {
	REQUEST_AUTO,
	REQUEST_NONE,
	REQUEST_PROTO, /* + index into protos[] */
};

/* --on-close: what becomes of a connection that has ended before the run. */
enum on_close {
	ON_CLOSE_REOPEN,
	ON_CLOSE_STOP, /* it is out of the run, unless the server had announced the close */
};

struct settings {
	unsigned int connections;
	uint64_t duration_us, warmup_us, timeout_us, deadline_us;
	unsigned int rate, connect_rate; /* per second; 0: as fast as possible */
	uint64_t max_lag_us;
	int on_close; /* enum on_close */
	int request;  /* enum request_kind */
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

#endif
