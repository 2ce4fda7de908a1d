/* SPDX-License-Identifier: MIT */
/* The whole line goes out in one write(2), so that lines of several workers never mix. */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN 1024
#define LIMIT_US     1000000

atomic_int log_level = LOG_LEVEL_INFO;

static atomic_bool to_journal;

static const struct {
	const char *word;
	int priority; /* sd-daemon(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", 3},   [LOG_LEVEL_WARNING] = {"warning", 4},
	[LOG_LEVEL_NOTICE] = {"notice", 5}, [LOG_LEVEL_INFO] = {"info", 6},
	[LOG_LEVEL_DEBUG] = {"debug", 7},
};

void log_init(enum log_level level)
{
	atomic_store(&log_level, (int)level);
	atomic_store(&to_journal, getenv("JOURNAL_STREAM") != NULL);
}

static int prefix(enum log_level level, char *line, size_t size)
{
	struct timespec now;
	struct tm tm;
	char stamp[32];

	if (to_journal)
		return snprintf(line, size, "<%d>", levels[level].priority);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	return snprintf(line, size, "%s.%03ldZ taiod %s: ", stamp, now.tv_nsec / 1000000, levels[level].word);
}

/* Names of files and programs may hold line ends and what controls a terminal. */
static void make_printable(char *text, int len)
{
	for (int i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	int len = prefix(level, line, sizeof(line));
	va_list args;

	va_start(args, fmt);
	len += vsnprintf(line + len, sizeof(line) - (size_t)len, fmt, args);
	va_end(args);
	if (len > LINE_MAX_LEN - 2)
		len = LINE_MAX_LEN - 2;
	make_printable(line, len);
	line[len++] = '\n';
	/* If stderr is gone there is nobody to tell. */
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

const char *log_limited(struct log_limit *limit, uint64_t now_us, char *more)
{
	if (now_us < limit->until_us) {
		limit->held++;
		return NULL;
	}
	*more = '\0';
	if (limit->held)
		snprintf(more, LOG_MORE_LEN, " (and %u more before)", limit->held);
	limit->held = 0;
	limit->until_us = now_us + LIMIT_US;
	return more;
}
