/* SPDX-License-Identifier: MIT */
/*
 * Any bytes, arriving one at a time, are judged as if they had come at once: as no header from the first byte
 * on that makes them none, as one from its last byte on. What was read, written again, is read as the same.
 *
 * Run: proxy_header_fuzz -max_len=4200 -dict=tests/fuzz/proxy_header.dict CORPUS
 */
#include "base/proxy_header.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static enum step judge(struct proxy_header *header, const uint8_t *data, size_t len, size_t *used)
{
	char *copy = malloc(len ? len : 1); /* of this size, so that a byte too far is noticed */
	const char *why;
	enum step step;

	assert(copy);
	memcpy(copy, data, len);
	step = proxy_header_read(header, copy, len, used, &why);
	free(copy);
	assert(step == STEP_DONE || step == STEP_MORE || (step == STEP_FAILED && why && *why));
	assert(step != STEP_DONE || (*used && *used <= len));
	assert(step != STEP_MORE || len < PROXY_HEADER_READ_MAX);
	return step;
}

static void check_again(const struct proxy_header *header, bool is_v2)
{
	struct proxy_header again, unmapped = *header;
	char text[PROXY_HEADER_MAX];
	size_t used, len = proxy_header_write(header, is_v2, text, sizeof(text));

	assert(judge(&again, (const uint8_t *)text, len, &used) == STEP_DONE && used == len);
	addr_unmap(&unmapped.source);
	addr_unmap(&unmapped.destination);
	if (unmapped.source.sa.sa_family != unmapped.destination.sa.sa_family)
		unmapped = (struct proxy_header){0};
	assert(!memcmp(&unmapped, &again, sizeof(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct proxy_header header, part;
	size_t used, part_used, n = 0;
	enum step step = judge(&header, data, len, &used), so_far;

	do
		so_far = judge(&part, data, n, &part_used);
	while (so_far == STEP_MORE && n++ < len);
	assert(so_far == step);
	if (step != STEP_DONE)
		return 0;
	assert(part_used == used && n == used);
	assert(!memcmp(&part, &header, sizeof(header)));
	check_again(&header, false);
	check_again(&header, true);
	return 0;
}
