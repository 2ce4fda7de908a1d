/* SPDX-License-Identifier: MIT */
/* Bytes of HTTP messages: classes and spans. */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>

struct span {
	const char *at;
	size_t len;
};

/* The classes of a byte; ASCII, whatever the locale. */
enum char_class {
	CHAR_TOKEN = 1, /* RFC 9110, section 5.6.2 */
	CHAR_HOST = 2,	/* in a registered name, an address, brackets or a port (RFC 3986, section 3.2.2) */
	CHAR_PATH = 4,	/* allowed unescaped in a path (RFC 3986, section 3.3); includes the slash */
};

extern const unsigned char char_classes[256];

/* Inline: called for each byte of a request's method and host. */
static inline bool is_token(char c)
{
	return char_classes[(unsigned char)c] & CHAR_TOKEN;
}

static inline bool is_host(char c)
{
	return char_classes[(unsigned char)c] & CHAR_HOST;
}

static inline bool is_path(char c)
{
	return char_classes[(unsigned char)c] & CHAR_PATH;
}

/* Whether @authority can be HOST or HOST:PORT of a URI; the host must not be empty (RFC 9110, section 4.2.1).
 */
bool is_authority(struct span authority);

/* Removes surrounding blanks (SP and HTAB). */
struct span span_trim(const char *at, size_t len);

/* The first control byte (below 0x20, or DEL) of data[at..len), or @len. */
size_t find_control(const char *data, size_t at, size_t len);

#endif
