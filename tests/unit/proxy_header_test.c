/* SPDX-License-Identifier: MIT */
/*
 * Headers of the PROXY protocol: the specification's examples, what is no header, and that whatever comes is
 * judged within its bounds: each input ends where memory that may not be touched begins.
 */
#include "base/proxy_header.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PLACE_LEN (64 * 1024)
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static char *place; /* PLACE_LEN bytes; what follows cannot be read */

static int place_open(void **state)
{
	place = mmap(NULL, 2 * PLACE_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return place == MAP_FAILED || mprotect(place + PLACE_LEN, PLACE_LEN, PROT_NONE);
}

static int place_close(void **state)
{
	return munmap(place, 2 * PLACE_LEN);
}

static struct proxy_header header;
static const char *why;
static size_t used;

/* What it says of data[len), at the end of what may be read. */
static enum step judge(const char *data, size_t len)
{
	char *at = place + PLACE_LEN - len;
	enum step step;

	memmove(at, data, len);
	step = proxy_header_read(&header, at, len, &used, &why);
	switch (step) {
	case STEP_DONE:
		assert_in_range(used, 1, len);
		break;
	case STEP_MORE:
		assert_true(len < PROXY_HEADER_READ_MAX);
		break;
	default:
		assert_int_equal(step, STEP_FAILED);
		assert_non_null(why);
	}
	return step;
}

#define BYTES(text) text, sizeof(text) - 1
#define V2(rest)    BYTES(SIGNATURE rest)
#define ADDRESSES_4 "\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"
#define V6_A	    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define V6_B	    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
#define FOURS_4(x)  x x x x
#define NAMES                                                                                                \
	FOURS_4("/run/example.sock\0\0\0\0\0\0\0\0\0\0") FOURS_4("/run/example.sock\0\0\0\0\0\0\0\0\0\0")
#define FS "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

static const struct {
	const char *data;
	size_t len;
	const char *source, *destination; /* NULL: it gives none */
} good[] = {
	/* Section 2.1 */
	{BYTES("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), "192.168.0.1:56324", "192.168.0.11:443"},
	{BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255:65535",
	 "255.255.255.255:65535"},
	{BYTES("PROXY TCP6 " FS " " FS " 65535 65535\r\n"), "[" FS "]:65535", "[" FS "]:65535"},
	{BYTES("PROXY TCP6 ::1 2001:db8::7 0 1\r\n"), "[::1]:0", "[2001:db8::7]:1"},
	{BYTES("PROXY UNKNOWN\r\n"), NULL, NULL},
	{BYTES("PROXY UNKNOWN " FS " " FS " 65535 65535\r\n"), NULL, NULL},
	/* Section 2.2 */
	{V2("\x21\x11\0\x0c" ADDRESSES_4), "192.0.2.1:56324", "198.51.100.7:443"},
	{V2("\x21\x21\0\x24" V6_A V6_B "\xdc\x04\x01\xbb"), "[2001:db8::1]:56324", "[2001:db8::2]:443"},
	{V2("\x20\0\0\0"), NULL, NULL},
	{V2("\x20\x11\0\x0c" ADDRESSES_4), NULL, NULL}, /* LOCAL: the rest is passed over, */
	{V2("\x20\xff\0\x03zzz"), NULL, NULL},		/* whatever it is */
	{V2("\x21\0\0\0"), NULL, NULL},
	{V2("\x21\0\0\x03zzz"), NULL, NULL},
	{V2("\x21\x12\0\x0c" ADDRESSES_4), NULL, NULL}, /* a datagram */
	{V2("\x21\x22\0\x24" V6_A V6_B "\xdc\x04\x01\xbb"), NULL, NULL},
	{V2("\x21\x31\0\xd8" NAMES), NULL, NULL},
	{V2("\x21\x32\0\xd8" NAMES), NULL, NULL},
	/* TLVs; one is empty, the checksum is right. */
	{V2("\x21\x11\0\x18" ADDRESSES_4 "\x01\0\2h2\x04\0\0\xea\0\1x"), "192.0.2.1:56324",
	 "198.51.100.7:443"},
	{V2("\x21\x11\0\x1c" ADDRESSES_4 "\x01\0\2h2\x03\0\4\x5d\xc9iA\x04\0\1x"), "192.0.2.1:56324",
	 "198.51.100.7:443"},
};

static void check_address(const union addr *addr, const char *want)
{
	char text[ADDR_TEXT_LEN];

	if (want)
		assert_string_equal(addr_text(addr, text), want);
	else
		assert_int_equal(addr->sa.sa_family, AF_UNSPEC);
}

static void what_is_right_is_read_and_nothing_behind_it(void **state)
{
	char data[1024];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		static const size_t tails[] = {0, 1, 700};

		for (size_t k = 0; k < sizeof(tails) / sizeof(tails[0]); k++) {
			memset(mempcpy(data, good[i].data, good[i].len), '\n', tails[k]);
			if (judge(data, good[i].len + tails[k]) != STEP_DONE)
				fail_msg("%zu: %s", i, why ? why : "more");
			assert_int_equal(used, good[i].len);
			check_address(&header.source, good[i].source);
			check_address(&header.destination, good[i].destination);
		}
	}
}

static void a_part_of_it_asks_for_more(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		for (size_t len = 0; len < good[i].len; len++)
			if (judge(good[i].data, len) != STEP_MORE)
				fail_msg("%zu of %zu: %s", len, i, why ? why : "done");
}

/* Each byte by each other, and behind that a part of the rest, as it comes. */
static void a_byte_that_differs_is_judged_within_bounds(void **state)
{
	char data[1024];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		memcpy(data, good[i].data, good[i].len);
		for (size_t at = 0; at < good[i].len; at++) {
			for (int byte = 0; byte < 256; byte++) {
				enum step whole;

				data[at] = (char)byte;
				whole = judge(data, good[i].len);
				/* What is wrong early stays so, and what is complete is so from there on. */
				if (judge(data, at + 1) == STEP_FAILED)
					assert_int_equal(whole, STEP_FAILED);
			}
			data[at] = good[i].data[at];
		}
	}
}

static const struct {
	const char *data;
	size_t len;
	const char *says;
} bad[] = {
	{BYTES("G"), "not a PROXY protocol header"},
	{BYTES("GET / HTTP/1.1\r\n\r\n"), "not a PROXY protocol header"},
	{BYTES("\x16\x03\x01"), "not a PROXY protocol header"},
	{BYTES("PROXX"), "not a PROXY protocol header"},
	{BYTES("PROXY\r\n"), "not a PROXY protocol header"},
	{BYTES("proxy TCP4"), "not a PROXY protocol header"},
	{BYTES(" PROXY "), "not a PROXY protocol header"},
	{BYTES("\r\n\r\n\0\r\nQUIT\r\n"), "not a PROXY protocol header"},
	{BYTES("PROXY \n"), "CR LF"},
	{BYTES("PROXY UNKNOWN\n"), "CR LF"},
	{BYTES("PROXY UNKNOWN\0\r\n"), "not text"},
	{BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), "not text"},
	{BYTES("PROXY \r\n"), "none of TCP4"},
	{BYTES("PROXY UNKNOWNS\r\n"), "none of TCP4"},
	{BYTES("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"), "none of TCP4"},
	{BYTES("PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n"), "none of TCP4"},
	{BYTES("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), "none of TCP4"},
	{BYTES("PROXY TCP4\r\n"), "two addresses"},
	{BYTES("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"), "two addresses"},
	{BYTES("PROXY TCP4 1.2.3.4\r\n"), "two addresses"},
	{BYTES("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"), "two addresses"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n"), "two addresses"},
	{BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"), "two addresses"},
	{BYTES("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), "two addresses"},
	{BYTES("PROXY TCP6 ::g ::1 1 2\r\n"), "two addresses"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4\r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 99999999999999999999\r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n"), "two ports"},
	{BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 +2\r\n"), "two ports"},
	{BYTES("PROXY UNKNOWN " FS " " FS " 65535 65535 \r\n"), "107 bytes"},
	{BYTES("PROXY UNKNOWN " FS " " FS " 65535 65535xx"), "107 bytes"},
	{V2("\x11"), "its version"},
	{V2("\x22"), "its version"},
	{V2("\x21\x01"), "its family"},
	{V2("\x21\x10"), "its family"},
	{V2("\x21\x13"), "its family"},
	{V2("\x21\x41"), "its family"},
	{V2("\x21\x11\xff\xff"), "longer than 4096"},
	{V2("\x20\x11\x0f\xf1"), "longer than 4096"},
	{V2("\x21\x11\0\x0b"), "too short"},
	{V2("\x21\x21\0\x23"), "too short"},
	{V2("\x21\x31\0\xd7"), "too short"},
	{V2("\x21\x11\0\x0d" ADDRESSES_4 "\x04"), "TLV"},
	{V2("\x21\x11\0\x0f" ADDRESSES_4 "\x04\0\x01"), "TLV"},
	{V2("\x21\x11\0\x10" ADDRESSES_4 "\x04\xff\xffz"), "TLV"},
	{V2("\x21\x11\0\x12" ADDRESSES_4 "\x03\0\x03zzz"), "checksum"},
	{V2("\x21\x11\0\x13" ADDRESSES_4 "\x03\0\x04zzzz"), "checksum does not hold"},
	{V2("\x21\x11\0\x1a" ADDRESSES_4 "\x03\0\x04zzzz\x03\0\x04zzzz"), "checksum is not one"},
};

static void what_is_wrong_is_told(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (judge(bad[i].data, bad[i].len) != STEP_FAILED)
			fail_msg("%zu, for which '%s' was to be said", i, bad[i].says);
		if (!strstr(why, bad[i].says))
			fail_msg("%zu: '%s' does not say '%s'", i, why, bad[i].says);
	}
}

static void the_longest_one_is_read(void **state)
{
	static char data[PROXY_HEADER_READ_MAX + 1];
	char *at = mempcpy(data, BYTES(SIGNATURE "\x21\x11"));
	uint16_t len = htons(PROXY_HEADER_READ_MAX - 16), tlv = htons(PROXY_HEADER_READ_MAX - 16 - 12 - 3);

	at = mempcpy(at, &len, 2);
	at = mempcpy(at, BYTES(ADDRESSES_4 "\xee"));
	mempcpy(at, &tlv, 2);
	assert_int_equal(judge(data, PROXY_HEADER_READ_MAX - 1), STEP_MORE);
	assert_int_equal(judge(data, PROXY_HEADER_READ_MAX), STEP_DONE);
	assert_int_equal(used, PROXY_HEADER_READ_MAX);
}

/* --- writing --- */

static union addr address(const char *text)
{
	union addr addr = {0};
	char message[ADDR_WHY_LEN];

	if (*text && addr_resolve(text, false, &addr, message))
		fail_msg("%s", message);
	return addr;
}

static void what_is_written_is_read(void **state)
{
	static const struct {
		const char *source, *destination;
		const char *v1, *read_source; /* NULL: as unknown */
	} rows[] = {
		{"192.0.2.1:56324", "198.51.100.7:443", "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n",
		 "192.0.2.1:56324"},
		{"[2001:db8::1]:1", "[::1]:65535", "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
		 "[2001:db8::1]:1"},
		{"[::ffff:192.0.2.1]:1", "198.51.100.7:2", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
		 "192.0.2.1:1"},
		{"[::1]:1", "198.51.100.7:2", "PROXY UNKNOWN\r\n", NULL},
		{"", "198.51.100.7:2", "PROXY UNKNOWN\r\n", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct proxy_header written = {.source = address(rows[i].source),
						     .destination = address(rows[i].destination)};
		char text[PROXY_HEADER_MAX];
		size_t len;

		for (int is_v2 = 0; is_v2 < 2; is_v2++) {
			len = proxy_header_write(&written, is_v2, text, sizeof(text));
			if (!is_v2) {
				assert_int_equal(len, strlen(rows[i].v1));
				assert_memory_equal(text, rows[i].v1, len);
			}
			assert_int_equal(judge(text, len), STEP_DONE);
			assert_int_equal(used, len);
			check_address(&header.source, rows[i].read_source);
		}
	}
}

static size_t write_tls(char *text, const struct proxy_tls *tls, const char *alpn, const char *authority)
{
	const struct proxy_header written = {
		.source = address("192.0.2.1:56324"),
		.destination = address("198.51.100.7:443"),
		.alpn = alpn,
		.authority = authority,
		.tls = tls,
	};

	return proxy_header_write(&written, true, text, PROXY_HEADER_MAX);
}

static void check_tlvs(const struct proxy_tls *tls, const char *want, size_t len)
{
	char text[PROXY_HEADER_MAX];

	assert_int_equal(write_tls(text, tls, "", NULL), 16 + 12 + len);
	assert_memory_equal(text + 16 + 12, want, len);
	assert_int_equal(judge(text, 16 + 12 + len), STEP_DONE);
}

static void tls_is_told_in_tlvs(void **state)
{
	struct proxy_tls tls = {"TLSv1.3", "TLS_X", "", false, false};
	char text[PROXY_HEADER_MAX];

	check_tlvs(&tls, BYTES("\x20\0\x17\x01\0\0\0\x01\x21\0\x07TLSv1.3\x23\0\x05TLS_X"));
	tls.client_name = "not verified";
	check_tlvs(&tls, BYTES("\x20\0\x17\x01\0\0\0\x01\x21\0\x07TLSv1.3\x23\0\x05TLS_X"));
	tls = (struct proxy_tls){"TLSv1.3", "TLS_X", "me", true, false};
	check_tlvs(&tls, BYTES("\x20\0\x1c\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x02me\x23\0\x05TLS_X"));
	tls = (struct proxy_tls){"TLSv1.3", "TLS_X", "me", true, true};
	check_tlvs(&tls, BYTES("\x20\0\x1c\x05\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x02me\x23\0\x05TLS_X"));
	assert_int_equal(write_tls(text, NULL, "h2", "a.test"), 16 + 12 + 5 + 9);
	assert_memory_equal(text + 28, "\x01\0\2h2\x02\0\6a.test", 14);
}

static void long_texts_are_cut(void **state)
{
	char text[PROXY_HEADER_MAX], name[2000];
	const struct proxy_tls tls = {name, name, name, true, false};
	size_t len;

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	len = write_tls(text, &tls, name, name);
	assert_in_range(len, 700, PROXY_HEADER_MAX);
	assert_int_equal(judge(text, len), STEP_DONE);
	assert_int_equal(used, len);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_right_is_read_and_nothing_behind_it),
		cmocka_unit_test(a_part_of_it_asks_for_more),
		cmocka_unit_test(a_byte_that_differs_is_judged_within_bounds),
		cmocka_unit_test(what_is_wrong_is_told),
		cmocka_unit_test(the_longest_one_is_read),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(tls_is_told_in_tlvs),
		cmocka_unit_test(long_texts_are_cut),
	};

	return cmocka_run_group_tests(tests, place_open, place_close);
}
