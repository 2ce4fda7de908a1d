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
	union addr addr;
};

/* Parses and resolves; @text must stay. -EINVAL: malformed; another -errno: does not resolve. Both with why.
 */
int target_parse(struct target *target, const char *text, char *why);

#endif
