/* SPDX-License-Identifier: MIT */
/*
 * Lines and bodies of an answer. A line that lies whole in the bytes at hand is read there; one that is split
 * is gathered in answer->line, whose end is dropped if it is too long for any line that matters here.
 */
#include "http_response.h"

#include <string.h>
#include <strings.h>

void http_answer_init(struct http_answer *answer)
{
	answer->left = 0;
	answer->status = 0;
	answer->state = HTTP_STATUS_LINE;
	answer->chunked = answer->has_length = answer->close = false;
	answer->kept_all = true;
	answer->kept = 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK": the reason may be missing, the blank before it too (nginx sends neither for some). */
static bool status_line(struct http_answer *answer, const char *line, size_t len)
{
	if (len < 12 || memcmp(line, "HTTP/1.", 7) || !is_digit(line[7]) || line[8] != ' ')
		return false;
	if (line[9] < '1' || line[9] > '5' || !is_digit(line[10]) || !is_digit(line[11]))
		return false;
	if (len > 12 && line[12] != ' ')
		return false;
	answer->status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
	answer->close = line[7] == '0';
	answer->state = HTTP_HEADERS;
	return true;
}

static bool parse_length(struct http_answer *answer, const char *value, size_t len)
{
	uint64_t length = 0;

	if (!len || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(value[i]))
			return false;
		length = length * 10 + (uint64_t)(value[i] - '0');
	}
	if (answer->has_length && answer->left != length)
		return false;
	answer->has_length = true;
	answer->left = length;
	return true;
}

static bool is_word(const char *value, size_t len, const char *word)
{
	return len == strlen(word) && !strncasecmp(value, word, len);
}

static bool parse_encoding(struct http_answer *answer, const char *value, size_t len)
{
	if (answer->chunked || !is_word(value, len, "chunked"))
		return false;
	answer->chunked = true;
	return true;
}

/* A comma-separated list of words. */
static bool parse_connection(struct http_answer *answer, const char *value, size_t len)
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
			answer->close = true;
		else if (is_word(word, len, "keep-alive"))
			answer->close = false;
	}
	return true;
}

struct header {
	const char *name;
	size_t len;
	bool (*parse)(struct http_answer *answer, const char *value, size_t len);
};

// clang-format off
static const struct header headers[] = {
	{ "content-length", 14, parse_length },
	{ "transfer-encoding", 17, parse_encoding },
	{ "connection", 10, parse_connection },
};
// clang-format on

/* Body rules in the order of RFC 9112 section 6.3; an interim answer makes room for the final one. */
static bool headers_end(struct http_answer *answer)
{
	if (answer->chunked && answer->has_length)
		return false;
	if (answer->status < 200) {
		http_answer_init(answer);
	} else if (answer->status == 204 || answer->status == 304) {
		answer->state = HTTP_COMPLETE;
	} else if (answer->chunked) {
		answer->state = HTTP_CHUNK_SIZE;
	} else if (answer->has_length) {
		answer->state = answer->left ? HTTP_BODY : HTTP_COMPLETE;
	} else {
		answer->state = HTTP_UNTIL_EOF;
		answer->close = true;
	}
	return true;
}

static bool header_line(struct http_answer *answer, const char *line, size_t len)
{
	const char *colon, *value, *end = line + len;
	size_t name;

	if (!len)
		return headers_end(answer);
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
		return answer->kept_all && headers[i].parse(answer, value, (size_t)(end - value));
	}
	return true;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal size, then nothing, blanks or ";extension". */
static bool chunk_size(struct http_answer *answer, const char *line, size_t len)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < len && hex_digit(line[i]) >= 0; i++) {
		if (size >> 56)
			return false;
		size = size << 4 | (unsigned int)hex_digit(line[i]);
	}
	if (!i || (i < len && line[i] != ';' && line[i] != ' ' && line[i] != '\t'))
		return false;
	answer->left = size;
	answer->state = size ? HTTP_CHUNK_DATA : HTTP_TRAILERS;
	return true;
}

static bool chunk_end(struct http_answer *answer, const char *line, size_t len)
{
	answer->state = HTTP_CHUNK_SIZE;
	return len == 0;
}

static bool trailer_line(struct http_answer *answer, const char *line, size_t len)
{
	if (!len)
		answer->state = HTTP_COMPLETE;
	return !len || memchr(line, ':', len) || !answer->kept_all;
}

/* NULL: a state that takes bytes, not lines. */
static bool (*const line_readers[])(struct http_answer *, const char *, size_t) = {
	[HTTP_STATUS_LINE] = status_line, [HTTP_HEADERS] = header_line,	  [HTTP_CHUNK_SIZE] = chunk_size,
	[HTTP_CHUNK_END] = chunk_end,	  [HTTP_TRAILERS] = trailer_line, [HTTP_MALFORMED] = NULL,
};

/* @line without its LF. */
static void take_line(struct http_answer *answer, const char *line, size_t len)
{
	bool (*reader)(struct http_answer *, const char *, size_t) = line_readers[answer->state];

	/* Of a line that was cut the CR is gone with its end. */
	if (answer->kept_all && (!len || line[--len] != '\r'))
		answer->state = HTTP_MALFORMED;
	else if (memchr(line, '\r', len) || !reader(answer, line, len))
		answer->state = HTTP_MALFORMED;
	answer->kept = 0;
	answer->kept_all = true;
}

static void keep_piece(struct http_answer *answer, const char *piece, size_t len)
{
	size_t room = HTTP_LINE_KEPT - answer->kept;

	if (len > room) {
		len = room;
		answer->kept_all = false;
	}
	memcpy(answer->line + answer->kept, piece, len);
	answer->kept += (uint8_t)len;
}

static size_t input_line(struct http_answer *answer, const char *data, size_t len)
{
	const char *lf = memchr(data, '\n', len);
	size_t piece = lf ? (size_t)(lf - data) : len;

	if (!lf || answer->kept)
		keep_piece(answer, data, piece);
	if (!lf)
		return len;
	if (answer->kept)
		take_line(answer, answer->line, answer->kept);
	else
		take_line(answer, data, piece);
	return piece + 1;
}

static size_t input_bytes(struct http_answer *answer, size_t len)
{
	if (answer->state == HTTP_UNTIL_EOF)
		return len;
	if (len > answer->left)
		len = answer->left;
	answer->left -= len;
	if (!answer->left)
		answer->state = answer->state == HTTP_BODY ? HTTP_COMPLETE : HTTP_CHUNK_END;
	return len;
}

size_t http_answer_input(struct http_answer *answer, const char *data, size_t len)
{
	size_t used = 0;

	while (used < len && answer->state != HTTP_COMPLETE && answer->state != HTTP_MALFORMED) {
		if (line_readers[answer->state])
			used += input_line(answer, data + used, len - used);
		else
			used += input_bytes(answer, len - used);
	}
	return used;
}

bool http_answer_eof(const struct http_answer *answer)
{
	return answer->state == HTTP_UNTIL_EOF;
}
