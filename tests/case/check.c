/* SPDX-License-Identifier: MIT */
/* The report of a case: written from any of its threads and processes, read by the runner at its end. */
#include "tests/case/check.h"

#include "tests/case/process.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct report *report;

bool report_make(void)
{
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return report != MAP_FAILED;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void fail_at(const struct place *place, const char *format, ...)
{
	size_t room = sizeof(report->failure);
	int error = errno, len;
	va_list args;

	if (atomic_flag_test_and_set(&report->failed)) {
		pause_ms(200); /* another's failure is being written */
		_exit(1);
	}
	len = snprintf(report->failure, room, "%s:%d: ", place ? base_name(place->file) : "start",
		       place ? place->line : 0);
	va_start(args, format);
	errno = error; /* for %m */
	vsnprintf(report->failure + len, room - (size_t)len, format, args);
	va_end(args);
	_exit(1);
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->note, sizeof(report->note), format, args);
	va_end(args);
}

void skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->note, sizeof(report->note), format, args);
	va_end(args);
	_exit(EXIT_SKIP);
}

void failure_add(const char *format, ...)
{
	const struct place *at = THERE();
	char what[256], where[96] = "";
	size_t len = strlen(report->failure);
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (at)
		snprintf(where, sizeof(where), " (last at %s:%d)", base_name(at->file), at->line);
	snprintf(report->failure + len, sizeof(report->failure) - len, "%s%s%s", len ? "; " : "", what,
		 where);
}
