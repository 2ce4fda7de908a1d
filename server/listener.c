/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include "base/opt.h"
#include "services.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define FD_PREFIX "fd:"
#define WORDS_MAX 32

static bool is_handed_over(const char *where)
{
	return !strncmp(where, FD_PREFIX, strlen(FD_PREFIX));
}

static const struct service *service_find(const char *name)
{
	for (const struct service *const *s = services; *s; s++)
		if (strcmp((*s)->name, name) == 0)
			return *s;
	return NULL;
}

static int no_service(const char *name, char *why)
{
	int len = snprintf(why, LISTENER_WHY_LEN, "unknown service '%.100s'; use one of", name);

	for (int i = 0; services[i]; i++)
		len += snprintf(why + len, (size_t)(LISTENER_WHY_LEN - len), "%s %s", i ? "," : "",
				services[i]->name);
	return -EINVAL;
}

static int not_understood(const struct listener *l, const char *word, char *why)
{
	int len = snprintf(
		why, LISTENER_WHY_LEN,
		"unknown field '%.100s'; a listener is ADDRESS:PORT or fd:NAME, then any of ,service=NAME "
		",tls ,cert=FILE ,key=FILE",
		word);

	for (const struct opt *row = l->service->words; row && row->name && len < LISTENER_WHY_LEN; row++)
		len += snprintf(why + len, (size_t)(LISTENER_WHY_LEN - len), " ,%s=%s", row->name, row->arg);
	return -EINVAL;
}

/* A word that belongs to the service. */
static int parse_own(struct listener *l, const char *name, const char *value, char *why)
{
	struct opt_program program = {.table = l->service->words};
	char reason[OPT_WHY_LEN];
	int ret = l->words ? opt_set(&program, l->words, name, value, reason) : -ENOENT;

	if (ret == -ENOENT)
		return not_understood(l, name, why);
	if (ret)
		snprintf(why, LISTENER_WHY_LEN, "%s %.400s", name, reason);
	return ret;
}

static int parse_word(struct listener *l, const char *word, char *why)
{
	const char *value = strchr(word, '=');
	char name[32];

	if (!strcmp(word, "tls")) {
		l->tls = true;
		return 0;
	}
	if (!value || !value[1] || value - word >= (ptrdiff_t)sizeof(name))
		return not_understood(l, word, why);
	*(char *)mempcpy(name, word, (size_t)(value - word)) = '\0';
	value++;
	if (!strcmp(name, "service"))
		return 0; /* parse_service() */
	if (!strcmp(name, "cert"))
		l->cert = value;
	else if (!strcmp(name, "key"))
		l->key = value;
	else
		return parse_own(l, name, value, why);
	return 0;
}

