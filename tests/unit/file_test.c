/* SPDX-License-Identifier: MIT */
/* The cache of open files, attached to a ring: trust, change, eviction, and what is never opened. */
#include "aio/taio.h"
#include "http_run.h"
#include "server/http/date.h"
#include "server/http/mime.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include <cmocka.h>

static struct http_tree tree;
static struct taio *ring;
static const uint64_t *turn;

static struct file_cache *cache_of(unsigned int max, unsigned int valid_ms)
{
	struct file_cache *cache;
	char why[256];

	assert_int_equal(file_cache_create(&cache, ring, turn, tree.root, max, valid_ms, why), 0);
	return cache;
}

static int try_open(struct file_cache *cache, const char *path, uint64_t now_ms, struct file **file)
{
	return file_open(cache, path, strlen(path), now_ms, file);
}

static struct file *must_open(struct file_cache *cache, const char *path, uint64_t now_ms)
{
	struct file *file;

	assert_int_equal(try_open(cache, path, now_ms, &file), 0);
	return file;
}

static unsigned int count_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void open_results_are_told_apart(void **state)
{
	static const struct {
		const char *path;
		int want;
	} rows[] = {
		{"ten.txt", 0},	     {"", 0},
		{"sub", 0},	     {"inside", 0},
		{"none", -ENOENT},   {"ten.txt/x", -ENOTDIR},
		{"outside", -EXDEV}, {"above/x", -EXDEV},
		{"../x", -EXDEV},    {"/etc/passwd", -EXDEV},
		{"loop", -ELOOP},    {"fifo", -EACCES},
	};
	struct file_cache *cache = cache_of(4, 1000);
	struct file *file;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int err = try_open(cache, rows[i].path, 0, &file);

		if (err != rows[i].want)
			fail_msg("%s: %d", rows[i].path, err);
		if (!err)
			file_put(file);
	}
	file_cache_destroy(cache);
}

static void a_file_is_described_by_its_lines(void **state)
{
	struct file_cache *cache = cache_of(4, 1000);
	struct file *file = must_open(cache, "ten.txt", 0);

	assert_false(file->is_dir);
	assert_int_equal(file->size, 10);
	assert_int_equal(file->mtime, TREE_MTIME);
	assert_string_equal(file->mime, "text/plain; charset=utf-8");
	assert_int_equal(file->etag[0], '"');
	assert_non_null(strstr(file->lines, "Content-Length: 10\r\n"));
	assert_memory_equal(file->lines + file->validators, "Last-Modified: Sun, 06 Nov 1994", 31);
	assert_int_equal(strlen(file->lines), file->lines_len);
	file_put(file);
	file_cache_destroy(cache);
}

/* RFC 9110, section 8.8.2.1. */
static void a_time_in_the_future_is_not_told(void **state)
{
	struct file_cache *cache = cache_of(4, 1000);
	time_t now = time(NULL), told;
	struct timespec times[2] = {{.tv_sec = now + 86400}, {.tv_sec = now + 86400}};
	struct file *file;
	char path[128];

	snprintf(path, sizeof(path), "%s/future.txt", tree.root);
	tree_file(tree.root, "future.txt", "x", 1);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	file = must_open(cache, "future.txt", 0);
	assert_memory_equal(file->lines + file->validators, "Last-Modified: ", 15);
	assert_true(http_date_parse(file->lines + file->validators + 15, HTTP_DATE_LEN, now, &told));
	assert_true(told <= time(NULL));
	assert_int_equal(told, file->mtime);
	file_put(file);
	file_cache_destroy(cache);
}

static void a_file_can_be_read_through_the_ring(void **state)
{
	struct file_cache *cache = cache_of(4, 1000);
	struct file *file = must_open(cache, "ten.txt", 0);
	struct io_event event;
	struct iocb iocb, *list = &iocb;
	char data[16];

	io_prep_pread(&iocb, file->out.afd, data, sizeof(data), 3);
	assert_int_equal(taio_submit(ring, 1, &list), 1);
	assert_int_equal(taio_wait(ring, 1, &event, 10000), 1);
	assert_int_equal(event.res, 7);
	assert_memory_equal(data, "3456789", 7);
	file_put(file);
	file_cache_destroy(cache);
}

