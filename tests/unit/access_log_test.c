/* SPDX-License-Identifier: MIT */
/*
 * Lines get into the file whole and in order, or are counted as lost; whoever puts them waits for nothing. A
 * limit on the size of files (RLIMIT_FSIZE) is the full disk, a FIFO that nobody reads the one that hangs.
 */
#include "base/addr.h"
#include "base/clock.h"
#include "server/access_log.h"
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NTHREADS    3
#define PATIENCE_MS 20000

static struct {
	char dir[64], path[96], other[96];
	struct access_log *log;
	uint64_t written, lost; /* at the start */
} scene;

static const union addr nobody = {.sa.sa_family = AF_UNIX};

static int make_place(void **state)
{
	strcpy(scene.dir, "/tmp/taio-access-XXXXXX");
	if (!mkdtemp(scene.dir))
		return -1;
	snprintf(scene.path, sizeof(scene.path), "%s/log", scene.dir);
	snprintf(scene.other, sizeof(scene.other), "%s/other", scene.dir);
	access_log_count(&scene.written, &scene.lost);
	return 0;
}

static int remove_place(void **state)
{
	unlink(scene.path);
	unlink(scene.other);
	return rmdir(scene.dir);
}

static int try_open(const char *path, size_t queue, char *why)
{
	struct access_log_params params = {
		.path = path, .format = "%{Host}i", .queue = queue, .nqueues = NTHREADS};

	return access_log_open(&scene.log, &params, why);
}

static void open_log(size_t queue)
{
	char why[ACCESS_WHY_LEN] = "";

	if (try_open(scene.path, queue, why))
		fail_msg("%s", why);
}

static void put_in(unsigned int queue, const char *text)
{
	struct access_entry entry = {.client = &nobody, .host = {text, strlen(text)}};

	access_queue_put(access_log_queue(scene.log, queue), &entry);
}

static void put(const char *text)
{
	put_in(0, text);
}

static void close_log(void)
{
	access_log_close(scene.log);
	assert_true(access_log_wait(PATIENCE_MS));
}

static uint64_t written(void)
{
	uint64_t now, lost;

	access_log_count(&now, &lost);
	return now - scene.written;
}

static uint64_t lost(void)
{
	uint64_t all, now;

	access_log_count(&all, &now);
	return now - scene.lost;
}

static void until(uint64_t (*count)(void), uint64_t value)
{
	uint64_t end_ms = clock_ms() + PATIENCE_MS;

	while (count() < value) {
		if (clock_ms() > end_ms)
			fail_msg("%llu of %llu", (unsigned long long)count(), (unsigned long long)value);
		usleep(1000);
	}
}

/* What is in a file; freed by the caller. */
static char *content(const char *path)
{
	struct stat st;
	char *text;
	int fd = open(path, O_RDONLY);

	assert_return_code(fd, errno);
	fstat(fd, &st);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
	close(fd);
	return text;
}

static void has(const char *path, const char *want)
{
	char *text = content(path);

	assert_string_equal(text, want);
	free(text);
}

static void lines_get_into_the_file(void **state)
{
	open_log(1 << 20);
	put("one");
	put("two");
	until(written, 2);
	has(scene.path, "one\ntwo\n");
	put("three");
	close_log(); /* which loses nothing */
	has(scene.path, "one\ntwo\nthree\n");
	open_log(1 << 20);
	put("four");
	close_log();
	has(scene.path, "one\ntwo\nthree\nfour\n");
	assert_int_equal(written(), 4);
	assert_int_equal(lost(), 0);
}

#define NLINES 20000

static void *put_many(void *arg)
{
	unsigned int queue = (unsigned int)(uintptr_t)arg;
	char text[64];

	for (unsigned int i = 0; i < NLINES; i++) {
		snprintf(text, sizeof(text), "%u %u", queue, i);
		put_in(queue, text);
	}
	return NULL;
}

static void all_threads_lines_are_whole_and_in_order(void **state)
{
	unsigned int next[NTHREADS] = {0};
	pthread_t threads[NTHREADS];
	char *text, *rest, *line;

	open_log(1 << 20);
	for (uintptr_t i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_many, (void *)i), 0);
	for (unsigned int i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	close_log();
	rest = text = content(scene.path);
	while ((line = strsep(&rest, "\n")) && *line) {
		unsigned int queue, number;

		assert_int_equal(sscanf(line, "%u %u", &queue, &number), 2);
		assert_in_range(queue, 0, NTHREADS - 1);
		assert_in_range(number, next[queue], NLINES - 1);
		next[queue] = number + 1;
	}
	free(text);
	assert_int_equal(written() + lost(), NTHREADS * NLINES);
}

