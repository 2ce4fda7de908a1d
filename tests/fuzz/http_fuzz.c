/* SPDX-License-Identifier: MIT */
/*
 * Any bytes, split in any way, get the same response from the http service, and every byte that it consumes
 * was given to it. The first bytes of an input are the sizes of the pieces.
 *
 * Run: http_fuzz -max_len=4096 CORPUS
 */
#include "tests/unit/http_run.h"

#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct http_tree tree;

static void end(void)
{
	tree_destroy(&tree);
	outq_trim();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	tree_create(&tree);
	atexit(end);
	return 0;
}

static struct http_output respond(const char *data, size_t len, const unsigned char *splits, size_t nsplits,
				  struct counters *counters)
{
	struct http_run run = {
		.options = {.header_max = 512, .body_max = 2048, .file_cache = 2, .file_valid_us = 1000000}};
	struct http_output output;

	must(run_open(&run, tree.root) == 0);
	output = run_bytes(&run, data, len, splits, nsplits);
	*counters = run.counters;
	run_close(&run);
	return output;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const size_t nsplits = 4;
	struct counters counters, split_counters;
	struct http_output whole, split;

	if (len <= nsplits)
		return 0;
	whole = respond((const char *)data + nsplits, len - nsplits, NULL, 0, &counters);
	split = respond((const char *)data + nsplits, len - nsplits, data, nsplits, &split_counters);
	must(whole.step == split.step);
	must(whole.phase == split.phase);
	must(whole.len == split.len);
	must(memcmp(whole.text, split.text, whole.len) == 0);
	must(memcmp(&counters, &split_counters, sizeof(counters)) == 0);
	free(whole.text);
	free(split.text);
	return 0;
}
