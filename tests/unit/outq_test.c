/* SPDX-License-Identifier: MIT */
/* Queues of output: what goes in comes out in order, memory is counted and recycled. */
#include "http_run.h"
#include "server/outq.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct http_tree tree;
static struct file_cache *files;

static struct file *open_file(const char *name)
{
	struct file *file;

	assert_int_equal(file_open(files, name, strlen(name), 0, &file), 0);
	return file;
}

static unsigned int count_segs(const struct outq *q)
{
	const struct seg *seg;
	unsigned int n = 0;

	STAILQ_FOREACH (seg, &q->segs, link)
		n++;
	return n;
}

static void check_output(struct outq *q, const void *want, size_t len)
{
	struct http_output output = {0};

	output_take(&output, q);
	assert_int_equal(output.len, len);
	assert_memory_equal(output.text, want, len);
	free(output.text);
}

static void appends_come_out_in_order_whatever_their_size(void **state)
{
	static const size_t sizes[] = {1, 0, 63, 500, 4000, 1, 4096, 4097, 65536, 65537, 3, 200000, 7};
	struct outq q;
	size_t total = 0, at = 0;
	char *data;

	outq_init(&q);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		total += sizes[i];
	data = malloc(total);
	for (size_t i = 0; i < total; i++)
		data[i] = (char)(i * 7 + i / 251);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); at += sizes[i++])
		assert_int_equal(outq_append(&q, data + at, sizes[i]), 0);
	assert_int_equal(q.nbytes, total);
	assert_true(q.memory >= total);
	check_output(&q, data, total);
	free(data);
}

static void small_appends_share_segments(void **state)
{
	struct outq q;

	outq_init(&q);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(outq_append(&q, "12345678", 8), 0);
	assert_in_range(count_segs(&q), 1, 8);
	assert_in_range(q.memory, 8000, 16384);
	outq_clear(&q);
	assert_int_equal(q.memory, 0);
	assert_true(outq_empty(&q));
}

static void consume_takes_any_number_of_bytes(void **state)
{
	struct outq q;

	outq_init(&q);
	assert_int_equal(outq_append(&q, "abc", 3), 0);
	assert_int_equal(outq_append_file(&q, &open_file("ten.txt")->out, 2, 6), 0);
	assert_int_equal(outq_append(&q, "xyz", 3), 0);
	outq_consume(&q, 2);
	assert_int_equal(q.nbytes, 10);
	outq_consume(&q, 3);
	assert_int_equal(q.nbytes, 7);
	check_output(&q, "4567xyz", 7);
}

static void printf_appends_its_text_and_no_nul(void **state)
{
	struct outq q;

	outq_init(&q);
	assert_int_equal(outq_printf(&q, "%d-%s;", 12, "ab"), 0);
	assert_int_equal(outq_printf(&q, "%s", ""), 0);
	assert_int_equal(outq_append(&q, "c", 1), 0);
	check_output(&q, "12-ab;c", 7);
}

static void reserved_room_takes_the_file_behind_it(void **state)
{
	struct seg *head;
	struct outq q;
	char *to;

	outq_init(&q);
	to = outq_reserve(&q, 4, 10);
	memcpy(to, "head", 4);
	outq_commit(&q, 4);
	assert_int_equal(outq_append_file(&q, &open_file("ten.txt")->out, 0, 10), 0);
	assert_int_equal(outq_append(&q, "next", 4), 0);
	head = STAILQ_FIRST(&q.segs);
	assert_in_range(head->mem.cap - head->mem.end, 10, 1024);
	memcpy(head->data + head->mem.end, "0123", 4);
	outq_fill(&q, head, 4);
	assert_int_equal(count_segs(&q), 3);
	memcpy(head->data + head->mem.end, "456789", 6);
	outq_fill(&q, head, 6);
	assert_int_equal(count_segs(&q), 2);
	assert_int_equal(q.nbytes, 18);
	check_output(&q, "head0123456789next", 18);
}

static void fill_of_the_last_range_keeps_the_tail(void **state)
{
	struct seg *head;
	struct outq q;
	char *to;

	outq_init(&q);
	to = outq_reserve(&q, 1, 10);
	*to = 'h';
	outq_commit(&q, 1);
	assert_int_equal(outq_append_file(&q, &open_file("ten.txt")->out, 9, 1), 0);
	head = STAILQ_FIRST(&q.segs);
	head->data[head->mem.end] = '9';
	outq_fill(&q, head, 1);
	assert_int_equal(outq_append(&q, "more", 4), 0);
	check_output(&q, "h9more", 6);
}

static void room_of_a_big_file_is_not_kept(void **state)
{
	struct outq q;

	outq_init(&q);
	assert_non_null(outq_reserve(&q, 200, OUTQ_ROOM_MAX + 1));
	outq_commit(&q, 200);
	assert_true(q.memory <= 512);
	outq_clear(&q);
}

