/* SPDX-License-Identifier: MIT */
#include "tls_stamp.h"

#include <time.h>

/* More than the granularity of any file system's clock. A file's ctime cannot be set. */
#define FRESH_S 3

void tls_stamp_take(struct tls_stamp *stamp, const char *file)
{
	struct timespec now;
	struct stat st;

	*stamp = (struct tls_stamp){0};
	if (!file || stat(file, &st))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	*stamp = (struct tls_stamp){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = st.st_size,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim,
		.is_fresh = st.st_ctim.tv_sec + FRESH_S >= now.tv_sec,
	};
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool tls_stamp_holds(const struct tls_stamp *before, const struct tls_stamp *now)
{
	return !before->is_fresh && before->dev == now->dev && before->ino == now->ino &&
	       before->size == now->size && is_same_time(&before->mtime, &now->mtime) &&
	       is_same_time(&before->ctime, &now->ctime);
}
