/* SPDX-License-Identifier: MIT */
/*
 * Turns a request target into a path relative to the root.
 *
 * Percent escapes are decoded once, then empty and dot segments are removed. A ".." that leaves the root is
 * refused here, before the file system is involved. An encoded slash counts as a slash for that check;
 * otherwise it yields a 404, since no file name contains one and a proxy may not treat it as a separator.
 *
 * Invariant: the path contains no NUL, no empty, "." or ".." segment, and no leading or trailing slash.
 */
#include "target.h"

#include "base/hex.h"

#include <string.h>
#include <strings.h>

static const struct http_refusal form = {400, REFUSE_BAD, "malformed request target"};
static const struct http_refusal escape_form = {400, REFUSE_BAD, "malformed percent escape"};
static const struct http_refusal escape_nul = {400, REFUSE_BAD, "%00 in the path"};
static const struct http_refusal outside = {400, REFUSE_ESCAPE, "path leads out of the root"};
static const struct http_refusal encoded_slash = {404, REFUSE_PLAIN, "encoded slash in the path"};
static const struct http_refusal too_long = {404, REFUSE_PLAIN, "path too long"};

/*
 * Returns the path of an absolute-form target (RFC 9112, section 3.2.2). If it names no host, it is
 * invalid (RFC 9110, section 4.2.1), and the result is empty, at NULL. So it is with user information, which
 * could hide what the host is (section 4.2.4).
 */
static struct span strip_authority(struct span target)
{
	static const struct span schemes[] = {{"http://", 7}, {"https://", 8}};

	for (size_t i = 0; i < 2; i++) {
		size_t n = schemes[i].len;

		if (target.len < n || strncasecmp(target.at, schemes[i].at, n) != 0)
			continue;
		while (n < target.len && target.at[n] != '/' && target.at[n] != '?')
			n++;
		if (!is_authority((struct span){target.at + schemes[i].len, n - schemes[i].len}))
			return (struct span){0};
		return (struct span){target.at + n, target.len - n};
	}
	return target;
}

/* Most paths are already normalised; @path then points into the target. */
static bool is_normal(struct span path)
{
	char before = '/';

	for (size_t i = 1; i < path.len; i++) {
		char c = path.at[i];

		if (c == '%' || (before == '/' && (c == '/' || c == '.')))
			return false;
		before = c;
	}
	return true;
}

/* Decodes the character at @in into *c. Returns how many bytes it took, 0 for a bad escape. */
static size_t decode(struct span in, size_t at, char *c)
{
	int high, low;

	*c = in.at[at];
	if (*c != '%')
		return 1;
	if (in.len - at < 3)
		return 0;
	high = hex_value(in.at[at + 1]);
	low = hex_value(in.at[at + 2]);
	if (high < 0 || low < 0)
		return 0;
	*c = (char)(high << 4 | low);
	return 3;
}

/* Ends the segment text[begin..*len): appends a slash or drops the segment. False: it leaves the root. */
static bool end_segment(char *text, size_t begin, size_t *len)
{
	size_t n = *len - begin;

	if (n == 0)
		return true;
	if (n == 1 && text[begin] == '.') {
		*len = begin;
		return true;
	}
	if (n != 2 || text[begin] != '.' || text[begin + 1] != '.') {
		text[(*len)++] = '/';
		return true;
	}
	if (begin == 0)
		return false;
	for (begin--; begin > 0 && text[begin - 1] != '/'; begin--)
		;
	*len = begin;
	return true;
}

/* A trailing dot segment names a directory, as a trailing slash does (RFC 3986, section 5.2.4). */
static bool names_directory(const char *text, size_t begin, size_t len)
{
	return len == begin || (len - begin == 1 && text[begin] == '.') ||
	       (len - begin == 2 && text[begin] == '.' && text[begin + 1] == '.');
}

static const struct http_refusal *normalise(struct span in, struct http_path *path)
{
	size_t begin = 0, len = 0, step;
	bool has_encoded_slash = false;
	char c;

	for (size_t at = 1; at < in.len; at += step) {
		step = decode(in, at, &c);
		if (!step)
			return &escape_form;
		if (!c)
			return &escape_nul;
		if (len + 2 > sizeof(path->text))
			return &too_long;
		if (c != '/') {
			path->text[len++] = c;
			continue;
		}
		has_encoded_slash |= step == 3;
		if (!end_segment(path->text, begin, &len))
			return &outside;
		begin = len;
	}
	path->is_dir = names_directory(path->text, begin, len);
	if (!end_segment(path->text, begin, &len))
		return &outside;
	path->path = (struct span){path->text, len ? len - 1 : 0};
	return has_encoded_slash ? &encoded_slash : NULL;
}

const struct http_refusal *http_target_path(struct span target, struct http_path *path)
{
	struct span in = strip_authority(target);
	const char *query;

	if (!in.at)
		return &form;
	query = memchr(in.at, '?', in.len);

	path->query = (struct span){query, query ? (size_t)(in.at + in.len - query) : 0};
	in.len -= path->query.len;
	if (in.len == 0 && in.at != target.at)
		in = (struct span){"/", 1};
	if (in.len == 0 || in.at[0] != '/' || memchr(in.at, '#', in.len))
		return &form;
	if (!is_normal(in))
		return normalise(in, path);
	path->is_dir = in.at[in.len - 1] == '/';
	path->path = (struct span){in.at + 1, in.len - 1};
	if (path->is_dir && path->path.len)
		path->path.len--;
	return NULL;
}
