/* SPDX-License-Identifier: MIT */
/* The target's text taken apart and resolved. Called once at start-up. */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

/* A path that would break the request line or a header out of it must not get there. */
static bool is_clean(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static int url_parse(struct target *target, const struct scheme *scheme, char *hostport, size_t len)
{
	const char *from = target->text + strlen(scheme->prefix);
	size_t authority = strcspn(from, "/?#");

	if (!authority || authority >= sizeof(target->authority) || memchr(from, '@', authority))
		return -EINVAL;
	if ((from[authority] && from[authority] != '/') || strchr(from, '#') || !is_clean(from))
		return -EINVAL;
	snprintf(target->authority, sizeof(target->authority), "%.*s", (int)authority, from);
	if (has_port(target->authority))
		snprintf(hostport, len, "%s", target->authority);
	else
		snprintf(hostport, len, "%s:%s", target->authority, scheme->port);
	target->is_url = true;
	target->is_tls = scheme->is_tls;
	target->path = from[authority] ? from + authority : "/";
	return 0;
}

int target_parse(struct target *target, const char *text, char *why)
{
	const struct scheme *scheme = scheme_of(text);
	char reason[ADDR_WHY_LEN] = "", hostport[300];
	unsigned int port = 0;
	int err;

	*target = (struct target){.text = text};
	if (scheme) {
		err = url_parse(target, scheme, hostport, sizeof(hostport));
	} else {
		err = strlen(text) < sizeof(target->authority) && is_clean(text) ? 0 : -EINVAL;
		snprintf(hostport, sizeof(hostport), "%s", text);
		snprintf(target->authority, sizeof(target->authority), "%s", text);
	}
	if (!err)
		err = addr_split(hostport, target->host, sizeof(target->host), &port);
	if (err || !port || !target->host[0]) {
		snprintf(why, TARGET_WHY_LEN,
			 "target '%.200s' is neither HOST:PORT nor http[s]://HOST[:PORT][/PATH]", text);
		return -EINVAL;
	}
	err = addr_resolve(hostport, false, &target->addr, reason);
	if (err)
		snprintf(why, TARGET_WHY_LEN, "%s", reason);
	return err == -EINVAL ? -EADDRNOTAVAIL : err;
}
