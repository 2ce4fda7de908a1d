/* SPDX-License-Identifier: MIT */
/* What a program has done to the kernel and to the module. The supervisor's; one thread. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_MS	  30000
#define SETTLE_MS 30000
#define LINES	  60

/* Of those that tests/vm/dmesg-check knows: which tells whose program it was. */
static const char *const complaints[] = {"WARNING: ",
					 "BUG: ",
					 "Oops",
					 "general protection",
					 "KASAN: ",
					 "UBSAN: ",
					 "INFO: ",
					 "possible recursive",
					 "possible circular",
					 "inconsistent lock",
					 "suspicious RCU",
					 "refcount_t",
					 "list_add corruption",
					 "list_del corruption",
					 "sleeping function",
					 "scheduling while atomic",
					 "Bad page",
					 "Bad rss-counter",
					 "segfault at",
					 "Out of memory",
					 "page allocation failure",
					 "ODEBUG: ",
					 "blocked for more than",
					 "soft lockup",
					 "workqueue lockup"};

static int kmsg = -1;

void judge_begin(void)
{
	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
}

/* One write(2): dprintf(3) would ask for a position first, which this file refuses. */
void judge_announce(uint64_t seed)
{
	char text[80];
	int n = snprintf(text, sizeof(text), "<7>taio-vm: test kmod_fuzz --seed %ju", (uintmax_t)seed);

	if (kmsg >= 0)
		(void)!write(kmsg, text, (size_t)n);
}

static bool is_complaint(const char *line)
{
	if (strstr(line, "NMI handler"))
		return false;
	for (unsigned int i = 0; i < ARRAY_LEN(complaints); i++)
		if (strstr(line, complaints[i]))
			return true;
	return false;
}

bool judge_kernel(void)
{
	char record[2048], *text;
	unsigned int left = 0;
	bool found = false;
	ssize_t n;

	while (kmsg >= 0 && ((n = read(kmsg, record, sizeof(record) - 1)) > 0 || (n < 0 && errno == EPIPE))) {
		if (n < 0) /* the log has turned over meanwhile */
			continue;
		record[n] = '\0';
		text = strchr(record, ';');
		if (!text)
			continue;
		if (!found && is_complaint(text)) {
			found = true;
			left = LINES;
		}
		if (left) {
			left--;
			printf("  kernel: %s", text + 1);
		}
	}
	return found;
}

/* Whoever has lost its parent is our child: we are a subreaper. */
static bool has_children(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		;
	return !(pid < 0 && errno == ECHILD);
}

static bool is_of_group(pid_t pid, pid_t pgid)
{
	char path[40], text[512], state;
	int parent, group = 0;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	text[n] = '\0';
	if (file)
		fclose(file);
	/* The name before it may have any character. */
	return strrchr(text, ')') && sscanf(strrchr(text, ')'), ") %c %d %d", &state, &parent, &group) == 3 &&
	       group == pgid;
}

static void group_print(pid_t pgid)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0 && is_of_group(pid, pgid))
			stacks_print(pid);
	}
	if (proc)
		closedir(proc);
}

bool judge_end(pid_t pgid)
{
	int64_t until = now_ms() + END_MS;

	while (kill(-pgid, SIGKILL), has_children()) {
		if (now_ms() > until) {
			group_print(pgid);
			return false;
		}
		pause_ms(1);
	}
	return true;
}

bool judge_module(long refcnt, char *why, size_t whylen)
{
	return module_settles(refcnt, SETTLE_MS, why, whylen);
}