static void splice_moves_everything(void **state)
{
	struct outq q, from;

	outq_init(&q);
	outq_init(&from);
	assert_int_equal(outq_append(&q, "ab", 2), 0);
	assert_int_equal(outq_append(&from, "cd", 2), 0);
	outq_splice(&q, &from);
	assert_true(outq_empty(&from));
	assert_int_equal(from.memory, 0);
	assert_int_equal(outq_append(&q, "ef", 2), 0);
	outq_splice(&q, &from);
	check_output(&q, "abcdef", 6);
}

static void segments_are_recycled(void **state)
{
	struct outq q;
	void *first;

	outq_trim();
	outq_init(&q);
	assert_int_equal(outq_append(&q, "a", 1), 0);
	first = STAILQ_FIRST(&q.segs);
	outq_consume(&q, 1);
	assert_int_equal(outq_append(&q, "b", 1), 0);
	assert_ptr_equal(STAILQ_FIRST(&q.segs), first);
	outq_clear(&q);
}

static void clear_gives_file_references_back(void **state)
{
	struct file *file = open_file("ten.txt");
	struct outq q;

	outq_init(&q);
	assert_int_equal(outq_append_file(&q, outq_file_get(&file->out), 0, 10), 0);
	assert_int_equal(file->out.refs, 3);
	outq_clear(&q);
	assert_int_equal(file->out.refs, 2);
	file_put(file);
}

/* Appends "before", a response of a file, and "behind". */
static struct seg *append_response(struct outq *q, struct file *file, bool has_neighbours)
{
	char *to;

	outq_init(q);
	if (has_neighbours)
		assert_int_equal(outq_append(q, "before", 6), 0);
	to = outq_reserve(q, 4, 10);
	memcpy(to, "head", 4);
	outq_commit(q, 4);
	assert_int_equal(outq_append_body(q, outq_file_get(&file->out), 0, 10, 4, 77), 0);
	if (has_neighbours)
		assert_int_equal(outq_append(q, "behind", 6), 0);
	return STAILQ_FIRST(&q->segs);
}

static void a_response_is_called_back_from_between_others(void **state)
{
	struct file *file = open_file("ten.txt");
	struct outq q, rest;
	uint32_t note;

	for (int i = 0; i < 2; i++) {
		struct seg *seg = append_response(&q, file, i);

		assert_true(outq_is_callable(seg));
		memcpy(seg->data + seg->mem.end, "0123", 4);
		outq_fill(&q, seg, 4); /* a part of the file */
		assert_true(outq_is_callable(seg));
		outq_init(&rest);
		assert_ptr_equal(outq_call_back(&q, seg, &rest, &note), &file->out);
		assert_int_equal(note, 77);
		assert_int_equal(q.nbytes, i ? 6 : 0);
		assert_int_equal(rest.nbytes, i ? 6 : 0);
		assert_int_equal(outq_append(&q, "-anew-", 6), 0);
		outq_splice(&q, &rest);
		check_output(&q, i ? "before-anew-behind" : "-anew-", i ? 18 : 6);
		outq_file_put(&file->out);
	}
	assert_int_equal(file->out.refs, 2);
	file_put(file);
}

static void a_response_is_kept_once_some_of_it_is_taken(void **state)
{
	struct file *file = open_file("ten.txt");
	struct outq q;
	struct seg *seg = append_response(&q, file, true);

	outq_consume(&q, 6);
	assert_true(outq_is_callable(seg));
	outq_consume(&q, 1);
	assert_false(outq_is_callable(seg));
	memcpy(seg->data + seg->mem.end, "0123", 4);
	outq_fill(&q, seg, 4);
	assert_false(outq_is_callable(seg));
	outq_clear(&q);
	file_put(file);
}

static int setup(void **state)
{
	char why[256];

	tree_create(&tree);
	return file_cache_create(&files, NULL, NULL, tree.root, 4, 1000, why);
}

static int teardown(void **state)
{
	file_cache_destroy(files);
	tree_destroy(&tree);
	outq_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_come_out_in_order_whatever_their_size),
		cmocka_unit_test(small_appends_share_segments),
		cmocka_unit_test(consume_takes_any_number_of_bytes),
		cmocka_unit_test(printf_appends_its_text_and_no_nul),
		cmocka_unit_test(reserved_room_takes_the_file_behind_it),
		cmocka_unit_test(fill_of_the_last_range_keeps_the_tail),
		cmocka_unit_test(room_of_a_big_file_is_not_kept),
		cmocka_unit_test(splice_moves_everything),
		cmocka_unit_test(segments_are_recycled),
		cmocka_unit_test(clear_gives_file_references_back),
		cmocka_unit_test(a_response_is_called_back_from_between_others),
		cmocka_unit_test(a_response_is_kept_once_some_of_it_is_taken),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