/* The last service named counts; it determines which other words are allowed. */
static int parse_service(struct listener *l, const char *const *words, unsigned int nwords, char *why)
{
	struct opt_program program;

	for (unsigned int i = 0; i < nwords; i++) {
		if (strncmp(words[i], "service=", 8) != 0 || !words[i][8])
			continue;
		l->service = service_find(words[i] + 8);
		if (!l->service)
			return no_service(words[i] + 8, why);
	}
	if (!l->service->words)
		return 0;
	program = (struct opt_program){.table = l->service->words};
	l->words = calloc(1, l->service->words_size);
	if (!l->words || opt_defaults(&program, l->words)) {
		snprintf(why, LISTENER_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

static int parse_words(struct listener *l, char *rest, char *why)
{
	const char *words[WORDS_MAX];
	unsigned int nwords = 0;
	int ret;

	while (rest && nwords < WORDS_MAX)
		words[nwords++] = strsep(&rest, ",");
	if (rest) {
		snprintf(why, LISTENER_WHY_LEN, "more than %d fields after the address", WORDS_MAX);
		return -EINVAL;
	}
	ret = parse_service(l, words, nwords, why);
	for (unsigned int i = 0; i < nwords && !ret; i++)
		ret = parse_word(l, words[i], why);
	return ret;
}

static int parse_where(const struct listener *l, char *why)
{
	unsigned int port;
	char host[256];

	if (is_handed_over(l->where) || !addr_split(l->where, host, sizeof(host), &port))
		return 0;
	snprintf(why, LISTENER_WHY_LEN,
		 "'%.100s' is not an address: write 127.0.0.1:8080, [::1]:8080, :8080 or fd:NAME", l->where);
	return -EINVAL;
}

int listener_parse(struct listener *l, const char *text, char *why)
{
	char *rest;
	int ret;

	*l = (struct listener){.service = services[0]};
	l->text = rest = strdup(text);
	if (!l->text) {
		snprintf(why, LISTENER_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	l->where = strsep(&rest, ",");
	l->handed_over = is_handed_over(l->where);
	ret = parse_where(l, why);
	if (!ret)
		ret = parse_words(l, rest, why);
	if (!ret && (l->cert || l->key) && !l->tls) {
		snprintf(why, LISTENER_WHY_LEN, "cert= and key= require tls");
		ret = -EINVAL;
	}
	if (ret)
		listener_close(l);
	return ret;
}

int listener_check(const char *text, char *why)
{
	struct listener l;
	int ret = listener_parse(&l, text, why);

	if (!ret)
		listener_close(&l);
	return ret;
}

/* --- sockets --- */

static int bind_one(const union addr *addr, unsigned int backlog)
{
	int one = 1, err, fd;

	fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (addr->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &addr->sa, addr_len(addr)) < 0 || listen(fd, (int)backlog) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int bound_to(int fd, union addr *addr)
{
	socklen_t len = sizeof(*addr);

	return getsockname(fd, &addr->sa, &len) < 0 ? -errno : 0;
}

static int open_address(struct listener *l, unsigned int nworkers, unsigned int backlog, char *why)
{
	char reason[ADDR_WHY_LEN];
	int fd, ret = addr_resolve(l->where, true, &l->addr, reason);

	if (ret) {
		snprintf(why, LISTENER_WHY_LEN, "%s", reason);
		return ret;
	}
	for (l->nfds = 0; l->nfds < nworkers; l->nfds++) {
		fd = bind_one(&l->addr, backlog);
		ret = fd < 0 ? fd : 0;
		if (!ret)
			l->fds[l->nfds] = fd;
		if (!ret && !l->nfds)
			ret = bound_to(fd, &l->addr);
		if (ret) {
			snprintf(why, LISTENER_WHY_LEN, "cannot listen on %s: %s", l->where, strerror(-ret));
			return ret;
		}
	}
	return 0;
}

/* The descriptor that the service manager passed under @name, or -ENOENT. */
static int find_handed_over(const char *name)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), found = -ENOENT;

	for (int i = 0; i < n; i++) {
		if (found < 0 && !strcmp(names[i], name))
			found = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	return found;
}

static int open_handed_over(struct listener *l, unsigned int nworkers, char *why)
{
	int fd = find_handed_over(l->where + strlen(FD_PREFIX));

	if (fd < 0) {
		snprintf(why, LISTENER_WHY_LEN,
			 "%s: systemd passed no socket of that name; set FileDescriptorName= in the socket "
			 "unit",
			 l->where);
		return fd;
	}
	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
		snprintf(why, LISTENER_WHY_LEN, "%s: descriptor %d is not a listening stream socket",
			 l->where, fd);
		return -EINVAL;
	}
	for (unsigned int i = 0; i < nworkers; i++) {
		l->fds[i] = i ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : fd;
		if (l->fds[i] < 0)
			break;
		l->nfds++;
	}
	if (l->nfds < nworkers || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
		snprintf(why, LISTENER_WHY_LEN, "%s: %s", l->where, strerror(errno));
		return -errno;
	}
	return bound_to(fd, &l->addr);
}

int listener_open(struct listener *l, unsigned int nworkers, unsigned int backlog, char *why)
{
	l->fds = calloc(nworkers, sizeof(*l->fds));
	if (!l->fds) {
		snprintf(why, LISTENER_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	return l->handed_over ? open_handed_over(l, nworkers, why) : open_address(l, nworkers, backlog, why);
}

void listener_close_fd(struct listener *l, unsigned int i)
{
	if (l->fds[i] >= 0)
		close(l->fds[i]);
	l->fds[i] = -1;
}

void listener_close(struct listener *l)
{
	for (unsigned int i = 0; i < l->nfds; i++)
		listener_close_fd(l, i);
	if (l->words)
		opt_free(&(struct opt_program){.table = l->service->words}, l->words);
	free(l->words);
	free(l->fds);
	free(l->text);
	*l = (struct listener){0};
}

int listener_verify(const struct listener *l, char *why)
{
	char reason[256];
	int ret = l->service->verify && l->words ? l->service->verify(l->words, reason) : 0;

	if (ret)
		snprintf(why, LISTENER_WHY_LEN, "%s: %s", l->where, reason);
	return ret;
}
