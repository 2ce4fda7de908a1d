/* SPDX-License-Identifier: MIT */
/* Parses and resolves the target, once at start-up. */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* Maximum addresses of a name that are tried. */
#define ADDRS_MAX 8

struct scheme {
	const char *prefix;
	const char *port;
	bool is_tls;
};

static const struct scheme schemes[] = {
	{.prefix = "http://", .port = "80"},
	{.prefix = "https://", .port = "443", .is_tls = true},
};

static const struct scheme *scheme_of(const char *text)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (!strncasecmp(text, schemes[i].prefix, strlen(schemes[i].prefix)))
			return &schemes[i];
	}
	return NULL;
}

static bool has_port(const char *authority)
{
	const char *colon = strrchr(authority, ':');

	return colon && !strchr(colon, ']') && (authority[0] == '[' || colon == strchr(authority, ':'));
}

/* Control characters and spaces could break the request line or add a header. */
static bool is_clean(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static int url_parse(struct target *target, const struct scheme *scheme)
{
	size_t len = sizeof(target->hostport);
	const char *from = target->text + strlen(scheme->prefix);
	size_t authority = strcspn(from, "/?#");

	if (!authority || authority >= sizeof(target->authority) || memchr(from, '@', authority))
		return -EINVAL;
	if ((from[authority] && from[authority] != '/') || strchr(from, '#') || !is_clean(from))
		return -EINVAL;
	snprintf(target->authority, sizeof(target->authority), "%.*s", (int)authority, from);
	if (has_port(target->authority))
		snprintf(target->hostport, len, "%s", target->authority);
	else
		snprintf(target->hostport, len, "%s:%s", target->authority, scheme->port);
	target->is_url = true;
	target->is_tls = scheme->is_tls;
	target->path = from[authority] ? from + authority : "/";
	return 0;
}

int target_parse(struct target *target, const char *text, char *why)
{
	const struct scheme *scheme = scheme_of(text);
	unsigned int port = 0;
	int err;

	*target = (struct target){.text = text};
	if (scheme) {
		err = url_parse(target, scheme);
	} else {
		err = strlen(text) < sizeof(target->authority) && is_clean(text) ? 0 : -EINVAL;
		snprintf(target->hostport, sizeof(target->hostport), "%s", text);
		snprintf(target->authority, sizeof(target->authority), "%s", text);
	}
	if (!err)
		err = addr_split(target->hostport, target->host, sizeof(target->host), &port);
	if (!err && port && target->host[0])
		return 0;
	snprintf(why, TARGET_WHY_LEN,
		 "invalid target '%.200s'; use HOST:PORT or http[s]://HOST[:PORT][/PATH]", text);
	return -EINVAL;
}

static bool accepts(const union addr *addr)
{
	struct timeval timeout = {.tv_sec = 1}; /* also limits connect(2); see socket(7) */
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected;

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	connected = !connect(fd, &addr->sa, addr_len(addr));
	close(fd);
	return connected;
}

int target_resolve(struct target *target, char *why)
{
	union addr addrs[ADDRS_MAX];
	char reason[ADDR_WHY_LEN] = "";
	int n = addr_resolve_all(target->hostport, false, addrs, ADDRS_MAX, reason);

	if (n < 0) {
		snprintf(why, TARGET_WHY_LEN, "%s", reason);
		return n == -EINVAL ? -EADDRNOTAVAIL : n;
	}
	target->addr = addrs[0];
	for (int i = 0; n > 1 && i < n; i++) {
		if (!accepts(&addrs[i]))
			continue;
		target->addr = addrs[i];
		break;
	}
	return 0;
}
