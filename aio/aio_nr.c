/* SPDX-License-Identifier: MIT */
/*
 * Who has taken the slots of fs.aio-max-nr. The kernel counts them (fs.aio-nr) and tells nobody whose they
 * are; but the ring of each context is mapped into its process as /[aio], and its size tells how many events
 * it has room for. Any thread; slow: it reads the maps of all processes.
 */
#include "aio_nr.h"

#include "taio.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -1: there is none. By plain system calls: rings read it whenever they lack slots. */
static long sysctl_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32], *end;
	ssize_t len;
	long value;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return -1;
	text[len] = '\0';
	value = strtol(text, &end, 10);
	return end == text ? -1 : value;
}

/* Of the contexts of process @pid. A ring has room for twice its slots (ioctx_alloc() in fs/aio.c). */
static long held_by(const char *pid)
{
	unsigned long begin, end;
	char line[512];
	long held = 0;
	FILE *maps;

	snprintf(line, sizeof(line), "/proc/%.20s/maps", pid);
	maps = fopen(line, "re");
	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "/[aio]") && sscanf(line, "%lx-%lx", &begin, &end) == 2)
			held += (long)((end - begin) / sizeof(struct io_event) / 2);
	fclose(maps);
	return held;
}

static void comm_read(int pid, char comm[static 16])
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (!file || !fgets(comm, 16, file))
		strcpy(comm, "?");
	comm[strcspn(comm, "\n")] = '\0';
	if (file)
		fclose(file);
}

static void find_holder(struct taio_slots *slots)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return;
	while ((entry = readdir(proc))) {
		long held = isdigit((unsigned char)entry->d_name[0]) ? held_by(entry->d_name) : 0;

		if (held <= slots->held)
			continue;
		slots->held = held;
		slots->pid = atoi(entry->d_name);
	}
	closedir(proc);
	/* A context's ring is of whole pages, so what it holds is rounded up. */
	if (slots->held > slots->taken)
		slots->held = slots->taken;
	if (slots->pid)
		comm_read(slots->pid, slots->comm);
}

int taio_slots(struct taio_slots *slots, bool holder)
{
	*slots = (struct taio_slots){
		.taken = sysctl_read("/proc/sys/fs/aio-nr"),
		.max = sysctl_read("/proc/sys/fs/aio-max-nr"),
	};
	if (slots->taken < 0 || slots->max < 0)
		return -ENOENT;
	if (slots->taken && holder)
		find_holder(slots);
	return 0;
}

void taio_slots_text(const struct taio_slots *slots, char *text, size_t size)
{
	int n = snprintf(text, size, "%ld of fs.aio-max-nr = %ld slots are taken", slots->taken, slots->max);

	if (slots->pid && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, ", about %ld of them by %s (pid %d)", slots->held,
			 slots->comm, slots->pid);
}

void aio_nr_explain(int err, unsigned int wanted, char *why)
{
	struct taio_slots slots;
	char text[160];
	long least;

	if (err == -EAGAIN && taio_slots(&slots, true) == 0) {
		/* The limit may have been lowered. */
		least = slots.taken > slots.max ? slots.taken : slots.max;
		taio_slots_text(&slots, text, sizeof(text));
		snprintf(why, TAIO_WHY_LEN, "io_setup: %s; %u more are needed: sysctl -w fs.aio-max-nr=%ld",
			 text, wanted, 2 * (least + (long)wanted));
	} else if (err == -ENOSYS) {
		snprintf(why, TAIO_WHY_LEN,
			 "io_setup: this kernel has no aio (CONFIG_AIO), or a seccomp filter blocks it");
	} else {
		snprintf(why, TAIO_WHY_LEN, "io_setup for %u operations: %s", wanted, strerror(-err));
	}
}
