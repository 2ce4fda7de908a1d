/* SPDX-License-Identifier: MIT */
/* http and https URLs (RFC 3986, RFC 9110 4.2), as far as a client needs them. */
#ifndef URL_H
#define URL_H

#include <stdbool.h>

#define URL_AUTHORITY_LEN 272
#define URL_PATH_LEN	  8192 /* RFC 9110 4.1 recommends 8000 bytes at least */

/* @authority is as in the field Host, without the scheme's default port; @hostport is for addr_resolve(). */
struct url {
	bool is_tls;	/* the scheme is https */
	char host[256]; /* without brackets: SNI and verification */
	char authority[URL_AUTHORITY_LEN];
	char hostport[URL_AUTHORITY_LEN + 8];
	char path[URL_PATH_LEN]; /* path and query; "/" if there is no path */
};

/* Whether @text starts with a scheme that url_parse() knows. */
bool url_has_scheme(const char *text);

/* Whether @text has blanks or control characters, which would end a line of a request early. */
bool url_has_blanks(const char *text);

/* 0, or -EINVAL with *why saying what is wrong. */
int url_parse(const char *text, struct url *url, const char **why);

#endif
