/* SPDX-License-Identifier: MIT */
/*
 * Open files under a root directory, shared by the requests of one worker and listener.
 *
 * A file is opened beneath the root (beneath.h: no symbolic link or ".." leads out of it), kept in a small
 * cache with its validators, and checked again after the time that file-valid sets. Counted: the cache holds
 * one reference, each output range one.
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
	off_t size;
	time_t mtime;	  /* seconds, for Last-Modified */
	const char *mime; /* static string, from the name */
	char etag[56];	  /* quoted, from inode, size and mtime in ns; strong */

	/*
	 * Header lines, formatted once: Content-Type, Content-Length, and from @validators on Last-Modified,
	 * ETag and Accept-Ranges.
	 */
	char lines[256];
	uint16_t lines_len, validators;

	/* file.c's own */
	struct file_cache *cache;
	struct file *next; /* in its hash chain */
	TAILQ_ENTRY(file) lru;
	uint64_t checked_ms, mtime_ns;
	dev_t dev;
	ino_t ino;
	bool cached;
	uint32_t hash;
	uint32_t path_len;
	char path[];
};

/*
 * Keeps up to @max open files (0: none), each trusted for @valid_ms. With @ring NULL files are not
 * attached (afd is fd). On failure -errno and a line in why[256].
 */
int file_cache_create(struct file_cache **cache, struct taio *ring, const char *root, unsigned int max,
		      unsigned int valid_ms, char *why);
/* Every reference must have been released. NULL is allowed. */
void file_cache_destroy(struct file_cache *cache);

/*
 * Opens @path[0..len), relative to the root and without a NUL, "" for the root itself; @now_ms is
 * CLOCK_MONOTONIC. The reference is the caller's.
 * -ENOENT, -EACCES, -EXDEV or -ELOOP (leads out of the root), -EMFILE ...; anything that is neither a regular
 * file nor a directory is -EACCES and is never opened for reading (a FIFO must not block).
 */
int file_open(struct file_cache *cache, const char *path, size_t len, uint64_t now_ms, struct file **file);

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
