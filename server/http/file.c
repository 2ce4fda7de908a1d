/* SPDX-License-Identifier: MIT */
/*
 * The cache of open files: a hash table and an LRU list. Called by static.c and by whoever releases an output
 * range.
 *
 * Invariant: a file in the table is also in the LRU list, and both together hold one reference. A file
 * removed from the table lives until its last output range is gone. A lookup within valid_ms costs one system
 * call a turn, fstat(2).
 *
 * A file counts as unchanged if its size and mtime are the same. They do not reveal a write in the same clock
 * tick as the previous check, so a file that has changed only just now gets a weak entity tag.
 */
#include "file.h"

#include "beneath.h"
#include "date.h"
#include "mime.h"

#include "aio/taio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define WHY_LEN 256

/*
 * How old an mtime must be so that another change is certain to set a different one. The kernel stamps files
 * with the time of its last tick, at most 10 ms ago; file systems without fractions of a second round to up
 * to 2 s.
 */
#define SETTLED_NS	  20000000u
#define SETTLED_COARSE_NS 2000000000u

/* Maximum size of a procfs or sysfs file; only symbol tables are known to be larger. */
#define UNSIZED_MAX (1 << 20)

#define SAMPLES_TRIES 8

struct file_cache {
	struct taio *ring;
	const uint64_t *turn;
	int rootfd;
	unsigned int max, count;
	uint64_t valid_ms;
	TAILQ_HEAD(file_lru, file) lru; /* most recently used first */
	uint32_t mask;
	struct file *buckets[];
};

/* O_PATH does not open the file itself, so it has no effect on devices and FIFOs. */
static int look(const struct file_cache *cache, const char *path, struct stat *st)
{
	int fd = beneath_open(cache->rootfd, path, O_PATH);
	int err;

	if (fd < 0)
		return fd;
	err = fstat(fd, st) ? -errno : 0;
	close(fd);
	return err;
}