static void a_trusted_file_is_the_same_one_without_a_look(void **state)
{
	struct file_cache *cache = cache_of(4, 1000);
	struct file *file = must_open(cache, "gone", 0), *again;

	assert_int_equal(unlinkat(AT_FDCWD, *state, 0), 0);
	again = must_open(cache, "gone", 999);
	assert_ptr_equal(file, again);
	file_put(again);
	assert_int_equal(try_open(cache, "gone", 1000, &again), -ENOENT);
	assert_int_equal(file->out.refs, 1);
	file_put(file);
	file_cache_destroy(cache);
}

static void an_unchanged_file_is_trusted_again_after_a_look(void **state)
{
	struct file_cache *cache = cache_of(4, 1000);
	struct file *file = must_open(cache, "ten.txt", 0), *again;

	again = must_open(cache, "ten.txt", 5000);
	assert_ptr_equal(file, again);
	assert_int_equal(file->checked_ms, 5000);
	file_put(again);
	file_put(file);
	file_cache_destroy(cache);
}

static void a_changed_file_is_opened_anew_and_the_old_one_lives_on(void **state)
{
	struct file_cache *cache = cache_of(4, 1000);
	struct file *file = must_open(cache, "gone", 0), *again;
	char data[4];

	assert_int_equal(unlinkat(AT_FDCWD, *state, 0), 0);
	tree_file(tree.root, "gone", "new data", 8);
	again = must_open(cache, "gone", 1000);
	assert_ptr_not_equal(file, again);
	assert_string_not_equal(file->etag, again->etag);
	assert_int_equal(again->size, 8);
	assert_int_equal(pread(file->fd, data, 3, 0), 3);
	assert_memory_equal(data, "old", 3);
	file_put(file);
	file_put(again);
	file_cache_destroy(cache);
}

/* Permissions are checked when a file is opened: after a change of them it is opened again. */
static void a_file_whose_permissions_change_is_opened_anew(void **state)
{
	static const struct timespec tick = {.tv_nsec = 20000000};
	struct file_cache *cache = cache_of(4, 1000);
	struct file *file = must_open(cache, "gone", 0), *again = NULL;
	int err;

	nanosleep(&tick, NULL); /* until another change has another ctime */
	assert_int_equal(chmod(*state, 0), 0);
	err = try_open(cache, "gone", 1000, &again);
	if (geteuid()) {
		assert_int_equal(err, -EACCES);
	} else {
		assert_int_equal(err, 0);
		assert_ptr_not_equal(file, again);
		assert_string_equal(file->etag, again->etag);
		file_put(again);
	}
	file_put(file);
	file_cache_destroy(cache);
	unlinkat(AT_FDCWD, *state, 0);
}

/* Reads @len bytes of @file at @offset, and asks what has become of it. */
static enum outq_file_state read_and_check(struct file *file, uint64_t offset, size_t len)
{
	char data[16];

	assert_in_range(pread(file->fd, data, len, (off_t)offset), 1, len);
	return file->out.check(&file->out, offset, data, len);
}

static void add_to(const char *path, const char *flags, const char *text)
{
	FILE *f = fopen(path, flags);

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0 && fclose(f) == 0, 1);
}

static void what_has_become_of_an_open_file_is_told(void **state)
{
	static const struct {
		bool has_sample;
		const char *flags, *text;
		enum outq_file_state want;
	} rows[] = {
		{true, "a", "", OUTQ_FILE_SAME},
		{true, "a", " and more", OUTQ_FILE_GREW},
		{false, "a", " and more", OUTQ_FILE_CHANGED},
		{true, "w", "longer than before", OUTQ_FILE_CHANGED},
		{true, "w", "o", OUTQ_FILE_CHANGED},
		{true, "w", "new", OUTQ_FILE_CHANGED},
	};
	struct file_cache *cache = cache_of(0, 1000);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct file *file;

		tree_file(tree.root, "gone", "old", 3);
		file = must_open(cache, "gone", 0);
		if (rows[i].has_sample)
			assert_int_equal(read_and_check(file, 0, 3), OUTQ_FILE_SAME);
		if (*rows[i].text)
			add_to(*state, rows[i].flags, rows[i].text);
		if (read_and_check(file, 0, 1) != rows[i].want)
			fail_msg("row %zu", i);
		file_put(file);
	}
	file_cache_destroy(cache);
}

