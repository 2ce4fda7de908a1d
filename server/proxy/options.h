/* SPDX-License-Identifier: MIT */
/* The options of the service proxy, and its fields of a listener. */
#ifndef PROXY_OPTIONS_H
#define PROXY_OPTIONS_H

#include "base/opt.h"

#include <stdbool.h>
#include <stdint.h>

struct plan;

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONN };
enum send_proxy { SEND_PROXY_OFF, SEND_PROXY_V1, SEND_PROXY_V2 };

struct proxy_options {
	uint64_t lifetime_us; /* 0: none */
	uint64_t rest_us;
};

struct proxy_words {
	struct opt_list to; /* checked by place_check() */
	int balance;	    /* enum balance */
	int send_proxy;	    /* enum send_proxy */
	uint64_t check_us;  /* 0: none */
	bool sni_route, to_tls;
	int verify; /* 0 or 1 */
	char *sni_map, *ca, *server_name, *client_cert, *client_key;
	struct opt_list to_alpn;
	struct plan *plan; /* made of these words (plan.h); NULL until they are prepared */
};

extern const struct opt proxy_options[], proxy_words[];

#endif