static void a_renamed_file_gets_what_came_before(void **state)
{
	open_log(1 << 20);
	put("before");
	assert_int_equal(rename(scene.path, scene.other), 0);
	assert_int_equal(access_log_reopen(scene.log), 0);
	until(written, 1);
	has(scene.other, "before\n");
	/* The thread may not have come to it: until it has, lines go to the file that there was. */
	for (uint64_t n = 2;; n++) {
		char *text;
		bool is_empty;

		put("after");
		until(written, n);
		text = content(scene.path);
		is_empty = !*text;
		free(text);
		if (!is_empty)
			break;
	}
	close_log();
	has(scene.path, "after\n");
	assert_int_equal(lost(), 0);
}

static void set_file_limit(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size;
	assert_return_code(setrlimit(RLIMIT_FSIZE, &limit), errno);
}

/* Ten bytes a line, and room for two and a half. */
static void a_full_disk_loses_whole_lines(void **state)
{
	struct rlimit before;

	getrlimit(RLIMIT_FSIZE, &before);
	open_log(1 << 20);
	set_file_limit(25);
	for (unsigned int i = 0; i < 5; i++)
		put("123456789");
	until(lost, 3);
	assert_int_equal(written() + lost(), 5);
	has(scene.path, "123456789\n123456789\n");
	put("123456789");
	until(lost, 4);
	has(scene.path, "123456789\n123456789\n");
	set_file_limit(before.rlim_cur);
	put("again");
	until(written, 3);
	has(scene.path, "123456789\n123456789\nagain\n");
	close_log();
	assert_int_equal(lost(), 4);
}

/* Where others append to it, too, nothing is cut off: the part gets an end. */
static void what_others_have_written_stays(void **state)
{
	struct rlimit before;
	char *text;
	int fd;

	getrlimit(RLIMIT_FSIZE, &before);
	open_log(1 << 20);
	fd = open(scene.path, O_WRONLY | O_APPEND);
	assert_return_code(fd, errno);
	assert_int_equal(write(fd, "theirs\n", 7), 7);
	set_file_limit(25);
	put("123456789");
	put("123456789");
	until(lost, 1);
	set_file_limit(before.rlim_cur);
	put("again");
	until(written, 2);
	close_log();
	close(fd);
	text = content(scene.path);
	assert_string_equal(text, "theirs\n123456789\nagain\n");
	free(text);
}

static void a_fifo_that_nobody_reads_holds_up_nobody(void **state)
{
	uint64_t begun_ms = clock_ms();
	unsigned int nput = 0;
	char line[1001], read_back[4096];
	int fd;

	assert_return_code(mkfifo(scene.path, 0600), errno);
	memset(line, 'x', 1000);
	line[1000] = '\0';
	open_log(ACCESS_LINE_MAX);
	while (!lost()) {
		put(line);
		assert_in_range(++nput, 1, 10000);
	}
	/* What it has in hand, the pipe, and the queue. */
	assert_in_range(nput, ACCESS_LINE_MAX / 1001, (4 * ACCESS_LINE_MAX + (64 << 10)) / 1001 + 1);
	fd = open(scene.path, O_RDONLY | O_NONBLOCK);
	assert_return_code(fd, errno);
	while (written() < ACCESS_LINE_MAX / 1001) {
		ssize_t n = read(fd, read_back, sizeof(read_back));

		assert_true(n > 0 || errno == EAGAIN);
	}
	access_log_close(scene.log);
	assert_true(access_log_wait(PATIENCE_MS)); /* the rest is lost after a while */
	close(fd);
	assert_int_equal(written() + lost(), nput);
	assert_in_range(clock_ms() - begun_ms, 0, PATIENCE_MS);
}

static void what_cannot_be_opened_is_said(void **state)
{
	char why[ACCESS_WHY_LEN];

	assert_int_equal(try_open("/does/not/exist", 1 << 20, why), -ENOENT);
	assert_string_equal(why, "access-log /does/not/exist: No such file or directory");
	assert_int_equal(try_open(scene.dir, 1 << 20, why), -EISDIR);
	assert_int_equal(access_log_check("relative", why), -EINVAL);
	assert_int_equal(access_log_check("/absolute", why), 0);
	assert_int_equal(access_log_check("-", why), 0);
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)
	const struct CMUnitTest tests[] = {
		LOG_TEST(lines_get_into_the_file),
		LOG_TEST(all_threads_lines_are_whole_and_in_order),
		LOG_TEST(a_renamed_file_gets_what_came_before),
		LOG_TEST(a_full_disk_loses_whole_lines),
		LOG_TEST(what_others_have_written_stays),
		LOG_TEST(a_fifo_that_nobody_reads_holds_up_nobody),
		LOG_TEST(what_cannot_be_opened_is_said),
	};

	log_init(LOG_LEVEL_ERROR);
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