static uint32_t hash_of(const char *path, size_t len)
{
	uint64_t hash = len * 0x9e3779b97f4a7c15u, word;

	for (; len >= sizeof(word); path += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, path, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	for (; len; path++, len--)
		hash = (hash ^ (unsigned char)*path) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(hash >> 32);
}

static uint64_t time_ns(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;
}

static bool is_unchanged(const struct file *file, const struct stat *st)
{
	return file->ino == st->st_ino && file->dev == st->st_dev && file->is_dir == S_ISDIR(st->st_mode) &&
	       (file->is_dir || (file->size == st->st_size && file->mtime_ns == time_ns(&st->st_mtim)));
}

/* Whether any change from now on sets an mtime other than @mtime_ns. */
static bool is_settled(uint64_t mtime_ns)
{
	struct timespec ts;
	uint64_t now_ns;

	clock_gettime(CLOCK_REALTIME, &ts);
	now_ns = time_ns(&ts);
	/* An mtime in the future was set by hand. */
	return mtime_ns > now_ns ||
	       now_ns - mtime_ns > (mtime_ns % 1000000000u ? SETTLED_NS : SETTLED_COARSE_NS);
}

static void file_format(struct file *file)
{
	char date[HTTP_DATE_LEN + 1];
	int n;

	if (!file->has_length) {
		n = snprintf(file->lines, sizeof(file->lines), "Content-Type: %s\r\n", file->mime);
		file->lines_len = file->validators = (uint16_t)n;
		return;
	}
	/* The suffix keeps a copy cached with the weak tag from matching the strong tag of later content. */
	snprintf(file->etag, sizeof(file->etag), "%s\"%lx-%lx-%lx%s\"", file->settled ? "" : "W/",
		 (unsigned long)file->ino, (unsigned long)file->size, (unsigned long)file->mtime_ns,
		 file->settled ? "" : "-w");
	http_date_format(file->mtime, date);
	date[HTTP_DATE_LEN] = 0;
	n = snprintf(file->lines, sizeof(file->lines), "Content-Type: %s\r\nContent-Length: %llu\r\n",
		     file->mime, (unsigned long long)file->size);
	file->validators = (uint16_t)n;
	n += snprintf(file->lines + n, sizeof(file->lines) - (size_t)n,
		      "Last-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n", date, file->etag);
	file->lines_len = (uint16_t)n;
}

static void file_describe(struct file *file, const struct stat *st)
{
	time_t now = time(NULL);

	file->ino = st->st_ino;
	file->dev = st->st_dev;
	file->is_dir = S_ISDIR(st->st_mode);
	file->size = st->st_size;
	file->mtime_ns = time_ns(&st->st_mtim);
	file->ctime_ns = time_ns(&st->st_ctim);
	file->settled = is_settled(file->mtime_ns);
	/* Last-Modified must not exceed Date (RFC 9110, section 8.8.2.1), and our Date may be a tick old. */
	file->mtime = st->st_mtim.tv_sec;
	if (!file->settled || file->mtime > now)
		file->mtime = file->mtime < now ? file->mtime : now - 1;
	file->mime = mime_type(file->path, file->path_len);
	file_format(file);
}

/*
 * Files of procfs and sysfs report a size of zero or of a page, whatever they contain. They also report no
 * blocks, so the read below never touches a disk. @st describes @fd and may be refreshed.
 */
static bool tells_length(int fd, struct stat *st)
{
	char data[4097];
	off_t size = st->st_size;

	if (st->st_blocks || size >= (off_t)sizeof(data) || pread(fd, data, sizeof(data), 0) == size)
		return true;
	/* The file may have changed in between. */
	return !fstat(fd, st) && st->st_size != size;
}

/*
 * The name may refer to something else than it did for look(): O_NONBLOCK keeps a FIFO from blocking, and
 * anything but a regular file is refused.
 */
static int file_open_data(struct file *file, struct stat *st)
{
	int err;

	file->fd = beneath_open(file->cache->rootfd, file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0)
		return file->fd;
	if (fstat(file->fd, st)) {
		err = -errno;
		goto close_fd;
	}
	if (!S_ISREG(st->st_mode)) {
		err = -EACCES;
		goto close_fd;
	}
	file->has_length = tells_length(file->fd, st);
	file->out.afd = file->fd;
	if (file->cache->ring) {
		file->out.afd = taio_attach(file->cache->ring, file->fd, TAIO_CLASS_FILE);
		if (file->out.afd < 0) {
			err = file->out.afd;
			goto close_fd;
		}
	}
	return 0;

close_fd:
	close(file->fd);
	return err;
}

/* @len bytes at @offset, if the page cache has them. A file system that cannot say (tmpfs, before Linux 6.6)
 * is asked in any case. */
static bool read_cached(const struct file *file, char *data, size_t len, off_t offset)
{
	struct iovec iov = {data, len};
	ssize_t n = preadv2(file->fd, &iov, 1, offset, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP)
		n = pread(file->fd, data, len, offset);
	return n == (ssize_t)len;
}

static void samples_take(struct file *file)
{
	size_t len = sizeof(file->samples[0]);

	if ((off_t)len > file->size)
		len = (size_t)file->size;
	if (read_cached(file, file->samples[0], len, 0) &&
	    read_cached(file, file->samples[1], len, file->size - (off_t)len))
		file->samples_len = len;
}

/*
 * Whether the samples are so still. Waits, if only for whoever writes to the file: they were in the page
 * cache, and a response is cut if it is not known.
 */
static bool samples_hold(const struct file *file)
{
	const off_t offsets[] = {0, file->size - (off_t)file->samples_len};
	const size_t len = file->samples_len;
	char now[sizeof(file->samples[0])];

	for (size_t i = 0; i < 2; i++)
		if (pread(file->fd, now, len, offsets[i]) != (ssize_t)len ||
		    memcmp(now, file->samples[i], len) != 0)
			return false;
	return len > 0;
}

/*
 * Is the open file as it was described? Many responses of a turn may be of one file, and all that they have
 * to do with was read, or asked for, before the turn began: the first answer is every one's.
 */
static bool is_as_described(struct file *file)
{
	const uint64_t *turn = file->cache->turn;
	struct stat st;

	if (turn && file->turn == *turn)
		return true;
	if (fstat(file->fd, &st) || !is_unchanged(file, &st))
		return false;
	file->turn = turn ? *turn : 0;
	return true;
}

/*
 * Whether nothing but its length has changed. A write that appends sets the mtime before the size, with the
 * inode locked: where the size is still the same, looking for a hole behind the last byte waits for that lock
 * (ext4, btrfs, tmpfs), and reading the samples does elsewhere (XFS). At worst that takes as long as that one
 * write(2); it is rare, because the size moves with every page.
 */
static bool has_grown(const struct file *file)
{
	struct stat st;

	if (!samples_hold(file) || fstat(file->fd, &st))
		return false;
	if (st.st_size == file->size &&
	    (lseek(file->fd, file->size - 1, SEEK_HOLE) < 0 || fstat(file->fd, &st)))
		return false;
	return st.st_size > file->size;
}

/*
 * The head of a large file's response goes out before anything is read, so that it must be known from here on
 * what has only grown. One that is appended to all the time may have to be described a few times, until
 * samples and description are of one version.
 */
static void samples_begin(struct file *file)
{
	struct stat st;

	for (int tries = 0; tries < SAMPLES_TRIES; tries++) {
		samples_take(file);
		if (is_as_described(file))
			return;
		file->samples_len = 0;
		if (fstat(file->fd, &st))
			return;
		file_describe(file, &st);
	}
}

static enum outq_file_state file_check(struct outq_file *out, uint64_t offset, const char *data, size_t len)
{
	struct file *file = file_of(out);
	bool has_samples = file->samples_len;

	if (!has_samples) { /* before the look that tells whether it is the file's still */
		samples_take(file);
		file->turn = 0;
	}
	if (is_as_described(file))
		return OUTQ_FILE_SAME;
	if (!has_samples)
		file->samples_len = 0;
	/* A log that is appended to, or a file written anew, or one whose header is written when its length
	 * is known? */
	return has_grown(file) ? OUTQ_FILE_GREW : OUTQ_FILE_CHANGED;
}

static void file_release(struct outq_file *out)
{
	struct file *file = file_of(out);

	if (file->fd >= 0) {
		if (file->cache->ring)
			taio_detach(file->cache->ring, file->out.afd);
		close(file->fd);
	}
	free(file);
}

static int file_create(struct file_cache *cache, const char *path, size_t len, struct file **created)
{
	struct file *file = calloc(1, sizeof(*file) + len + 1);
	struct stat st;
	int err;

	if (!file)
		return -ENOMEM;
	memcpy(file->path, path, len);
	file->path_len = (uint32_t)len;
	file->cache = cache;
	file->fd = file->out.afd = -1;
	file->out.refs = 1;
	file->out.release = file_release;
	file->out.check = file_check;
	file->out.name = file->path;
	err = look(cache, file->path, &st);
	if (!err && S_ISREG(st.st_mode))
		err = file_open_data(file, &st);
	else if (!err && !S_ISDIR(st.st_mode))
		err = -EACCES;
	if (err) {
		free(file);
		return err;
	}
	file_describe(file, &st);
	if (file->size > OUTQ_ROOM_MAX)
		samples_begin(file);
	*created = file;
	return 0;
}

static void cache_remove(struct file_cache *cache, struct file *file)
{
	struct file **link = &cache->buckets[file->hash & cache->mask];

	while (*link != file)
		link = &(*link)->next;
	*link = file->next;
	TAILQ_REMOVE(&cache->lru, file, lru);
	cache->count--;
	file->cached = false;
	file_put(file);
}

static void cache_insert(struct file_cache *cache, struct file *file)
{
	struct file **head = &cache->buckets[file->hash & cache->mask];

	if (!cache->max)
		return;
	if (cache->count == cache->max)
		cache_remove(cache, TAILQ_LAST(&cache->lru, file_lru));
	file->next = *head;
	*head = file;
	outq_file_get(&file->out);
	TAILQ_INSERT_HEAD(&cache->lru, file, lru);
	cache->count++;
	file->cached = true;
}

static struct file *cache_find(struct file_cache *cache, uint32_t hash, const char *path, size_t len)
{
	struct file *file = cache->buckets[hash & cache->mask];

	for (; file; file = file->next)
		if (file->hash == hash && file->path_len == len && memcmp(file->path, path, len) == 0)
			break;
	return file;
}

static void cache_touch(struct file_cache *cache, struct file *file)
{
	if (TAILQ_FIRST(&cache->lru) == file)
		return;
	TAILQ_REMOVE(&cache->lru, file, lru);
	TAILQ_INSERT_HEAD(&cache->lru, file, lru);
}

/* A file of the kernel may have got its first bytes without a trace in size and time. */
static bool is_as_opened(struct file *file)
{
	char byte;

	if (file->fd < 0)
		return true;
	if (!is_as_described(file))
		return false;
	return file->size || !file->has_length || pread(file->fd, &byte, 1, 0) == 0;
}

/*
 * Whether @file may still be served. If it cannot be checked for lack of resources, trusts the open file. The
 * ctime tells a change of permissions, which only opening it again checks.
 */
static bool cache_trusts(const struct file_cache *cache, struct file *file, uint64_t now_ms)
{
	struct stat st;
	int err;

	if (!file->settled && is_settled(file->mtime_ns))
		return false;
	if (now_ms - file->checked_ms < cache->valid_ms)
		return is_as_opened(file);
	err = look(cache, file->path, &st);
	if (err == -EMFILE || err == -ENFILE || err == -ENOMEM)
		return is_as_opened(file);
	if (err || !is_unchanged(file, &st) || file->ctime_ns != time_ns(&st.st_ctim))
		return false;
	file->checked_ms = now_ms;
	return true;
}

int file_open(struct file_cache *cache, const char *path, size_t len, uint64_t now_ms, struct file **file)
{
	uint32_t hash = hash_of(path, len);
	struct file *found = cache_find(cache, hash, path, len);
	int err;

	if (found && cache_trusts(cache, found, now_ms)) {
		cache_touch(cache, found);
		outq_file_get(&found->out);
		*file = found;
		return 0;
	}
	if (found)
		cache_remove(cache, found);
	err = file_create(cache, path, len, &found);
	if (err)
		return err;
	found->hash = hash;
	found->checked_ms = now_ms;
	cache_insert(cache, found);
	*file = found;
	return 0;
}

int file_read(const struct file *file, struct outq *out)
{
	char data[16384];
	off_t offset = 0;
	ssize_t n;
	int err;

	while ((n = pread(file->fd, data, sizeof(data), offset)) > 0) {
		offset += n;
		if (offset > UNSIZED_MAX)
			return -EFBIG;
		err = outq_append(out, data, (size_t)n);
		if (err)
			return err;
	}
	return n < 0 ? -errno : 0;
}

static int root_open(const char *root, char *why)
{
	int rootfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd, err;

	if (rootfd < 0) {
		err = -errno;
		snprintf(why, WHY_LEN, "%s: %s", root, strerror(-err));
		return err;
	}
	fd = beneath_open(rootfd, ".", O_PATH);
	if (fd < 0) {
		snprintf(why, WHY_LEN, "%s: %s", root, strerror(-fd));
		close(rootfd);
		return fd;
	}
	close(fd);
	return rootfd;
}

int file_cache_create(struct file_cache **created, struct taio *ring, const uint64_t *turn, const char *root,
		      unsigned int max, unsigned int valid_ms, char *why)
{
	struct file_cache *cache;
	uint32_t nbuckets = 16;
	int rootfd = root_open(root, why);

	if (rootfd < 0)
		return rootfd;
	while (nbuckets < max && nbuckets < 1U << 20)
		nbuckets *= 2;
	cache = calloc(1, sizeof(*cache) + nbuckets * sizeof(cache->buckets[0]));
	if (!cache) {
		snprintf(why, WHY_LEN, "out of memory for a cache of %u files", max);
		close(rootfd);
		return -ENOMEM;
	}
	cache->ring = ring;
	cache->turn = turn;
	cache->rootfd = rootfd;
	cache->max = max;
	cache->valid_ms = valid_ms;
	cache->mask = nbuckets - 1;
	TAILQ_INIT(&cache->lru);
	*created = cache;
	return 0;
}

static void cache_clear(struct file_cache *cache)
{
	struct file *file;

	while ((file = TAILQ_FIRST(&cache->lru)))
		cache_remove(cache, file);
}

int file_cache_reopen(struct file_cache *cache, const char *root, char *why)
{
	int rootfd = root_open(root, why);

	if (rootfd < 0)
		return rootfd;
	cache_clear(cache);
	close(cache->rootfd);
	cache->rootfd = rootfd;
	return 0;
}

void file_cache_destroy(struct file_cache *cache)
{
	if (!cache)
		return;
	cache_clear(cache);
	close(cache->rootfd);
	free(cache);
}
