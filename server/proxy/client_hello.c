/* SPDX-License-Identifier: MIT */
#include "client_hello.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { TYPE_HANDSHAKE = 22, MAJOR_VERSION = 3, MESSAGE_CLIENT_HELLO = 1 };
enum { EXTENSION_SERVER_NAME = 0, NAME_HOST = 0 };

#define RECORD_HEADER  5
#define RECORD_MAX     (16 * 1024)
#define MESSAGE_HEADER 4

/* --- records --- */

static unsigned int u16(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

static unsigned int record_len(const uint8_t *record)
{
	return u16(record + 3);
}

/* The bytes of a message, which may be spread over records that are all there. */
struct reader {
	const uint8_t *data;
	size_t len;
	size_t at, record_end; /* the next byte, and the end of its record */
};

/* The header of the record at @at is whole, and its contents lie within the data or at their end. */
static void reader_enter(struct reader *r, size_t at)
{
	r->at = at + RECORD_HEADER;
	r->record_end = r->at + record_len(r->data + at);
}

/* False: the data end. */
static bool read_byte(struct reader *r, uint8_t *byte)
{
	if (r->at == r->record_end) {
		if (r->at + RECORD_HEADER > r->len)
			return false;
		reader_enter(r, r->at);
	}
	if (r->at >= r->len)
		return false;
	*byte = r->data[r->at++];
	return true;
}

/* A number of @n bytes. False: the data, or the *left bytes of what it is part of, end. */
static bool read_number(struct reader *r, size_t *left, unsigned int n, uint32_t *number)
{
	uint8_t byte;

	if (*left < n)
		return false;
	*left -= n;
	for (*number = 0; n; n--) {
		if (!read_byte(r, &byte))
			return false;
		*number = *number << 8 | byte;
	}
	return true;
}

/* The length of a vector, in @n bytes, which must fit; *left is what follows it. */
static bool read_length(struct reader *r, size_t *left, unsigned int n, uint32_t *length)
{
	if (!read_number(r, left, n, length) || *length > *left)
		return false;
	*left -= *length;
	return true;
}

static bool skip(struct reader *r, size_t n)
{
	while (n) {
		size_t here = r->record_end - r->at;
		uint8_t byte;

		if (here > n)
			here = n;
		if (here > r->len - r->at)
			return false;
		r->at += here;
		n -= here;
		if (n && !read_byte(r, &byte))
			return false;
		n -= n ? 1 : 0;
	}
	return true;
}

static bool skip_vector(struct reader *r, size_t *left, unsigned int n)
{
	uint32_t length;

	return read_length(r, left, n, &length) && skip(r, length);
}

/* --- the message --- */

bool server_name_normalize(const void *given, size_t len, char *normal)
{
	const unsigned char *name = given;

	if (len && name[len - 1] == '.')
		len--;
	if (!len || len >= SERVER_NAME_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum(name[i]) && !strchr("-._", name[i]))
			return false;
		normal[i] = (char)tolower(name[i]);
	}
	normal[len] = '\0';
	return normal[0] != '.';
}

/* RFC 6066, 3: a list of names, of which at most one is a host's. */
static bool read_names(struct reader *r, size_t left, char *name)
{
	uint8_t raw[SERVER_NAME_LEN];
	uint32_t type, length, list;

	if (!read_length(r, &left, 2, &list) || left || !list)
		return false;
	left = list;
	while (left) {
		if (!read_number(r, &left, 1, &type) || !read_length(r, &left, 2, &length))
			return false;
		if (type != NAME_HOST) {
			if (!skip(r, length))
				return false;
			continue;
		}
		if (*name || length > sizeof(raw))
			return false;
		for (uint32_t i = 0; i < length; i++)
			if (!read_byte(r, &raw[i]))
				return false;
		if (!server_name_normalize(raw, length, name))
			return false;
	}
	return true;
}

static bool read_extensions(struct reader *r, size_t left, char *name)
{
	bool is_named = false;

	while (left) {
		uint32_t type, length;
		bool done;

		if (!read_number(r, &left, 2, &type) || !read_length(r, &left, 2, &length))
			return false;
		if (type == EXTENSION_SERVER_NAME) {
			done = !is_named && read_names(r, length, name);
			is_named = true;
		} else {
			done = skip(r, length);
		}
		if (!done)
			return false;
	}
	return true;
}

