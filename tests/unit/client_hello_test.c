/* SPDX-License-Identifier: MIT */
/* The name in a ClientHello, whatever pieces and records it comes in, and what is none. */
#include "server/proxy/client_hello.h"

#include "client_hellos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const uint8_t *data;
	size_t len;
	const char *name;
} captured[] = {
	{s_client, sizeof(s_client), "www.example.org"},
	{s_client_12, sizeof(s_client_12), "a.example.org"},
	{s_client_nameless, sizeof(s_client_nameless), ""},
	{curl, sizeof(curl), "curl.example.org"},
};

#define NCAPTURED (sizeof(captured) / sizeof(captured[0]))

/* All of it at once, in memory that ends where it does. */
static enum client_hello_is read_whole(const uint8_t *data, size_t len, char *name)
{
	struct client_hello hello = {0};
	uint8_t *copy = malloc(len);
	enum client_hello_is is;

	memcpy(copy, data, len);
	is = client_hello_read(&hello, copy, len, name);
	free(copy);
	return is;
}

static void assert_named(const uint8_t *data, size_t len, const char *want)
{
	char name[SERVER_NAME_LEN];

	assert_int_equal(read_whole(data, len, name), CLIENT_HELLO_WHOLE);
	assert_string_equal(name, want);
}

/* --- hellos of our own --- */

static uint8_t text[2 * CLIENT_HELLO_MAX];
static size_t text_len;

static void put(const void *data, size_t len)
{
	memcpy(text + text_len, data, len);
	text_len += len;
}

static void put_number(size_t number, unsigned int bytes)
{
	while (bytes--)
		text[text_len++] = (uint8_t)(number >> 8 * bytes);
}

/* A message with an extension of @padding bytes ahead of the name, of which @name_len bytes are said to be.
 */
static void make_message(const char *name, size_t name_len, size_t padding)
{
	size_t extensions = 4 + padding + 4 + 5 + strlen(name);

	text_len = 0;
	put_number(1, 1);
	put_number(2 + 32 + 1 + 4 + 2 + 2 + extensions, 3);
	put_number(0x0303, 2);
	memset(text + text_len, 7, 32);
	text_len += 32;
	put_number(0, 1);
	put_number(2, 2);
	put_number(0x1301, 2);
	put_number(0x0100, 2);
	put_number(extensions, 2);
	put_number(21, 2);
	put_number(padding, 2);
	memset(text + text_len, 0, padding);
	text_len += padding;
	put_number(0, 2);
	put_number(5 + strlen(name), 2);
	put_number(3 + strlen(name), 2);
	put_number(0, 1);
	put_number(name_len, 2);
	put(name, strlen(name));
}

/* Cuts the message into records of up to @size bytes. */
static void cut(size_t size)
{
	uint8_t *message = malloc(text_len);
	size_t len = text_len;

	memcpy(message, text, len);
	text_len = 0;
	for (size_t at = 0; at < len; at += size) {
		size_t n = len - at < size ? len - at : size;

		put("\x16\x03\x01", 3);
		put_number(n, 2);
		put(message + at, n);
	}
	free(message);
}

/* --- tests --- */

static void the_name_is_found(void **state)
{
	for (size_t i = 0; i < NCAPTURED; i++)
		assert_named(captured[i].data, captured[i].len, captured[i].name);
}

static void every_truncation_is_short(void **state)
{
	char name[SERVER_NAME_LEN];

	for (size_t i = 0; i < NCAPTURED; i++)
		for (size_t len = 1; len < captured[i].len; len++)
			assert_int_equal(read_whole(captured[i].data, len, name), CLIENT_HELLO_SHORT);
}

static void it_may_come_byte_by_byte(void **state)
{
	char name[SERVER_NAME_LEN];

	for (size_t i = 0; i < NCAPTURED; i++) {
		struct client_hello hello = {0};

		for (size_t len = 0; len < captured[i].len; len++)
			assert_int_equal(client_hello_read(&hello, captured[i].data, len, name),
					 CLIENT_HELLO_SHORT);
		assert_int_equal(client_hello_read(&hello, captured[i].data, captured[i].len, name),
				 CLIENT_HELLO_WHOLE);
		assert_string_equal(name, captured[i].name);
	}
}

static void it_may_be_cut_into_records_of_any_size(void **state)
{
	for (size_t i = 0; i < NCAPTURED; i++)
		for (size_t size = 1; size < captured[i].len; size++) {
			text_len = 0;
			put(captured[i].data + 5, captured[i].len - 5);
			cut(size);
			assert_named(text, text_len, captured[i].name);
		}
}

/* Every piece of a hello in records of one byte is looked at once: this takes no time. */
static void a_long_one_in_small_pieces(void **state)
{
	struct client_hello hello = {0};
	char name[SERVER_NAME_LEN];

	make_message("example.org", 11, 10000);
	cut(1);
	assert_true(text_len < CLIENT_HELLO_MAX);
	for (size_t len = 0; len < text_len; len++)
		assert_int_equal(client_hello_read(&hello, text, len, name), CLIENT_HELLO_SHORT);
	assert_int_equal(client_hello_read(&hello, text, text_len, name), CLIENT_HELLO_WHOLE);
	assert_string_equal(name, "example.org");
}

