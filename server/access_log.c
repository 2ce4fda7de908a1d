/* SPDX-License-Identifier: MIT */
/*
 * The thread sleeps until a line comes; when it has written it sleeps for a moment longer, so that under load
 * it writes much at a time and costs the workers a wake-up for each of these moments, not for each line.
 *
 * It takes lines out of the queues before it writes them: what was taken is written, or lost. A line of which
 * a file has taken only a part is cut off again; where that cannot be, the next one begins on a line of its
 * own.
 */
#include "access_log.h"

#include "base/clock.h"
#include "line_queue.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_SIZE (2 * ACCESS_LINE_MAX)

#define PAUSE_MS 20
/* How long nothing must have been lost for losing to be over. */
#define CALM_MS 1000
/* How long one that is closed waits for a reader. */
#define CLOSING_MS 1500

struct access_queue {
	struct access_log *log;
	struct line_queue *lines;
	struct access_clock clock;
	char line[ACCESS_LINE_MAX]; /* the one that is being made */
};

struct access_log {
	struct access_format *format;
	char *path;
	unsigned int nqueues;
	struct access_queue *queues;
	sem_t wake;
	atomic_bool is_asleep; /* until a line comes, which clears it and posts wake */
	atomic_bool is_closed;
	atomic_int next_fd; /* to go on with; -1: none */

	atomic_bool is_losing; /* it was told, and that it is over was not */
	atomic_uint_fast64_t lost;

	/* The thread's. */
	int fd;
	bool is_regular;
	bool is_torn;			/* the last line in the file is not whole */
	bool is_written;		/* the last write went well */
	uint64_t closing_us;		/* when that was noticed; 0: it is not closed */
	uint64_t lost_seen, lost_since; /* at the last look, and when losing began */
	uint64_t calm_us;		/* since when nothing was lost */
	unsigned int first;		/* queue to take from, in turn */
	size_t len;			/* of batch */
	char batch[BATCH_SIZE];
};

/* Of all that there were. */
static atomic_uint_fast64_t all_written, all_lost;

/* Threads that run. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t fewer;
	unsigned int n;
} threads = {.lock = PTHREAD_MUTEX_INITIALIZER, .fewer = PTHREAD_COND_INITIALIZER};

void access_log_count(uint64_t *written, uint64_t *lost)
{
	*written = atomic_load_explicit(&all_written, memory_order_relaxed);
	*lost = atomic_load_explicit(&all_lost, memory_order_relaxed);
}

/* --- losing --- */

/* @n lines are lost for @why. Any thread; only the first loss is told. */
static void lose(struct access_log *log, uint64_t n, const char *why)
{
	atomic_fetch_add_explicit(&all_lost, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&log->lost, n, memory_order_relaxed);
	if (!atomic_exchange(&log->is_losing, true))
		log_warning("access log %s: %s: lines are lost until this is told to be over", log->path,
			    why);
}

/* Tells once losing is over. Racy on purpose: a loss at this very moment is told of with the next. */
static void look_at_losses(struct access_log *log)
{
	uint64_t lost = atomic_load(&log->lost), now_us;

	if (!atomic_load(&log->is_losing))
		return;
	now_us = clock_us();
	if (lost != log->lost_seen || !log->is_written) {
		log->lost_seen = lost;
		log->calm_us = now_us;
		return;
	}
	if (now_us - log->calm_us < CALM_MS * 1000)
		return;
	log_notice("access log %s: written again; %llu line%s lost", log->path,
		   (unsigned long long)(lost - log->lost_since),
		   lost - log->lost_since == 1 ? " was" : "s were");
	log->lost_since = lost;
	atomic_store(&log->is_losing, false);
}

/* --- the workers' side --- */

static void wake(struct access_log *log)
{
	if (atomic_exchange(&log->is_asleep, false))
		sem_post(&log->wake);
}

