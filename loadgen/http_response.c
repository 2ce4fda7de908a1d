/* SPDX-License-Identifier: MIT */
/*
 * Parses the lines and skips the body of a response. A line that arrives whole is parsed in place; one that
 * is split across reads is collected in response->line, truncated if it is longer than any line that matters
 * here.
 */
#include "http_response.h"

#include "base/hex.h"

#include <string.h>
#include <strings.h>

void http_response_init(struct http_response *response)
{
	response->left = 0;
	response->status = 0;
	response->state = HTTP_STATUS_LINE;
	response->chunked = response->has_length = response->close = false;
	response->kept_all = true;
	response->kept = 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK". The reason phrase may be missing, even with its space: nginx sends such lines. */
static bool status_line(struct http_response *response, const char *line, size_t len)
{
	if (len < 12 || memcmp(line, "HTTP/1.", 7) || !is_digit(line[7]) || line[8] != ' ')
		return false;
	if (line[9] < '1' || line[9] > '5' || !is_digit(line[10]) || !is_digit(line[11]))
		return false;
	if (len > 12 && line[12] != ' ')
		return false;
	response->status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
	response->close = line[7] == '0';
	response->state = HTTP_HEADERS;
	return true;
}

static bool parse_length(struct http_response *response, const char *value, size_t len)
{
	uint64_t length = 0;

	if (!len || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(value[i]))
			return false;
		length = length * 10 + (uint64_t)(value[i] - '0');
	}
	if (response->has_length && response->left != length)
		return false;
	response->has_length = true;
	response->left = length;
	return true;
}

static bool is_word(const char *value, size_t len, const char *word)
{
	return len == strlen(word) && !strncasecmp(value, word, len);
}

static bool parse_encoding(struct http_response *response, const char *value, size_t len)
{
	if (response->chunked || !is_word(value, len, "chunked"))
		return false;
	response->chunked = true;
	return true;
}

/* A comma-separated list of words. */
static bool parse_connection(struct http_response *response, const char *value, size_t len)
{
	const char *end = value + len, *word, *stop;

	for (word = value; word < end; word = stop + 1) {
		stop = memchr(word, ',', (size_t)(end - word));
		if (!stop)
			stop = end;
		while (word < stop && (*word == ' ' || *word == '\t'))
			word++;
		len = (size_t)(stop - word);
		while (len && (word[len - 1] == ' ' || word[len - 1] == '\t'))
			len--;
		if (is_word(word, len, "close"))
			response->close = true;
		else if (is_word(word, len, "keep-alive"))
			response->close = false;
	}
	return true;
}

struct header {
	const char *name;
	size_t len;
	bool (*parse)(struct http_response *response, const char *value, size_t len);
};

// clang-format off
static const struct header headers[] = {
	{ "content-length", 14, parse_length },
	{ "transfer-encoding", 17, parse_encoding },
	{ "connection", 10, parse_connection },
};
// clang-format on

/* Body length by RFC 9112 section 6.3, in its order. An interim response is followed by the final one. */
static bool headers_end(struct http_response *response)
{
	if (response->chunked && response->has_length)
		return false;
	if (response->status < 200) {
		http_response_init(response);
	} else if (response->status == 204 || response->status == 304) {
		response->state = HTTP_COMPLETE;
	} else if (response->chunked) {
		response->state = HTTP_CHUNK_SIZE;
	} else if (response->has_length) {
		response->state = response->left ? HTTP_BODY : HTTP_COMPLETE;
	} else {
		response->state = HTTP_UNTIL_EOF;
		response->close = true;
	}
	return true;
}

static bool header_line(struct http_response *response, const char *line, size_t len)
{
	const char *colon, *value, *end = line + len;
	size_t name;

	if (!len)
		return headers_end(response);
	colon = memchr(line, ':', len);
	if (!colon || colon == line || *line == ' ' || *line == '\t')
		return false;
	name = (size_t)(colon - line);
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		if (name != headers[i].len || strncasecmp(line, headers[i].name, name))
			continue;
		for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
			;
		while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		return response->kept_all && headers[i].parse(response, value, (size_t)(end - value));
	}
	return true;
}

/* A hexadecimal size, then nothing, whitespace or ";extension". */
static bool chunk_size(struct http_response *response, const char *line, size_t len)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < len && hex_value(line[i]) >= 0; i++) {
		if (size >> 56)
			return false;
		size = size << 4 | (unsigned int)hex_value(line[i]);
	}
	if (!i || (i < len && line[i] != ';' && line[i] != ' ' && line[i] != '\t'))
		return false;
	response->left = size;
	response->state = size ? HTTP_CHUNK_DATA : HTTP_TRAILERS;
	return true;
}

static bool chunk_end(struct http_response *response, const char *line, size_t len)
{
	response->state = HTTP_CHUNK_SIZE;
	return len == 0;
}

static bool trailer_line(struct http_response *response, const char *line, size_t len)
{
	if (!len)
		response->state = HTTP_COMPLETE;
	return !len || memchr(line, ':', len) || !response->kept_all;
}

/* NULL for states that consume bytes rather than lines. */
static bool (*const line_readers[])(struct http_response *, const char *, size_t) = {
	[HTTP_STATUS_LINE] = status_line, [HTTP_HEADERS] = header_line,	  [HTTP_CHUNK_SIZE] = chunk_size,
	[HTTP_CHUNK_END] = chunk_end,	  [HTTP_TRAILERS] = trailer_line, [HTTP_MALFORMED] = NULL,
};

/* @line excludes the LF. */
static void take_line(struct http_response *response, const char *line, size_t len)
{
	bool (*reader)(struct http_response *, const char *, size_t) = line_readers[response->state];

	/* A truncated line has lost its CR. */
	if (response->kept_all && (!len || line[--len] != '\r'))
		response->state = HTTP_MALFORMED;
	else if (memchr(line, '\r', len) || !reader(response, line, len))
		response->state = HTTP_MALFORMED;
	response->kept = 0;
	response->kept_all = true;
}

static void keep_piece(struct http_response *response, const char *piece, size_t len)
{
	size_t room = HTTP_LINE_KEPT - response->kept;

	if (len > room) {
		len = room;
		response->kept_all = false;
	}
	memcpy(response->line + response->kept, piece, len);
	response->kept += (uint8_t)len;
}

static size_t input_line(struct http_response *response, const char *data, size_t len)
{
	const char *lf = memchr(data, '\n', len);
	size_t piece = lf ? (size_t)(lf - data) : len;

	if (!lf || response->kept)
		keep_piece(response, data, piece);
	if (!lf)
		return len;
	if (response->kept)
		take_line(response, response->line, response->kept);
	else
		take_line(response, data, piece);
	return piece + 1;
}

static size_t input_bytes(struct http_response *response, size_t len)
{
	if (response->state == HTTP_UNTIL_EOF)
		return len;
	if (len > response->left)
		len = response->left;
	response->left -= len;
	if (!response->left)
		response->state = response->state == HTTP_BODY ? HTTP_COMPLETE : HTTP_CHUNK_END;
	return len;
}

size_t http_response_input(struct http_response *response, const char *data, size_t len)
{
	size_t used = 0;

	while (used < len && response->state != HTTP_COMPLETE && response->state != HTTP_MALFORMED) {
		if (line_readers[response->state])
			used += input_line(response, data + used, len - used);
		else
			used += input_bytes(response, len - used);
	}
	return used;
}

bool http_response_eof(const struct http_response *response)
{
	return response->state == HTTP_UNTIL_EOF;
}
