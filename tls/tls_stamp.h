/* SPDX-License-Identifier: MIT */
/* What a file was when it was looked at: reading a certificate takes OpenSSL a millisecond, and most never
 * change. */
#ifndef TLS_STAMP_H
#define TLS_STAMP_H

#include <stdbool.h>
#include <sys/stat.h>

struct tls_stamp {
	dev_t dev;
	ino_t ino; /* 0: there is no file */
	off_t size;
	struct timespec mtime, ctime;
	bool is_fresh; /* it was changed so shortly before that another change would not show */
};

/* Of @file, NULL for none. To be taken before the file is read. */
void tls_stamp_take(struct tls_stamp *stamp, const char *file);

/* Is what was read at @before still what would be read at @now? */
bool tls_stamp_holds(const struct tls_stamp *before, const struct tls_stamp *now);

#endif
