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

/* HOST:PORT, as a URL that has neither scheme nor path. */
static int parse_hostport(const char *text, struct url *url, const char **why)
{
	unsigned int port;

	*why = "use HOST:PORT or http[s]://HOST[:PORT][/PATH]";
	if (strlen(text) >= sizeof(url->authority) || url_has_blanks(text))
		return -EINVAL;
	snprintf(url->authority, sizeof(url->authority), "%s", text);
	snprintf(url->hostport, sizeof(url->hostport), "%s", text);
	if (addr_split(text, url->host, sizeof(url->host), &port) || !port || !url->host[0])
		return -EINVAL;
	return 0;
}

int target_parse(struct target *target, const char *text, char *why)
{
	const char *reason;
	int err;

	*target = (struct target){.text = text, .is_url = url_has_scheme(text)};
	if (target->is_url)
		err = url_parse(text, &target->url, &reason);
	else
		err = parse_hostport(text, &target->url, &reason);
	if (err)
		snprintf(why, TARGET_WHY_LEN, "invalid target '%.200s': %s", text, reason);
	return err;
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
	int n = addr_resolve_all(target->url.hostport, false, addrs, ADDRS_MAX, reason);

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
