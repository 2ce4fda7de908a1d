/* SPDX-License-Identifier: MIT */
/* Media types by file name. */
#ifndef HTTP_MIME_H
#define HTTP_MIME_H

#include <stddef.h>

/*
 * A static string for the extension of @path[0..len), whatever its case; application/octet-stream if
 * unknown.
 */
const char *mime_type(const char *path, size_t len);

#endif
