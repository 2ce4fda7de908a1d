/* SPDX-License-Identifier: MIT */
/* The device of taio.ko: attaching, and what debugfs and sysfs tell of the module. Used from any thread. */
#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COUNTERS "/sys/kernel/debug/taio/counters"
#define MODULE	 "/sys/module/taio"

int taio_attach_raw(const struct taio_ioc_attach *attach)
{
	int device = SYS(open(TAIO_DEVICE, O_RDWR | O_CLOEXEC));
	int fd = ioctl(device, TAIO_IOC_ATTACH, attach);

	if (fd < 0)
		fd = -errno;
	close(device);
	return fd;
}

int taio_attach(int fd, enum taio_policy_id policy, uint32_t flags)
{
	struct taio_ioc_attach attach = {.fd = fd, .policy = policy, .flags = flags};

	return taio_attach_raw(&attach);
}

bool has_workers(void)
{
	return taio_attach(-1, TAIO_POLICY_WORKER, 0) != -EOPNOTSUPP;
}

int proxy_make(const struct scene *s, int fd)
{
	int proxy = taio_attach(fd, s->policy, s->flags | TAIO_ATTACH_CLOEXEC);

	if (proxy < 0)
		fail_at(THERE(), "TAIO_IOC_ATTACH: %s", strerror(-proxy));
	return proxy;
}

unsigned int proxy_cancel(int proxy)
{
	return (unsigned int)SYS(ioctl(proxy, TAIO_IOC_CANCEL));
}

void proxy_info(int proxy, struct taio_ioc_info *info)
{
	SYS(ioctl(proxy, TAIO_IOC_INFO, info));
}

unsigned int counters_get(struct counter *counters, unsigned int max)
{
	FILE *file = fopen(COUNTERS, "re");
	unsigned int n = 0;
	char line[256];

	if (!file)
		fail_at(THERE(), COUNTERS ": %m");
	while (n < max && fgets(line, sizeof(line), file))
		n += sscanf(line, "%47s %ju", counters[n].name, &counters[n].value) == 2;
	fclose(file);
	return n;
}

static const struct counter *counter_find(const struct counter *counters, unsigned int n, const char *name)
{
	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(counters[i].name, name))
			return &counters[i];
	fail_at(THERE(), "no counter %s", name);
}

uint64_t counter_get(const char *name)
{
	struct counter counters[COUNTERS_MAX];

	return counter_find(counters, counters_get(counters, COUNTERS_MAX), name)->value;
}

static long number_read(const char *path)
{
	FILE *file = fopen(path, "re");
	long value;

	if (!file || fscanf(file, "%ld", &value) != 1)
		fail_at(THERE(), "%s: %m", path);
	fclose(file);
	return value;
}

long param_get(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), MODULE "/parameters/%s", name);
	return number_read(path);
}

long param_set(const char *name, long value)
{
	long before = param_get(name);
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), MODULE "/parameters/%s", name);
	file = fopen(path, "we");
	if (!file || fprintf(file, "%ld\n", value) < 0 || fclose(file))
		fail_at(THERE(), "%s: %m", path);
	return before;
}

long module_refcnt(void)
{
	return number_read(MODULE "/refcnt");
}

/* What begins, and what it ends with. */
static const struct {
	const char *begun, *ended;
} pairs[] = {
	{"attached", "detached"},
	{"submitted", "completed"},
	{"signals_sent", "signals_flushed"},
	{"state_mm_taken", "state_mm_put"},
	{"state_cred_taken", "state_cred_put"},
	{"state_iocontext_taken", "state_iocontext_put"},
	{"state_blkcg_taken", "state_blkcg_put"},
	{"state_fsize_taken", "state_fsize_put"},
	{"state_memcg_taken", "state_memcg_put"},
};

static bool module_is_idle(long refcnt, char *why, size_t whylen)
{
	struct counter counters[COUNTERS_MAX];
	unsigned int n = counters_get(counters, COUNTERS_MAX);
	long now = module_refcnt();

	for (unsigned int i = 0; i < ARRAY_LEN(pairs); i++) {
		uint64_t begun = counter_find(counters, n, pairs[i].begun)->value;
		uint64_t ended = counter_find(counters, n, pairs[i].ended)->value;

		snprintf(why, whylen, "module: %s %ju, %s %ju", pairs[i].begun, (uintmax_t)begun,
			 pairs[i].ended, (uintmax_t)ended);
		if (begun != ended)
			return false;
	}
	snprintf(why, whylen, "module: reference count %ld instead of %ld", now, refcnt);
	return now == refcnt;
}

bool module_settles(long refcnt, int timeout_ms, char *why, size_t whylen)
{
	int64_t until = now_ms() + timeout_ms;

	while (!module_is_idle(refcnt, why, whylen)) {
		if (now_ms() > until)
			return false;
		pause_ms(2);
	}
	return true;
}
