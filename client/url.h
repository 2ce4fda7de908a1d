/* SPDX-License-Identifier: MIT */
/* http and https URLs (RFC 3986, RFC 9110 4.2), as far as a client of one request needs them. */
#ifndef CLIENT_URL_H
#define CLIENT_URL_H

#include <stdbool.h>

#define URL_MAX 2048

struct url {
	bool tls;
	char host[256];	      /* as the Host field has it: with brackets and a port that is not the default */
	char target[256 + 8]; /* HOST:PORT to connect to */
	char path[URL_MAX];   /* path and query; "/" if there is none */
};

/* 0, or -EINVAL with *why saying what is wrong. */
int url_parse(const char *text, struct url *url, const char **why);

#endif