void access_queue_put(struct access_queue *queue, const struct access_entry *entry)
{
	struct access_log *log = queue->log;
	size_t used = line_queue_used(queue->lines), half = queue->lines->size / 2, len;

	access_clock_read(&queue->clock);
	len = access_format_write(log->format, entry, &queue->clock, queue->line);
	if (!line_queue_put(queue->lines, queue->line, len)) {
		lose(log, 1, "its queue is full");
		return;
	}
	/* Paired with sleep_until_line(): either this sees that it sleeps, or that sees the line. */
	if (atomic_load(&log->is_asleep))
		wake(log);
	else if (used <= half && used + len > half)
		sem_post(&log->wake); /* it pauses, and should not */
}

struct access_queue *access_log_queue(struct access_log *log, unsigned int i)
{
	return &log->queues[i];
}

/* --- the thread: from the queues --- */

static size_t queued(const struct access_log *log)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < log->nqueues; i++)
		sum += line_queue_used(log->queues[i].lines);
	return sum;
}

/* Fills the batch, which is empty. False: the queues are. */
static bool gather(struct access_log *log)
{
	for (unsigned int i = 0; i < log->nqueues; i++) {
		struct access_queue *queue = &log->queues[(log->first + i) % log->nqueues];

		log->len += line_queue_take(queue->lines, log->batch + log->len, BATCH_SIZE - log->len);
	}
	log->first++;
	return log->len;
}

/* --- the thread: to the file --- */

static uint64_t count_lines(const char *text, size_t len)
{
	const char *end = text + len, *at = text;
	uint64_t n = 0;

	while ((at = memchr(at, '\n', (size_t)(end - at)))) {
		n++;
		at++;
	}
	return n;
}

static bool is_over(const struct access_log *log)
{
	return log->closing_us && clock_us() - log->closing_us > CLOSING_MS * 1000;
}

/* Notes that it is closed, and tells. */
static bool is_closing(struct access_log *log)
{
	if (!log->closing_us && atomic_load(&log->is_closed))
		log->closing_us = clock_us();
	return log->closing_us;
}

/* Waits until a pipe, a terminal or the like has room. -ETIMEDOUT: it has not, and nobody waits any longer.
 */
static int wait_for_room(struct access_log *log)
{
	struct pollfd pollfd = {.fd = log->fd, .events = POLLOUT};

	while (poll(&pollfd, 1, is_over(log) ? 0 : 100) <= 0) {
		if (is_closing(log) && is_over(log))
			return -ETIMEDOUT;
	}
	return 0;
}

