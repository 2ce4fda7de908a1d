/* SPDX-License-Identifier: MIT */
/*
 * The table of media types, named as in the IANA registry. Read-only; file.c looks up a name once per open.
 *
 * Invariant: the table is sorted by extension, all in lower case.
 */
#include "mime.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct mime {
	char extension[12];
	const char *type;
};

static const struct mime table[] = {
	{"7z", "application/x-7z-compressed"},
	{"atom", "application/atom+xml"},
	{"avi", "video/x-msvideo"},
	{"avif", "image/avif"},
	{"bin", "application/octet-stream"},
	{"bmp", "image/bmp"},
	{"bz2", "application/x-bzip2"},
	{"c", "text/plain; charset=utf-8"},
	{"conf", "text/plain; charset=utf-8"},
	{"css", "text/css; charset=utf-8"},
	{"csv", "text/csv; charset=utf-8"},
	{"deb", "application/vnd.debian.binary-package"},
	{"epub", "application/epub+zip"},
	{"flac", "audio/flac"},
	{"gif", "image/gif"},
	{"gz", "application/gzip"},
	{"h", "text/plain; charset=utf-8"},
	{"htm", "text/html; charset=utf-8"},
	{"html", "text/html; charset=utf-8"},
	{"ico", "image/x-icon"},
	{"ics", "text/calendar; charset=utf-8"},
	{"iso", "application/octet-stream"},
	{"jar", "application/java-archive"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"js", "text/javascript; charset=utf-8"},
	{"json", "application/json"},
	{"log", "text/plain; charset=utf-8"},
	{"m3u8", "application/vnd.apple.mpegurl"},
	{"m4a", "audio/mp4"},
	{"map", "application/json"},
	{"md", "text/markdown; charset=utf-8"},
	{"mjs", "text/javascript; charset=utf-8"},
	{"mkv", "video/x-matroska"},
	{"mov", "video/quicktime"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"mpeg", "video/mpeg"},
	{"ogg", "audio/ogg"},
	{"ogv", "video/ogg"},
	{"opus", "audio/ogg"},
	{"otf", "font/otf"},
	{"pdf", "application/pdf"},
	{"png", "image/png"},
	{"rss", "application/rss+xml"},
	{"rtf", "application/rtf"},
	{"svg", "image/svg+xml"},
	{"tar", "application/x-tar"},
	{"tgz", "application/gzip"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"ts", "video/mp2t"},
	{"ttf", "font/ttf"},
	{"txt", "text/plain; charset=utf-8"},
	{"wasm", "application/wasm"},
	{"wav", "audio/wav"},
	{"webm", "video/webm"},
	{"webmanifest", "application/manifest+json"},
	{"webp", "image/webp"},
	{"woff", "font/woff"},
	{"woff2", "font/woff2"},
	{"xhtml", "application/xhtml+xml"},
	{"xml", "text/xml; charset=utf-8"},
	{"xz", "application/x-xz"},
	{"zip", "application/zip"},
	{"zst", "application/zstd"},
};

static int mime_cmp(const void *key, const void *row)
{
	return strcmp(key, ((const struct mime *)row)->extension);
}

/* Copies the extension in lower case. False if the name has none, or one too long for the table. */
static bool extension_of(const char *path, size_t len, char *extension)
{
	const char *name = memrchr(path, '/', len);
	const char *dot;
	size_t n;

	name = name ? name + 1 : path;
	dot = memrchr(name, '.', (size_t)(path + len - name));
	if (!dot || dot == name)
		return false;
	n = (size_t)(path + len - dot) - 1;
	if (n >= sizeof(table[0].extension))
		return false;
	for (size_t i = 0; i < n; i++)
		extension[i] = dot[1 + i] >= 'A' && dot[1 + i] <= 'Z' ? dot[1 + i] | 0x20 : dot[1 + i];
	extension[n] = 0;
	return true;
}

const char *mime_type(const char *path, size_t len)
{
	char extension[sizeof(table[0].extension)];
	const struct mime *row = NULL;

	if (extension_of(path, len, extension))
		row = bsearch(extension, table, sizeof(table) / sizeof(table[0]), sizeof(table[0]), mime_cmp);
	return row ? row->type : "application/octet-stream";
}
