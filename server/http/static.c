/* SPDX-License-Identifier: MIT */
/*
 * GET and HEAD of files. File contents are not read here, except those of procfs and sysfs, whose length is
 * not known: the range goes into the output queue. If the file turns out to have changed before any part of
 * the response was sent, the connection asks for a new one (http_static_again).
 */
#include "static.h"

#include "access.h"
#include "base/hex.h"
#include "cond.h"
#include "file.h"
#include "response.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * What it takes to make a response again. Kept with the file range in the queue, because the session may have
 * moved on to the next request by then.
 */
union note {
	struct {
		uint32_t minor : 1;
		uint32_t life : 2;
		uint32_t is_guarded : 1; /* If-Match or If-Unmodified-Since held for the file as it was */
		uint32_t tries : 4;
		uint32_t number : HTTP_ACCESS_BITS; /* of its record */
	};
	uint32_t word;
};

/* Gives up on a file that has changed during this many attempts. */
#define TRIES_MAX 15

_Static_assert(sizeof(union note) == sizeof(uint32_t), "a note is one word");

/* Responds to the error of opening a file. */
static int respond_errno(struct http_session *s, struct outq *out, int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
		return http_response_status(s, out, 404, "");
	case EXDEV:
	case ELOOP:
		count(s->site->counters, path_escapes);
		return http_response_status(s, out, 403, "");
	case EACCES:
	case EPERM:
		return http_response_status(s, out, 403, "");
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return http_response_status(s, out, 503, "Retry-After: 1\r\n");
	default:
		return http_response_status(s, out, 500, "");
	}
}

static bool is_guarded(const struct http_request *req)
{
	struct span match = req->fields[FIELD_IF_MATCH];

	return http_has(req, FIELD_IF_UNMODIFIED_SINCE) ||
	       (http_has(req, FIELD_IF_MATCH) && !(match.len == 1 && *match.at == '*'));
}

static union note note_of(const struct http_session *s, const struct http_request *req)
{
	return (union note){{.minor = s->minor & 1,
			     .life = s->life & 3,
			     .is_guarded = is_guarded(req),
			     .number = http_access_number(s)}};
}

/* Takes over the reference on @file. */
static int respond_file(struct http_session *s, struct outq *out, struct file *file, unsigned int status,
			struct span lines, uint64_t first, uint64_t len, union note note)
{
	bool has_body = len && !s->is_head;
	uint64_t before = out->nbytes;
	int err = http_response_head(s, out, status, lines.at, lines.len, has_body ? len : 0);

	if (err || !has_body) {
		file_put(file);
		return err;
	}
	return outq_append_body(out, &file->out, first, len, out->nbytes - before, note.word);
}

/* Reads a file without a known length now. Takes over the reference on @file. */
static int respond_unsized(struct http_session *s, struct outq *out, struct file *file)
{
	char lines[sizeof(file->lines) + 64];
	struct outq body;
	int n, err;

	outq_init(&body);
	err = file_read(file, &body);
	if (err) {
		err = respond_errno(s, out, err);
	} else {
		n = snprintf(lines, sizeof(lines), "%.*sContent-Length: %llu\r\n", file->lines_len,
			     file->lines, (unsigned long long)body.nbytes);
		err = http_response_head(s, out, 200, lines, (size_t)n, 0);
		if (!err && !s->is_head)
			outq_splice(out, &body);
	}
	outq_clear(&body);
	file_put(file);
	return err;
}

/* Takes over the reference on @file. */
static int respond_whole(struct http_session *s, struct outq *out, struct file *file, union note note)
{
	if (!file->has_length)
		return respond_unsized(s, out, file);
	return respond_file(s, out, file, 200, (struct span){file->lines, file->lines_len}, 0,
			    (uint64_t)file->size, note);
}

static int respond_part(struct http_session *s, struct outq *out, struct file *file, uint64_t first,
			uint64_t len, union note note)
{
	char lines[sizeof(file->lines) + 128];
	int n = snprintf(
		lines, sizeof(lines),
		"Content-Type: %s\r\nContent-Length: %llu\r\nContent-Range: bytes %llu-%llu/%llu\r\n%.*s",
		file->mime, (unsigned long long)len, (unsigned long long)first,
		(unsigned long long)(first + len - 1), (unsigned long long)file->size,
		file->lines_len - file->validators, file->lines + file->validators);

	return respond_file(s, out, file, 206, (struct span){lines, (size_t)n}, first, len, note);
}

static int respond_unsatisfiable(struct http_session *s, struct outq *out, struct file *file)
{
	char lines[64];

	snprintf(lines, sizeof(lines), "Content-Range: bytes */%llu\r\n", (unsigned long long)file->size);
	file_put(file);
	return http_response_status(s, out, 416, lines);
}

static int respond_conditional(struct http_session *s, const struct http_request *req, struct outq *out,
			       struct file *file)
{
	union note note = note_of(s, req);
	struct span validators = {file->lines + file->validators, file->lines_len - file->validators};
	uint64_t first, len;

	if (!file->has_length) /* nor validators */
		return respond_unsized(s, out, file);
	switch (http_cond(req, file, s->site->now)) {
	case COND_SERVE:
		break;
	case COND_NOT_MODIFIED:
		return respond_file(s, out, file, 304, validators, 0, 0, note);
	case COND_FAILED:
		file_put(file);
		return http_response_status(s, out, 412, "");
	}
	switch (http_range(req, file, s->site->now, &first, &len)) {
	case RANGE_WHOLE:
		break;
	case RANGE_PART:
		return respond_part(s, out, file, first, len, note);
	case RANGE_UNSATISFIABLE:
		return respond_unsatisfiable(s, out, file);
	}
	return respond_whole(s, out, file, note);
}