/* As write(2), -errno. Where a reader may be slow, no more than what it has room for if it has any. */
static ssize_t write_some(struct access_log *log, const char *text, size_t len)
{
	ssize_t n;
	int ret;

	do {
		ret = log->is_regular ? 0 : wait_for_room(log);
		if (ret)
			return ret;
		n = write(log->fd, text, log->is_regular || len < PIPE_BUF ? len : PIPE_BUF);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n < 0 ? -errno : n;
}

/*
 * Takes the last @len bytes off the file, which are a part of a line: if they are its end, as they are unless
 * others write to it.
 */
static bool cut_off(const struct access_log *log, size_t len)
{
	off_t end = lseek(log->fd, 0, SEEK_CUR);
	struct stat st;

	if (!log->is_regular || end < (off_t)len || fstat(log->fd, &st) || st.st_size != end)
		return false;
	return !ftruncate(log->fd, end - (off_t)len);
}

/* Only @done bytes of the batch were written, for @err. */
static void give_up(struct access_log *log, size_t done, int err)
{
	const char *end = done ? memrchr(log->batch, '\n', done) : NULL;
	size_t lines = end ? (size_t)(end - log->batch) + 1 : 0, part = done - lines;

	if (part)
		log->is_torn = !cut_off(log, part);
	atomic_fetch_add_explicit(&all_written, count_lines(log->batch, lines), memory_order_relaxed);
	lose(log, count_lines(log->batch + lines, log->len - lines),
	     err == -ETIMEDOUT ? "nobody reads it" : strerror(-err));
}

/* A line of which only a part was written before gets its end. */
static ssize_t end_torn(struct access_log *log)
{
	ssize_t n = log->is_torn ? write_some(log, "\n", 1) : 0;

	if (n >= 0)
		log->is_torn = false;
	return n;
}

/* Writes the batch, or loses what cannot be written of it. */
static void write_out(struct access_log *log)
{
	ssize_t n = end_torn(log);
	size_t done = 0;

	while (n >= 0 && done < log->len) {
		n = write_some(log, log->batch + done, log->len - done);
		if (n > 0)
			done += (size_t)n;
	}
	log->is_written = n >= 0;
	if (log->is_written)
		atomic_fetch_add_explicit(&all_written, count_lines(log->batch, log->len),
					  memory_order_relaxed);
	else
		give_up(log, done, (int)n);
	log->len = 0;
}

static void take_fd(struct access_log *log, int fd)
{
	struct stat st;

	log->fd = fd;
	/* What is behind our lines on standard output may not be ours. */
	log->is_regular = strcmp(log->path, "-") && !fstat(fd, &st) && S_ISREG(st.st_mode);
	log->is_torn = false;
}

/* What was put before goes to the file as it was. */
static void change_file(struct access_log *log)
{
	int fd = atomic_exchange(&log->next_fd, -1);
	size_t done;

	if (fd < 0)
		return;
	for (size_t left = queued(log); left && gather(log); left -= left < done ? left : done) {
		done = log->len;
		write_out(log);
	}
	close(log->fd);
	take_fd(log, fd);
}

/* --- the thread --- */

static void wait_for(struct access_log *log, unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	sem_clockwait(&log->wake, CLOCK_MONOTONIC, &until);
}

/* Until a line comes; while lines were lost, not for longer than it takes to see that this is over. */
static void sleep_until_line(struct access_log *log)
{
	atomic_store(&log->is_asleep, true);
	/* Paired with access_queue_put(). */
	if (!queued(log) && !atomic_load(&log->is_closed) && atomic_load(&log->next_fd) < 0) {
		if (atomic_load(&log->is_losing))
			wait_for(log, CALM_MS / 4);
		else
			sem_wait(&log->wake);
	}
	atomic_store(&log->is_asleep, false);
}

/* Writes on until it is closed, and empty. */
static void serve(struct access_log *log)
{
	for (;;) {
		bool was_closing = is_closing(log), wrote;

		change_file(log);
		wrote = gather(log);
		if (wrote)
			write_out(log);
		look_at_losses(log);
		if (was_closing && !wrote)
			return;
		if (was_closing)
			continue;
		if (wrote)
			wait_for(log, PAUSE_MS);
		else
			sleep_until_line(log);
	}
}

static void destroy(struct access_log *log)
{
	int next = atomic_load(&log->next_fd);

	for (unsigned int i = 0; i < log->nqueues; i++)
		line_queue_destroy(log->queues[i].lines);
	free(log->queues);
	if (log->fd >= 0)
		close(log->fd);
	if (next >= 0)
		close(next);
	access_format_destroy(log->format);
	sem_destroy(&log->wake);
	free(log->path);
	free(log);
}

static void *thread_main(void *arg)
{
	pthread_setname_np(pthread_self(), "taiod-accesslog");
	serve(arg);
	/* access_log_close() still has it. */
	pthread_mutex_lock(&threads.lock);
	pthread_mutex_unlock(&threads.lock);
	destroy(arg);
	pthread_mutex_lock(&threads.lock);
	threads.n--;
	pthread_cond_broadcast(&threads.fewer);
	pthread_mutex_unlock(&threads.lock);
	return NULL;
}

/* --- life --- */

int access_log_check(const char *path, char *why)
{
	if (*path == '/' || !strcmp(path, "-"))
		return 0;
	snprintf(why, ACCESS_WHY_LEN, "'%.200s' is neither an absolute path nor -", path);
	return -EINVAL;
}

/* A FIFO need not have a reader, and is not the worse for one that comes and goes. */
static int open_path(const char *path, char *why)
{
	const int flags = O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;
	bool is_fifo = !stat(path, &st) && S_ISFIFO(st.st_mode);
	int fd = strcmp(path, "-") ? open(path, flags | (is_fifo ? O_RDWR : O_WRONLY), 0640)
				   : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0)
		return fd;
	fd = -errno;
	snprintf(why, ACCESS_WHY_LEN, "access-log %.300s: %s", path, strerror(-fd));
	return fd;
}