/* RFC 8446, 4.1.2: what precedes the extensions, which the oldest clients do without. */
static bool read_message(struct reader *r, size_t left, char *name)
{
	size_t fixed = 2 + 32; /* legacy_version, random */
	uint32_t extensions;

	if (left < fixed || !skip(r, fixed))
		return false;
	left -= fixed;
	if (!skip_vector(r, &left, 1) || /* legacy_session_id */
	    !skip_vector(r, &left, 2) || /* cipher_suites */
	    !skip_vector(r, &left, 1))	 /* legacy_compression_methods */
		return false;
	if (!left)
		return true;
	return read_length(r, &left, 2, &extensions) && !left && read_extensions(r, extensions, name);
}

/* --- how far it is there --- */

/* The header of a record, as far as it is there. */
static enum client_hello_is check_record(const struct client_hello *hello, const uint8_t *record, size_t len)
{
	if (record[0] != TYPE_HANDSHAKE || (len > 1 && record[1] != MAJOR_VERSION))
		return hello->at ? CLIENT_HELLO_MALFORMED : CLIENT_HELLO_NOT_TLS;
	if (len < RECORD_HEADER)
		return CLIENT_HELLO_SHORT;
	/* RFC 8446, 5.1: no empty fragments of handshake messages. */
	if (!record_len(record) || record_len(record) > RECORD_MAX)
		return hello->at ? CLIENT_HELLO_MALFORMED : CLIENT_HELLO_NOT_TLS;
	return CLIENT_HELLO_WHOLE;
}

/* Sets how long the message is, whose header is there. */
static enum client_hello_is read_header(struct client_hello *hello, const uint8_t *data, size_t len)
{
	struct reader r = {.data = data, .len = len};
	size_t left = MESSAGE_HEADER;
	uint32_t type, length;

	reader_enter(&r, 0);
	read_number(&r, &left, 1, &type);
	read_number(&r, &left, 3, &length);
	if (type != MESSAGE_CLIENT_HELLO)
		return CLIENT_HELLO_NOT_TLS;
	hello->want = MESSAGE_HEADER + length;
	return hello->want > CLIENT_HELLO_MAX ? CLIENT_HELLO_TOO_LONG : CLIENT_HELLO_WHOLE;
}

/* Goes over the records that are whole. CLIENT_HELLO_WHOLE: with what is there of the next, it is there. */
static enum client_hello_is walk(struct client_hello *hello, const uint8_t *data, size_t len)
{
	while (hello->at < len) {
		size_t there = len - hello->at, contents;
		enum client_hello_is is = check_record(hello, data + hello->at, there);

		if (is != CLIENT_HELLO_WHOLE)
			return is;
		contents = record_len(data + hello->at);
		if (contents > there - RECORD_HEADER)
			contents = there - RECORD_HEADER;
		if (!hello->want && hello->have + contents >= MESSAGE_HEADER)
			is = read_header(hello, data, len);
		if (is != CLIENT_HELLO_WHOLE)
			return is;
		if (hello->want && hello->have + contents >= hello->want)
			return CLIENT_HELLO_WHOLE;
		if (contents < record_len(data + hello->at))
			return CLIENT_HELLO_SHORT;
		hello->have += (uint32_t)contents;
		hello->at += (uint32_t)(RECORD_HEADER + contents);
	}
	return CLIENT_HELLO_SHORT;
}

enum client_hello_is client_hello_read(struct client_hello *hello, const void *data, size_t len, char *name)
{
	enum client_hello_is is = walk(hello, data, len);
	struct reader r = {.data = data, .len = len};

	*name = '\0';
	if (is == CLIENT_HELLO_SHORT && len >= CLIENT_HELLO_MAX)
		return CLIENT_HELLO_TOO_LONG;
	if (is != CLIENT_HELLO_WHOLE)
		return is;
	reader_enter(&r, 0);
	if (skip(&r, MESSAGE_HEADER) && read_message(&r, hello->want - MESSAGE_HEADER, name))
		return is;
	*name = '\0';
	return CLIENT_HELLO_MALFORMED;
}