static void one_of_60_kb(void **state)
{
	make_message("example.org", 11, 60000);
	cut(16384);
	assert_named(text, text_len, "example.org");
}

static void one_that_is_too_long(void **state)
{
	char name[SERVER_NAME_LEN];

	make_message("example.org", 11, 65400);
	/* As its header says, and as what is there says. */
	text[1] = 1;
	cut(16384);
	assert_int_equal(read_whole(text, 100, name), CLIENT_HELLO_TOO_LONG);
	make_message("example.org", 11, 60000);
	cut(10);
	assert_true(text_len > CLIENT_HELLO_MAX);
	assert_int_equal(read_whole(text, CLIENT_HELLO_MAX - 1, name), CLIENT_HELLO_SHORT);
	assert_int_equal(read_whole(text, CLIENT_HELLO_MAX, name), CLIENT_HELLO_TOO_LONG);
}

static void what_follows_it_does_not_count(void **state)
{
	text_len = 0;
	put(curl, sizeof(curl));
	put("\x17\x03\x03\x00\x05hello", 10);
	assert_named(text, text_len, "curl.example.org");
}

static void something_else_is_noticed_at_once(void **state)
{
	static const char *const others[] = {
		"GET / HTTP/1.1\r\n",	"SSH-2.0-x\r\n",	"\x16\x02\x01",	     "\x15\x03\x01",
		"\x80\x2e\x01\x03\x01", "\x16\x03\x01\x40\x01", "PROXY TCP4 1.2.3.4"};
	static const uint8_t server_hello[] = {0x16, 3, 3, 0, 4, 2, 0, 0, 0}, empty[] = {0x16, 3, 1, 0, 0};
	char name[SERVER_NAME_LEN];

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(read_whole((const uint8_t *)others[i], strlen(others[i]), name),
				 CLIENT_HELLO_NOT_TLS);
	assert_int_equal(read_whole(server_hello, sizeof(server_hello), name), CLIENT_HELLO_NOT_TLS);
	assert_int_equal(read_whole(empty, sizeof(empty), name), CLIENT_HELLO_NOT_TLS);
	assert_int_equal(read_whole((const uint8_t *)"G", 1, name), CLIENT_HELLO_NOT_TLS);
}

static void names_that_are_none(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		enum client_hello_is want;
	} rows[] = {
		{"example.org", 11, CLIENT_HELLO_WHOLE},
		{"example.org", 12, CLIENT_HELLO_MALFORMED},
		{"example.org", 10, CLIENT_HELLO_MALFORMED},
		{"", 0, CLIENT_HELLO_MALFORMED},
		{".", 1, CLIENT_HELLO_MALFORMED},
		{"a b", 3, CLIENT_HELLO_MALFORMED},
		{"a/b", 3, CLIENT_HELLO_MALFORMED},
		{"a\nb", 3, CLIENT_HELLO_MALFORMED},
		{".org", 4, CLIENT_HELLO_MALFORMED},
		{"\xc3\xbc.org", 6, CLIENT_HELLO_MALFORMED},
	};
	char name[SERVER_NAME_LEN];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make_message(rows[i].name, rows[i].len, 0);
		cut(1000);
		assert_int_equal(read_whole(text, text_len, name), rows[i].want);
	}
	make_message("Example.ORG.", 12, 0);
	cut(1000);
	assert_named(text, text_len, "example.org");
}

static void a_name_of_any_length(void **state)
{
	char long_name[400], name[SERVER_NAME_LEN];

	for (size_t len = 1; len < sizeof(long_name) - 1; len++) {
		memset(long_name, 'a', len);
		long_name[len] = '\0';
		make_message(long_name, len, 0);
		cut(100);
		assert_int_equal(read_whole(text, text_len, name),
				 len < SERVER_NAME_LEN ? CLIENT_HELLO_WHOLE : CLIENT_HELLO_MALFORMED);
		assert_int_equal(strlen(name), len < SERVER_NAME_LEN ? len : 0);
	}
}

/* Each byte of each hello by each value: under a sanitizer nothing is read that is not there. */
static void mutations_do_no_harm(void **state)
{
	char name[SERVER_NAME_LEN];
	uint8_t copy[2048];

	for (size_t i = 0; i < NCAPTURED; i++)
		for (size_t at = 0; at < captured[i].len; at++)
			for (unsigned int value = 0; value < 256; value++) {
				memcpy(copy, captured[i].data, captured[i].len);
				copy[at] = (uint8_t)value;
				memset(name, 'x', sizeof(name));
				if (read_whole(copy, captured[i].len, name) == CLIENT_HELLO_WHOLE)
					assert_non_null(memchr(name, 0, sizeof(name)));
				else
					assert_string_equal(name, "");
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_is_found),
		cmocka_unit_test(every_truncation_is_short),
		cmocka_unit_test(it_may_come_byte_by_byte),
		cmocka_unit_test(it_may_be_cut_into_records_of_any_size),
		cmocka_unit_test(a_long_one_in_small_pieces),
		cmocka_unit_test(one_of_60_kb),
		cmocka_unit_test(one_that_is_too_long),
		cmocka_unit_test(what_follows_it_does_not_count),
		cmocka_unit_test(something_else_is_noticed_at_once),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(a_name_of_any_length),
		cmocka_unit_test(mutations_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
