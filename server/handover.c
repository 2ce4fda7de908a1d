/* SPDX-License-Identifier: MIT */
#include "handover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* Names of taiod's own begin with it. */
#define OWN_PREFIX "listen="

/* FDNAME= of sd_pid_notify_with_fds(3): at most 255 printable characters, none of them a colon. */
#define NAME_LEN 256

/* SCM_MAX_FD of Linux is 253. */
#define SEND_MAX 128

struct entry {
	char *name;
	int fd; /* -1: taken, or closed */
};

/* What the process was started with, in order. */
static struct entry *entries;
static int nentries = -1; /* not asked for yet */

static void read_entries(void)
{
	char **names = NULL;
	int n;

	if (nentries >= 0)
		return;
	n = sd_listen_fds_with_names(0, &names);
	entries = n > 0 ? calloc((size_t)n, sizeof(*entries)) : NULL;
	nentries = entries ? n : 0;
	for (int i = 0; i < nentries; i++)
		entries[i] = (struct entry){names[i], SD_LISTEN_FDS_START + i};
	free(names); /* the strings are the entries' */
}

static bool is_own(const struct entry *entry)
{
	return !strncmp(entry->name, OWN_PREFIX, strlen(OWN_PREFIX));
}

unsigned int handover_count(const char *name)
{
	unsigned int count = 0;

	read_entries();
	for (int i = 0; i < nentries; i++)
		count += !strcmp(entries[i].name, name);
	return count;
}

int handover_fd(const char *name, unsigned int i)
{
	read_entries();
	for (int k = 0; k < nentries; k++)
		if (!strcmp(entries[k].name, name) && !i--)
			return entries[k].fd;
	return -ENOENT;
}

/* Writes the name of a socket at @where to name[NAME_LEN]. False: it would be too long. */
static bool make_name(const char *where, char *name)
{
	size_t len = (size_t)snprintf(name, NAME_LEN, OWN_PREFIX);

	for (const unsigned char *c = (const unsigned char *)where; *c; c++) {
		bool is_plain = *c > ' ' && *c < 127 && *c != ':' && *c != '%';

		if (len + 4 > NAME_LEN)
			return false;
		len += (size_t)snprintf(name + len, NAME_LEN - len, is_plain ? "%c" : "%%%02X", *c);
	}
	return true;
}

int handover_take(const char *where)
{
	char name[NAME_LEN];

	read_entries();
	for (int i = 0; i < nentries && make_name(where, name); i++) {
		int fd = entries[i].fd;

		if (fd < 0 || strcmp(entries[i].name, name) != 0)
			continue;
		entries[i].fd = -1;
		return fd;
	}
	return -1;
}

static void forget(const char *name)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void handover_close_rest(void)
{
	read_entries();
	for (int i = 0; i < nentries; i++) {
		if (!is_own(&entries[i]) || entries[i].fd < 0)
			continue;
		forget(entries[i].name);
		close(entries[i].fd);
		entries[i].fd = -1;
	}
}

bool handover_keep(const char *where, const int *fds, unsigned int n)
{
	char name[NAME_LEN], text[NAME_LEN + 32];
	bool kept = make_name(where, name);

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	for (unsigned int i = 0; i < n && kept; i += SEND_MAX)
		kept = sd_pid_notify_with_fds(0, 0, text, fds + i, n - i < SEND_MAX ? n - i : SEND_MAX) > 0;
	return kept;
}

void handover_forget(const char *where)
{
	char name[NAME_LEN];

	if (make_name(where, name))
		forget(name);
}

/* --- what another program is started with --- */

static int add_one(struct handover *to, const char *name, int fd)
{
	int *fds = realloc(to->fds, (to->n + 1) * sizeof(*fds));
	char **names = realloc(to->names, (to->n + 1) * sizeof(*names));

	to->fds = fds ? fds : to->fds;
	to->names = names ? names : to->names;
	if (!fds || !names || !(names[to->n] = strdup(name)))
		return -ENOMEM;
	fds[to->n++] = fd;
	return 0;
}

int handover_add_passed(struct handover *to)
{
	int ret = 0;

	read_entries();
	for (int i = 0; i < nentries && !ret; i++)
		if (!is_own(&entries[i]))
			ret = add_one(to, entries[i].name, entries[i].fd);
	return ret;
}

int handover_add(struct handover *to, const char *where, const int *fds, unsigned int n)
{
	char name[NAME_LEN];
	int ret = make_name(where, name) ? 0 : -ENAMETOOLONG;

	for (unsigned int i = 0; i < n && !ret; i++)
		if (fds[i] >= 0)
			ret = add_one(to, name, fds[i]);
	return ret;
}

void handover_free(struct handover *handover)
{
	for (unsigned int i = 0; i < handover->n; i++)
		free(handover->names[i]);
	free(handover->names);
	free(handover->fds);
	*handover = (struct handover){0};
}