static int make_queues(struct access_log *log, size_t size, unsigned int n)
{
	log->queues = calloc(n, sizeof(*log->queues));
	if (!log->queues)
		return -ENOMEM;
	for (; log->nqueues < n; log->nqueues++) {
		struct access_queue *queue = &log->queues[log->nqueues];

		queue->log = log;
		queue->lines = line_queue_create(size > ACCESS_LINE_MAX ? size : ACCESS_LINE_MAX);
		if (!queue->lines)
			return -ENOMEM;
	}
	return 0;
}

static int make(struct access_log *log, const struct access_log_params *params, char *why)
{
	int ret;

	snprintf(why, ACCESS_WHY_LEN, "out of memory");
	log->path = strdup(params->path);
	if (!log->path || make_queues(log, params->queue, params->nqueues))
		return -ENOMEM;
	ret = access_format_create(&log->format, params->format, why);
	if (ret)
		return ret;
	ret = open_path(params->path, why);
	if (ret < 0)
		return ret;
	take_fd(log, ret);
	return 0;
}

/* Nobody joins it. Signals are the main thread's: it inherits a mask that blocks them all. */
static int start(struct access_log *log)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&threads.lock);
	ret = -pthread_create(&thread, &attr, thread_main, log);
	threads.n += !ret;
	pthread_mutex_unlock(&threads.lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

int access_log_open(struct access_log **log, const struct access_log_params *params, char *why)
{
	struct access_log *made = calloc(1, sizeof(*made));
	int ret;

	if (!made) {
		snprintf(why, ACCESS_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	made->fd = -1;
	made->is_written = true;
	atomic_init(&made->next_fd, -1);
	sem_init(&made->wake, 0, 0);
	ret = make(made, params, why);
	if (!ret) {
		ret = start(made);
		if (ret)
			snprintf(why, ACCESS_WHY_LEN, "cannot start the thread of the access log: %s",
				 strerror(-ret));
	}
	if (ret)
		destroy(made);
	else
		*log = made;
	return ret;
}

static int reopen(struct access_log *log, char *why)
{
	int fd = open_path(log->path, why), before;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) { /* there is no other of its name */
		close(fd);
		return 0;
	}
	before = atomic_exchange(&log->next_fd, fd);
	if (before >= 0) /* which the thread has not come to */
		close(before);
	wake(log);
	return 0;
}

int access_log_reopen(struct access_log *log)
{
	char why[ACCESS_WHY_LEN];
	int ret = log ? reopen(log, why) : 0;

	if (ret)
		log_error("%s: it goes on with the file that it has", why);
	else if (log)
		log_notice("access log opened anew");
	return ret;
}

void access_log_close(struct access_log *log)
{
	if (!log)
		return;
	pthread_mutex_lock(&threads.lock);
	atomic_store(&log->is_closed, true);
	sem_post(&log->wake); /* whether it sleeps or pauses */
	pthread_mutex_unlock(&threads.lock);
}

bool access_log_wait(unsigned int ms)
{
	struct timespec until;
	int ret = 0;
	bool are_gone;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&threads.lock);
	while (threads.n && ret != ETIMEDOUT)
		ret = pthread_cond_timedwait(&threads.fewer, &threads.lock, &until);
	are_gone = !threads.n;
	pthread_mutex_unlock(&threads.lock);
	if (!are_gone)
		log_warning("the access log cannot be written: its last lines are lost");
	return are_gone;
}