/* As by a recorder, which appends, and writes the length into the file's header now and then. */
static void a_file_that_grew_is_looked_at_on_both_ends(void **state)
{
	static const struct {
		off_t at;
		enum outq_file_state want;
	} rows[] = {{0, OUTQ_FILE_CHANGED},
		    {63, OUTQ_FILE_CHANGED},
		    {299, OUTQ_FILE_CHANGED},
		    {300, OUTQ_FILE_GREW}};
	struct file_cache *cache = cache_of(0, 1000);
	char text[300];

	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct file *file;
		FILE *f;

		tree_file(tree.root, "gone", text, sizeof(text));
		file = must_open(cache, "gone", 0);
		assert_int_equal(read_and_check(file, 0, 3), OUTQ_FILE_SAME);
		f = fopen(*state, "r+");
		assert_non_null(f);
		assert_int_equal(fseek(f, rows[i].at, SEEK_SET), 0);
		assert_int_equal(fputc('b', f), 'b');
		assert_int_equal(fclose(f), 0);
		add_to(*state, "a", " and more");
		if (read_and_check(file, 0, 1) != rows[i].want)
			fail_msg("row %zu", i);
		file_put(file);
	}
	file_cache_destroy(cache);
}

/* What a turn handles was read before it began; what has changed since is the next one's. */
static void an_open_file_is_asked_once_a_turn(void **state)
{
	uint64_t now = 1;
	struct file_cache *cache;
	struct file *file, *again;

	turn = &now;
	cache = cache_of(4, 100000);
	turn = NULL;
	tree_file(tree.root, "gone", "old", 3);
	file = must_open(cache, "gone", 0);
	assert_int_equal(read_and_check(file, 0, 3), OUTQ_FILE_SAME);
	add_to(*state, "w", "x");
	assert_int_equal(read_and_check(file, 0, 1), OUTQ_FILE_SAME);
	again = must_open(cache, "gone", 0);
	assert_ptr_equal(again, file);
	file_put(again);
	now++;
	assert_int_equal(read_and_check(file, 0, 1), OUTQ_FILE_CHANGED);
	again = must_open(cache, "gone", 0);
	assert_int_equal(again->size, 1);
	file_put(again);
	file_put(file);
	file_cache_destroy(cache);
}

static void an_open_file_that_has_changed_is_another_at_once(void **state)
{
	struct file_cache *cache = cache_of(4, 1000);
	struct file *file = must_open(cache, "gone", 0), *again;

	add_to(*state, "w", "x");
	again = must_open(cache, "gone", 0);
	assert_int_equal(again->size, 1);
	assert_int_equal(file->size, 3);
	assert_string_not_equal(file->etag, again->etag);
	file_put(file);
	file_put(again);
	file_cache_destroy(cache);
}

/* RFC 9110, section 8.8.1: a tag is strong only if each change gives another. */
static void a_file_that_has_just_changed_has_a_weak_tag(void **state)
{
	struct file_cache *cache = cache_of(4, 100000);
	struct file *file;
	char weak[56];

	add_to(*state, "w", "x");
	file = must_open(cache, "gone", 0);
	assert_memory_equal(file->etag, "W/\"", 3);
	strcpy(weak, file->etag);
	while (file->etag[0] == 'W') {
		file_put(file);
		file = must_open(cache, "gone", 0);
	}
	assert_int_equal(file->etag[0], '"');
	assert_string_not_equal(file->etag, weak + 2);
	file_put(file);
	file_cache_destroy(cache);
}

static void a_root_is_opened_anew(void **state)
{
	struct file_cache *cache;
	struct file *file;
	char link[128], other[128], why[256];

	snprintf(link, sizeof(link), "%s/link", tree.root);
	snprintf(other, sizeof(other), "%s/other", tree.root);
	tree_link(tree.root, "link", "sub");
	assert_int_equal(file_cache_create(&cache, ring, NULL, link, 4, 100000, why), 0);
	file_put(must_open(cache, "index.html", 0));
	tree_link(tree.root, "other", "nowhere");
	assert_int_equal(rename(other, link), 0);
	assert_int_equal(file_cache_reopen(cache, link, why), -ENOENT);
	file_put(must_open(cache, "index.html", 0));
	tree_link(tree.root, "other", "bare");
	assert_int_equal(rename(other, link), 0);
	assert_int_equal(file_cache_reopen(cache, link, why), 0);
	assert_int_equal(try_open(cache, "index.html", 0, &file), -ENOENT);
	file_cache_destroy(cache);
}

