/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include "base/opt.h"
#include "services.h"
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 32

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

/* Whether @word alone says yes. */
static bool is_switch(const struct service *service, const char *word)
{
	for (const struct opt *row = service->words; row && row->name; row++)
		if (row->type == OPT_BOOL && !strcmp(row->name, word))
			return true;
	return false;
}

static int parse_word(struct listener *l, const char *word, char *why)
{
	const char *value = strchr(word, '=');
	char name[32];

	if (!strcmp(word, "tls")) {
		l->tls = true;
		return 0;
	}
	if (!value && is_switch(l->service, word))
		return parse_own(l, word, "yes", why);
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

	if (sockets_is_handed_over(l->where) || !addr_split(l->where, host, sizeof(host), &port))
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

void listener_close(struct listener *l)
{
	sockets_put(l->sockets);
	if (l->words)
		opt_free(&(struct opt_program){.table = l->service->words}, l->words);
	free(l->words);
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
