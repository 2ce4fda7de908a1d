/* SPDX-License-Identifier: MIT */
/*
 * Conditions and ranges (RFC 9110, sections 13 and 14).
 *
 * A malformed or repeated condition or range is ignored, as the RFC requires for most of them: the client
 * gets the whole file.
 */
#include "cond.h"

#include "date.h"

#include <string.h>
#include <strings.h>

static bool has_single(const struct http_request *req, enum http_field field)
{
	return (req->present & ~req->repeated) & 1U << field;
}

static struct span skip_blanks(struct span text)
{
	while (text.len && (*text.at == ' ' || *text.at == '\t' || *text.at == ',')) {
		text.at++;
		text.len--;
	}
	return text;
}

/* Takes the next entity tag off @list. False at the end of the list or if what follows is not a tag. */
static bool take_etag(struct span *list, struct span *tag, bool *weak)
{
	struct span text = skip_blanks(*list);
	const char *end;

	*weak = text.len > 2 && memcmp(text.at, "W/", 2) == 0;
	if (*weak) {
		text.at += 2;
		text.len -= 2;
	}
	if (text.len < 2 || *text.at != '"')
		return false;
	end = memchr(text.at + 1, '"', text.len - 1);
	if (!end)
		return false;
	*tag = (struct span){text.at, (size_t)(end + 1 - text.at)};
	*list = (struct span){end + 1, text.len - tag->len};
	return true;
}

/* The strong comparison fails if either tag is weak (section 8.8.3.2). */
static bool etag_matches(struct span list, const struct file *file, bool strong)
{
	bool is_weak = *file->etag == 'W';
	const char *own = file->etag + (is_weak ? 2 : 0);
	size_t len = strlen(own);
	struct span tag;
	bool weak;

	if (list.len == 1 && *list.at == '*')
		return true;
	while (take_etag(&list, &tag, &weak))
		if (tag.len == len && memcmp(tag.at, own, len) == 0 && !(strong && (weak || is_weak)))
			return true;
	return false;
}

/* Searches all lines of the field @list. */
static bool list_matches(const struct http_request *req, enum http_field list, const struct file *file,
			 bool strong)
{
	if (etag_matches(req->fields[list], file, strong))
		return true;
	for (unsigned int i = 0; i < req->nmore; i++)
		if (req->more[i].field == list && etag_matches(req->more[i].value, file, strong))
			return true;
	return false;
}

static bool field_date(const struct http_request *req, enum http_field field, time_t now, time_t *date)
{
	struct span text = req->fields[field];

	return has_single(req, field) && http_date_parse(text.at, text.len, now, date);
}

enum http_cond http_cond(const struct http_request *req, const struct file *file, time_t now)
{
	time_t date;

	if (http_has(req, FIELD_IF_MATCH)) {
		if (!list_matches(req, FIELD_IF_MATCH, file, true))
			return COND_FAILED;
	} else if (field_date(req, FIELD_IF_UNMODIFIED_SINCE, now, &date) && file->mtime > date) {
		return COND_FAILED;
	}
	if (http_has(req, FIELD_IF_NONE_MATCH)) {
		if (list_matches(req, FIELD_IF_NONE_MATCH, file, false))
			return COND_NOT_MODIFIED;
	} else if (field_date(req, FIELD_IF_MODIFIED_SINCE, now, &date) && file->mtime <= date) {
		return COND_NOT_MODIFIED;
	}
	return COND_SERVE;
}

/* An entity tag must match by strong comparison, a date exactly (section 13.1.5). */
static bool if_range_holds(const struct http_request *req, const struct file *file, time_t now)
{
	struct span text = req->fields[FIELD_IF_RANGE], tag;
	time_t date;
	bool weak;

	if (!http_has(req, FIELD_IF_RANGE))
		return true;
	if (field_date(req, FIELD_IF_RANGE, now, &date))
		return date == file->mtime;
	return has_single(req, FIELD_IF_RANGE) && take_etag(&text, &tag, &weak) && text.len == 0 &&
	       etag_matches(req->fields[FIELD_IF_RANGE], file, true);
}

/* Takes a decimal number off @text, saturating if it is too large. False if there are no digits. */
static bool take_number(struct span *text, uint64_t *number)
{
	size_t n = 0;

	*number = 0;
	for (; n < text->len && text->at[n] >= '0' && text->at[n] <= '9'; n++)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(text->at[n] - '0'), number))
			*number = UINT64_MAX / 16;
	text->at += n;
	text->len -= n;
	return n > 0;
}

static enum http_range clip_range(uint64_t first, uint64_t last, uint64_t size, uint64_t *from, uint64_t *len)
{
	if (first >= size)
		return RANGE_UNSATISFIABLE;
	if (last >= size)
		last = size - 1;
	*from = first;
	*len = last - first + 1;
	return RANGE_PART;
}

static enum http_range suffix_range(struct span text, uint64_t size, uint64_t *from, uint64_t *len)
{
	uint64_t n;

	if (!take_number(&text, &n) || text.len)
		return RANGE_WHOLE;
	if (n == 0 || size == 0)
		return RANGE_UNSATISFIABLE;
	return clip_range(n < size ? size - n : 0, size - 1, size, from, len);
}

enum http_range http_range(const struct http_request *req, const struct file *file, time_t now,
			   uint64_t *first, uint64_t *len)
{
	struct span text = req->fields[FIELD_RANGE];
	uint64_t from, to = UINT64_MAX, size = (uint64_t)file->size;

	if (req->method != METHOD_GET || !has_single(req, FIELD_RANGE) || !if_range_holds(req, file, now))
		return RANGE_WHOLE;
	if (text.len <= 6 || strncasecmp(text.at, "bytes=", 6) != 0)
		return RANGE_WHOLE;
	text.at += 6;
	text.len -= 6;
	if (*text.at == '-')
		return suffix_range((struct span){text.at + 1, text.len - 1}, size, first, len);
	if (!take_number(&text, &from) || !text.len || *text.at != '-')
		return RANGE_WHOLE;
	text.at++;
	text.len--;
	if (text.len && (!take_number(&text, &to) || text.len || to < from))
		return RANGE_WHOLE;
	return clip_range(from, to, size, first, len);
}