static void the_least_recently_used_file_is_closed(void **state)
{
	struct file_cache *cache = cache_of(2, 1000);
	unsigned int before = count_fds();
	struct file *ten = must_open(cache, "ten.txt", 0);

	file_put(ten);
	file_put(must_open(cache, "1k.bin", 0));
	file_put(must_open(cache, "ten.txt", 0));
	file_put(must_open(cache, "a b.txt", 0));
	assert_int_equal(count_fds(), before + 2);
	assert_ptr_equal(ten, must_open(cache, "ten.txt", 0));
	file_put(ten);
	file_cache_destroy(cache);
}

static void without_a_cache_files_are_closed_when_put(void **state)
{
	struct file_cache *cache = cache_of(0, 1000);
	unsigned int before = count_fds();
	struct file *file = must_open(cache, "ten.txt", 0);

	assert_int_equal(file->out.refs, 1);
	file_put(file);
	assert_int_equal(count_fds(), before);
	file_cache_destroy(cache);
}

static void many_files_share_the_table(void **state)
{
	struct file_cache *cache = cache_of(64, 1000);
	char name[32];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		tree_file(tree.root, name, name, strlen(name));
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 100; i++) {
			struct file *file;

			snprintf(name, sizeof(name), "many%d", i);
			file = must_open(cache, name, 0);
			assert_string_equal(file->path, name);
			file_put(file);
		}
	}
	file_cache_destroy(cache);
}

static void without_descriptors_it_says_so_and_serves_what_is_open(void **state)
{
	struct file_cache *cache = cache_of(4, 1000);
	struct rlimit limit, none;
	struct file *file, *again;
	int err;

	file_put(must_open(cache, "ten.txt", 0));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	err = try_open(cache, "1k.bin", 0, &file);
	again = must_open(cache, "ten.txt", 5000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(err, -EMFILE);
	file_put(again);
	file_cache_destroy(cache);
}

static void types_follow_the_extension(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"a.html", "text/html; charset=utf-8"},
		{"A.HTML", "text/html; charset=utf-8"},
		{"b/c.tar.gz", "application/gzip"},
		{"x.7z", "application/x-7z-compressed"},
		{"x.zst", "application/zstd"},
		{"x.webmanifest", "application/manifest+json"},
		{"none", "application/octet-stream"},
		{"dot.", "application/octet-stream"},
		{".html", "application/octet-stream"},
		{"d.html/none", "application/octet-stream"},
		{"x.averyverylongextension", "application/octet-stream"},
		{"", "application/octet-stream"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(mime_type(rows[i].in, strlen(rows[i].in)), rows[i].want);
}

/* A file "gone" that the test may change; its path is the state. */
static int make_gone(void **state)
{
	static char path[512];

	tree_file(tree.root, "gone", "old", 3);
	snprintf(path, sizeof(path), "%s/gone", tree.root);
	*state = path;
	return 0;
}

static int setup(void **state)
{
	const struct taio_params params = {.engine = "epoll"};
	char why[TAIO_WHY_LEN];

	tree_create(&tree);
	return taio_open(&ring, &params, why);
}

static int teardown(void **state)
{
	taio_close(ring);
	tree_destroy(&tree);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_results_are_told_apart),
		cmocka_unit_test(a_file_is_described_by_its_lines),
		cmocka_unit_test(a_time_in_the_future_is_not_told),
		cmocka_unit_test(a_file_can_be_read_through_the_ring),
		cmocka_unit_test_setup(a_trusted_file_is_the_same_one_without_a_look, make_gone),
		cmocka_unit_test(an_unchanged_file_is_trusted_again_after_a_look),
		cmocka_unit_test_setup(a_changed_file_is_opened_anew_and_the_old_one_lives_on, make_gone),
		cmocka_unit_test_setup(a_file_whose_permissions_change_is_opened_anew, make_gone),
		cmocka_unit_test_setup(what_has_become_of_an_open_file_is_told, make_gone),
		cmocka_unit_test_setup(a_file_that_grew_is_looked_at_on_both_ends, make_gone),
		cmocka_unit_test_setup(an_open_file_is_asked_once_a_turn, make_gone),
		cmocka_unit_test_setup(an_open_file_that_has_changed_is_another_at_once, make_gone),
		cmocka_unit_test_setup(a_file_that_has_just_changed_has_a_weak_tag, make_gone),
		cmocka_unit_test(a_root_is_opened_anew),
		cmocka_unit_test(the_least_recently_used_file_is_closed),
		cmocka_unit_test(without_a_cache_files_are_closed_when_put),
		cmocka_unit_test(many_files_share_the_table),
		cmocka_unit_test(without_descriptors_it_says_so_and_serves_what_is_open),
		cmocka_unit_test(types_follow_the_extension),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
