/* SPDX-License-Identifier: MIT */
/* Whom to load: HOST:PORT or a URL. */
#ifndef TARGET_H
#define TARGET_H

#include "base/addr.h"

#define TARGET_WHY_LEN 512

struct target {
	const char *text;    /* as the user wrote it */
	bool is_url, is_tls; /* is_tls: the scheme is https */
	char host[256];	     /* without brackets: SNI and verification */
	char authority[272]; /* the Host header */
	const char *path;    /* of the URL, or NULL; points into text */
	char hostport[300];  /* for addr_resolve() */
	union addr addr;
};

/* Takes @text apart, which must stay. -EINVAL with why[TARGET_WHY_LEN]: malformed. */
int target_parse(struct target *target, const char *text, char *why);

/*
 * Fills addr. Of several addresses ("localhost" is often two) the first that accepts a connection is taken,
 * else the first. May block on DNS and, of several addresses, on connect(2). -errno with why.
 */
int target_resolve(struct target *target, char *why);

#endif