/* Appends @path percent-encoded: at most three bytes for each of its own. */
static char *put_encoded(char *to, struct span path)
{
	for (size_t i = 0; i < path.len; i++) {
		unsigned char c = (unsigned char)path.at[i];

		if (is_path((char)c)) {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = hex_digit(c >> 4);
		*to++ = hex_digit(c & 15);
	}
	return to;
}

/*
 * Redirects to the same path with a trailing slash. The location is built from the normalised path, so that
 * no target can make it point to another host ("//host/").
 */
static int respond_redirect(struct http_session *s, struct outq *out, const struct http_path *path)
{
	char lines[HTTP_LINES_MAX], *to = lines;
	struct span query = path->query;

	if (path->path.len * 3 + query.len + 64 > sizeof(lines))
		return http_response_status(s, out, 414, "");
	to = stpcpy(to, "Location: /");
	to = put_encoded(to, path->path);
	*to++ = '/';
	if (query.len)
		to = mempcpy(to, query.at, query.len);
	strcpy(to, "\r\n");
	return http_response_status(s, out, 301, lines);
}

static int open_path(struct http_session *s, struct span path, struct file **file)
{
	return file_open(s->site->files, path.at, path.len, s->site->now_ms, file);
}

/* @path has no index file: checks whether it is a directory at all. Directories are not listed. */
static int respond_no_index(struct http_session *s, struct outq *out, struct span path)
{
	struct file *file;
	int err = open_path(s, path, &file);

	if (err)
		return respond_errno(s, out, err);
	err = file->is_dir ? -EACCES : -ENOENT;
	file_put(file);
	return respond_errno(s, out, err);
}

static int get_index(struct http_session *s, const struct http_request *req, const struct http_path *path,
		     struct outq *out)
{
	char name[HTTP_PATH_MAX + 256], *to = name;
	const char *index = s->site->options->index;
	struct file *file;
	int err;

	if (path->path.len) {
		to = mempcpy(to, path->path.at, path->path.len);
		*to++ = '/';
	}
	to = stpcpy(to, index);
	err = open_path(s, (struct span){name, (size_t)(to - name)}, &file);
	if (err == -ENOENT || err == -ENOTDIR)
		return respond_no_index(s, out, path->path);
	if (err)
		return respond_errno(s, out, err);
	if (file->is_dir) {
		file_put(file);
		return respond_errno(s, out, -EACCES);
	}
	return respond_conditional(s, req, out, file);
}

/* Whether the normalised @path has a segment that is not served (option dotfiles). */
static bool is_hidden(const struct http_session *s, struct span path)
{
	static const struct span known = {".well-known", 11};
	const char *end = path.at + path.len;

	if (s->site->options->dotfiles)
		return false;
	if (path.len >= known.len && memcmp(path.at, known.at, known.len) == 0 &&
	    (path.len == known.len || path.at[known.len] == '/'))
		path.at += known.len;
	for (const char *at = path.at; at < end; at++)
		if (*at == '.' && (at == path.at || at[-1] == '/'))
			return true;
	return false;
}

/* What @path can name at all. */
static bool is_servable(const struct http_session *s, const struct http_path *path)
{
	return s->site->files && path->path.len < HTTP_PATH_MAX && !is_hidden(s, path->path);
}

int http_static_refuse(struct http_session *s, const struct http_path *path, struct outq *out,
		       const char *allow)
{
	struct file *file;
	int err;

	if (!is_servable(s, path))
		return http_response_status(s, out, 404, "");
	err = open_path(s, path->path, &file);
	if (err)
		return respond_errno(s, out, err);
	file_put(file);
	return http_response_status(s, out, 405, allow);
}

int http_static(struct http_session *s, const struct http_request *req, const struct http_path *path,
		struct outq *out)
{
	struct file *file;
	int err;

	if (!is_servable(s, path))
		return http_response_status(s, out, 404, "");
	if (path->is_dir)
		return get_index(s, req, path, out);
	err = open_path(s, path->path, &file);
	if (err)
		return respond_errno(s, out, err);
	if (file->is_dir) {
		file_put(file);
		return respond_redirect(s, out, path);
	}
	return respond_conditional(s, req, out, file);
}

/* Like respond_conditional() for what was kept of the request: the whole file, whatever range it named. */
static int respond_changed(struct http_session *s, struct outq *out, const struct file *changed,
			   union note note)
{
	struct span path = {changed->path, changed->path_len};
	struct file *file;
	int err;

	if (note.is_guarded)
		return http_response_status(s, out, 412, "");
	if (note.tries++ == TRIES_MAX)
		return respond_errno(s, out, -EAGAIN);
	err = open_path(s, path, &file);
	if (!err && file->is_dir) {
		file_put(file);
		err = -ENOENT;
	}
	if (err)
		return respond_errno(s, out, err);
	return respond_whole(s, out, file, note);
}

int http_static_again(struct http_session *s, struct outq_file *out_file, uint32_t word, int err,
		      struct outq *out)
{
	struct http_session now = *s;
	union note note = {.word = word};

	s->site->taken_back++;
	s->minor = note.minor;
	s->life = note.life;
	s->is_head = false;
	s->progress = RESPONSE_NONE;
	s->record = http_access_again(s, note.number);
	if (s->record)
		s->record->head = 0;
	err = err ? respond_errno(s, out, err) : respond_changed(s, out, file_of(out_file), note);
	s->minor = now.minor;
	s->life = now.life;
	s->is_head = now.is_head;
	s->progress = now.progress;
	s->record = now.record;
	return err;
}
