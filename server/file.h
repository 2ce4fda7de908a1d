/* SPDX-License-Identifier: MIT */
/*
 * Open files under a root directory, shared by the requests of one worker and listener.
 *
 * A file is opened by openat2(2) with RESOLVE_BENEATH (no symbolic link or ".." leads out of the root), kept in
 * a small cache with its validators, and looked at again when file_valid_ms have passed. Counted:
 * the cache holds one reference, each output range one. Worker's thread only.
 */
#ifndef FILE_H
#define FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct taio;
struct file_cache;

struct file {
	int fd;
	int afd;	   /* to be named in iocbs (taio_attach) */
	unsigned int refs;
	bool is_dir;
	off_t size;
	time_t mtime;	   /* seconds, for Last-Modified */
	const char *mime;  /* static string, from the name */
	char etag[48];	   /* quoted, from inode, size and mtime in ns */
	struct file_cache *cache;
	/* file.c's own */
	struct file *next;
	char *path;
	uint64_t checked_ms;
	bool cached;
};

int file_cache_create(struct file_cache **cache, struct taio *ring, const char *root, unsigned int max,
		      unsigned int valid_ms, char *why);
/* Every reference must be back. */
void file_cache_destroy(struct file_cache *cache);

/*
 * Opens @path, relative to the root, "" for the root itself. The reference is the caller's.
 * -ENOENT, -EACCES, -EXDEV or -ELOOP (leads out of the root), -EMFILE ...; a thing that is neither a
 * regular file nor a directory is -EACCES and is never opened for reading (a FIFO must not block).
 */
int file_open(struct file_cache *cache, const char *path, struct file **file);
struct file *file_get(struct file *file);
void file_put(struct file *file);

#endif
