/* SPDX-License-Identifier: MIT */
/*
 * Open files under a root directory, shared by the requests of one worker and listener.
 *
 * A file is opened beneath the root (beneath.h: no symbolic link or ".." leads out of it) and kept in a small
 * cache with its validators. For the time that file-valid sets its name is not looked up again; the open file
 * itself is asked each time whether it has changed. What is described never changes: a file that has changed
 * is another struct file. Counted: the cache holds one reference, each output range one.
 */
#ifndef HTTP_FILE_H
#define HTTP_FILE_H

#include "server/outq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

struct taio;
struct file_cache;

struct file {
	struct outq_file out; /* what output ranges hold references on */
	int fd;		      /* -1 for a directory: that it is one is all that is known */
	bool is_dir;
	bool has_length; /* false: a file of the kernel, whose size is only known once it is read */
	off_t size;
	time_t mtime;	  /* seconds, for Last-Modified */
	const char *mime; /* static string, from the name */

	/*
	 * Quoted, from inode, size and mtime in ns. Weak while the file system's clock would give a further
	 * change the same mtime (RFC 9110, section 8.8.1); empty without a length.
	 */
	char etag[56];

	/*
	 * Header lines, formatted once: Content-Type, Content-Length, and from @validators on Last-Modified,
	 * ETag and Accept-Ranges. Without a length only the first.
	 */
	char lines[256];
	uint16_t lines_len, validators;

	/* file.c's own */
	struct file_cache *cache;
	struct file *next; /* in its hash chain */
	TAILQ_ENTRY(file) lru;
	uint64_t checked_ms, mtime_ns, ctime_ns;
	dev_t dev;
	ino_t ino;
	bool cached;
	bool settled;  /* a further change has another mtime */
	uint64_t turn; /* in which the open file was seen to be as described */
	size_t samples_len;
	char samples[2][64]; /* the first and the last bytes of @size, of a small file once something was
				read; see file_check() */
	uint32_t hash;
	uint32_t path_len;
	char path[];
};

/*
 * Keeps up to @max open files (0: none), each trusted for @valid_ms. With @ring NULL files are not
 * attached (afd is fd). An open file is asked once a *@turn whether it is as it was, each time with NULL:
 * what is checked was read before the turn began. On failure -errno and a line in why[256].
 */
int file_cache_create(struct file_cache **cache, struct taio *ring, const uint64_t *turn, const char *root,
		      unsigned int max, unsigned int valid_ms, char *why);
/*
 * Opens @root anew, which may be another directory by now, and forgets what was open; files in output ranges
 * live on. On failure -errno and a line in why[256], and everything is as it was.
 */
int file_cache_reopen(struct file_cache *cache, const char *root, char *why);
/* Every reference must have been released. NULL is allowed. */
void file_cache_destroy(struct file_cache *cache);

/*
 * Opens @path[0..len), relative to the root and without a NUL, "" for the root itself; @now_ms is
 * CLOCK_MONOTONIC. The reference is the caller's.
 * -ENOENT, -EACCES, -EXDEV or -ELOOP (leads out of the root), -EMFILE ...; anything that is neither a regular
 * file nor a directory is -EACCES and is never opened for reading (a FIFO must not block).
 */
int file_open(struct file_cache *cache, const char *path, size_t len, uint64_t now_ms, struct file **file);

/*
 * Appends to @out all that a file without a length holds now; the read is synchronous, of memory that the
 * kernel has at hand. 0, -EFBIG above 1 MiB, or -errno of pread(2); on failure @out may hold a part.
 */
int file_read(const struct file *file, struct outq *out);

static inline struct file *file_of(struct outq_file *out)
{
	return (struct file *)((char *)out - offsetof(struct file, out));
}

/* Every operation on the file that used this reference must have completed. */
static inline void file_put(struct file *file)
{
	outq_file_put(&file->out);
}

#endif
