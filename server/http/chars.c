/* SPDX-License-Identifier: MIT */
#include "chars.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define ALL (CHAR_TOKEN | CHAR_HOST | CHAR_PATH)

const unsigned char char_classes[256] = {
	['0' ... '9'] = ALL,
	['A' ... 'Z'] = ALL,
	['a' ... 'z'] = ALL,
	['!'] = ALL,
	['#'] = CHAR_TOKEN,
	['$'] = ALL,
	['%'] = CHAR_TOKEN | CHAR_HOST,
	['&'] = ALL,
	['\''] = ALL,
	['('] = CHAR_HOST | CHAR_PATH,
	[')'] = CHAR_HOST | CHAR_PATH,
	['*'] = ALL,
	['+'] = ALL,
	[','] = CHAR_PATH,
	['-'] = ALL,
	['.'] = ALL,
	['/'] = CHAR_PATH,
	[':'] = CHAR_HOST | CHAR_PATH,
	[';'] = CHAR_HOST | CHAR_PATH,
	['='] = CHAR_HOST | CHAR_PATH,
	['@'] = CHAR_PATH,
	['['] = CHAR_HOST,
	[']'] = CHAR_HOST,
	['^'] = CHAR_TOKEN,
	['_'] = ALL,
	['`'] = CHAR_TOKEN,
	['|'] = CHAR_TOKEN,
	['~'] = ALL,
};

bool is_authority(struct span authority)
{
	for (size_t i = 0; i < authority.len; i++)
		if (!is_host(authority.at[i]))
			return false;
	return authority.len && *authority.at != ':';
}

struct span span_trim(const char *at, size_t len)
{
	while (len && (*at == ' ' || *at == '\t')) {
		at++;
		len--;
	}
	while (len && (at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	return (struct span){at, len};
}

#define ONES (~0ull / 255)

/*
 * Finds control bytes (below 0x20, or DEL) among eight: the lowest set bit is bit 7 of the first of them.
 * Higher bits may be set falsely, by borrows. Returns 0 if there is none.
 */
static uint64_t word_controls(uint64_t word)
{
	uint64_t low = (word - ONES * 0x20) & ~word;
	uint64_t del = word ^ ONES * 0x7f;

	return (low | ((del - ONES) & ~del)) & ONES * 0x80;
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

size_t find_control(const char *data, size_t at, size_t len)
{
	uint64_t word, found;

	for (; at + sizeof(word) <= len; at += sizeof(word)) {
		memcpy(&word, data + at, sizeof(word));
		found = word_controls(le64toh(word));
		if (found)
			return at + (size_t)__builtin_ctzll(found) / 8;
	}
	while (at < len && !is_control(data[at]))
		at++;
	return at;
}
