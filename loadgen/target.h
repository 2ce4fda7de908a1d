/* SPDX-License-Identifier: MIT */
/* The server to load: HOST:PORT or a URL. */
#ifndef TARGET_H
#define TARGET_H

#include "base/addr.h"
#include "base/url.h"

#define TARGET_WHY_LEN 512

struct target {
	const char *text; /* as the user wrote it */
	bool is_url;
	struct url url; /* without a path for HOST:PORT */
	union addr addr;
};

/* Parses @text, which must outlive @target. 0, or -EINVAL with why[TARGET_WHY_LEN]: malformed. */
int target_parse(struct target *target, const char *text, char *why);

/*
 * Fills addr. If the name has several addresses ("localhost" often has two), uses the first that accepts a
 * connection, or else the first. May block on DNS and, with several addresses, on connect(2). 0, or -errno
 * with why[TARGET_WHY_LEN].
 */
int target_resolve(struct target *target, char *why);

#endif
