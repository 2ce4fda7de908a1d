/* SPDX-License-Identifier: MIT */
/* Splits URLs. Pure. */
#include "url.h"

#include "addr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct scheme {
	const char *prefix;
	bool is_tls;
	const char *port;
} schemes[] = {{"http://", false, "80"}, {"https://", true, "443"}};

static const struct scheme *find_scheme(const char *text)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (!strncasecmp(text, schemes[i].prefix, strlen(schemes[i].prefix)))
			return &schemes[i];
	}
	return NULL;
}

bool url_has_scheme(const char *text)
{
	return find_scheme(text);
}

bool url_has_blanks(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return true;
	}
	return false;
}

/* The authority @text[0..len): where to connect, and what Host says. */
static bool split_authority(const char *text, size_t len, const struct scheme *scheme, struct url *url)
{
	const char *bracket = memchr(text, ']', len), *colon = memrchr(text, ':', len);
	unsigned int port;

	if (colon && bracket && colon < bracket)
		colon = NULL;
	if (colon == text + len - 1) { /* "host:" is the default port */
		len--;
		colon = NULL;
	}
	if (!len || len >= sizeof(url->authority))
		return false;
	snprintf(url->authority, sizeof(url->authority), "%.*s", (int)len, text);
	if (colon)
		snprintf(url->hostport, sizeof(url->hostport), "%s", url->authority);
	else
		snprintf(url->hostport, sizeof(url->hostport), "%s:%s", url->authority, scheme->port);
	if (addr_split(url->hostport, url->host, sizeof(url->host), &port) || !url->host[0] || !port)
		return false;
	if (colon && !strcmp(colon + 1 - text + url->authority, scheme->port))
		url->authority[colon - text] = '\0';
	return true;
}

int url_parse(const char *text, struct url *url, const char **why)
{
	const struct scheme *scheme = find_scheme(text);
	size_t len, path_len;
	int used;

	*why = "it must begin with http:// or https://";
	if (!scheme)
		return -EINVAL;
	*why = "it contains blanks or control characters; percent-encode them (%20)";
	if (url_has_blanks(text))
		return -EINVAL;
	text += strlen(scheme->prefix);
	len = strcspn(text, "/?#");
	*why = "user names and passwords are not supported";
	if (memchr(text, '@', len))
		return -EINVAL;
	*why = "its host or port is malformed";
	if (!split_authority(text, len, scheme, url))
		return -EINVAL;
	url->is_tls = scheme->is_tls;
	text += len;
	path_len = strcspn(text, "#");
	used = snprintf(url->path, sizeof(url->path), "%s%.*s", *text == '/' ? "" : "/", (int)path_len, text);
	*why = "it is too long";
	return used < URL_PATH_LEN ? 0 : -EINVAL;
}
