/* SPDX-License-Identifier: MIT */
/* From a request target to a path relative to the root. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "chars.h"
#include "refusal.h"

#include <stdbool.h>

#define HTTP_PATH_MAX 4096

/* A normalised path without a slash at either end: "" is the root. */
struct http_path {
	struct span path;  /* points into the target, or into @text */
	struct span query; /* with its '?', or empty */
	bool is_dir;	   /* the target ended in a slash */
	char text[HTTP_PATH_MAX];
};

/* From origin-form or absolute-form. */
const struct http_refusal *http_target_path(struct span target, struct http_path *path);

#endif
