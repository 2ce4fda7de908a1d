/* SPDX-License-Identifier: MIT */
/*
 * Runs the http service on bytes, without a connection: a site over a small tree of files, and a session that
 * is fed in pieces and whose output is collected, file ranges read in. Used by http_rows.h,
 * http_session_test.c and http_fuzz.c.
 */
#ifndef HTTP_RUN_H
#define HTTP_RUN_H

#include "server/counters.h"
#include "server/http/file.h"
#include "server/http/http.h"
#include "server/http/options.h"
#include "server/service.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Holds in every build, in the fuzzer too. */
#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

#define GET(path)	 "GET " path " HTTP/1.1\r\nHost: h\r\n"
#define REQ(path)	 GET(path) "\r\n"
#define POST(path, more) "POST " path " HTTP/1.1\r\nHost: h\r\n" more "\r\n"
#define CHUNKED		 "Transfer-Encoding: chunked\r\n"

/* Sun, 06 Nov 1994 08:49:37 GMT: the modification time of every file in the tree. */
#define TREE_MTIME 784111777

struct http_tree {
	char root[64];
};

struct http_run {
	struct counters counters;
	struct http_options options;
	struct http_words words;
	struct service_env env;
	void *site;
	char why[256];
};

struct http_output {
	char *text; /* terminated by a NUL that is not counted; the dates are blanked */
	size_t len;
	enum step step;
	enum phase phase;
};

static inline void tree_file(const char *root, const char *name, const void *data, size_t len)
{
	struct timespec times[2] = {{.tv_sec = TREE_MTIME}, {.tv_sec = TREE_MTIME}};
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	f = fopen(path, "w");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f) || utimensat(AT_FDCWD, path, times, 0))
		abort();
}

static inline void tree_link(const char *root, const char *name, const char *to)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	if (symlink(to, path))
		abort();
}

static inline void tree_dir(const char *root, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	if (mkdir(path, 0755))
		abort();
}

static inline void tree_create(struct http_tree *tree)
{
	char kib[1024], path[128];

	memset(kib, 'k', sizeof(kib));
	strcpy(tree->root, "/tmp/taio-http-XXXXXX");
	if (!mkdtemp(tree->root))
		abort();
	tree_dir(tree->root, "sub");
	tree_dir(tree->root, "bare");
	tree_dir(tree->root, "odd");
	tree_dir(tree->root, "odd/index.html");
	tree_file(tree->root, "index.html", "<p>root\n", 8);
	tree_file(tree->root, "sub/index.html", "<p>sub\n", 7);
	tree_file(tree->root, "ten.txt", "0123456789", 10);
	tree_file(tree->root, "empty.css", "", 0);
	tree_file(tree->root, "1k.bin", kib, sizeof(kib));
	tree_file(tree->root, "a b.txt", "blank", 5);
	tree_file(tree->root, ".hidden", "hidden", 6);
	tree_dir(tree->root, ".git");
	tree_file(tree->root, ".git/config", "hidden", 6);
	tree_file(tree->root, "sub/.htpasswd", "hidden", 6);
	tree_dir(tree->root, ".well-known");
	tree_file(tree->root, ".well-known/acme", "token", 5);
	tree_file(tree->root, ".well-known/.acme", "hidden", 6);
	tree_file(tree->root, ".well-known2", "hidden", 6);
	tree_link(tree->root, "inside", "ten.txt");
	tree_link(tree->root, "outside", "/etc/hostname");
	tree_link(tree->root, "above", "../");
	tree_link(tree->root, "loop", "loop");
	snprintf(path, sizeof(path), "%s/fifo", tree->root);
	if (mkfifo(path, 0644))
		abort();
}

static inline void tree_destroy(struct http_tree *tree)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", tree->root);
	if (system(command))
		abort();
}

static inline int run_open(struct http_run *run, const char *root)
{
	static char index[] = "index.html";

	run->words.root = (char *)(uintptr_t)root;
	run->options.index = index;
	if (!run->options.header_max)
		run->options.header_max = 8192;
	if (!run->options.body_max)
		run->options.body_max = 1 << 20;
	run->env.counters = &run->counters;
	return service_http.site_open(&run->site, &run->options, &run->words, &run->env, run->why);
}

static inline void run_close(struct http_run *run)
{
	service_http.site_close(run->site);
}

/* "Date: ..." depends on when the test runs: its value becomes dots. */
static inline void blank_dates(char *text)
{
	for (char *p = text; (p = strstr(p, "\r\nDate: ")); p += 8)
		memset(p + 8, '.', strcspn(p + 8, "\r"));
}

static inline void output_add(struct http_output *to, const void *data, size_t len)
{
	to->text = realloc(to->text, to->len + len + 1);
	must(to->text);
	memcpy(to->text + to->len, data, len);
	to->len += len;
	to->text[to->len] = 0;
}

/* What conn/output.c does: takes everything off the queue. */
static inline void output_take(struct http_output *to, struct outq *out)
{
	char piece[65536];
	struct seg *seg;

	while ((seg = STAILQ_FIRST(&out->segs))) {
		uint64_t n = seg->kind == SEG_MEM ? seg->mem.end - seg->mem.begin : seg->range.len;

		if (seg->kind == SEG_MEM) {
			output_add(to, seg->data + seg->mem.begin, n);
		} else {
			n = n < sizeof(piece) ? n : sizeof(piece);
			if (pread(file_of(seg->range.file)->fd, piece, n, (off_t)seg->range.offset) !=
			    (ssize_t)n)
				abort();
			output_add(to, piece, n);
		}
		outq_consume(out, n);
	}
	must(outq_empty(out) && out->memory == 0);
}

/*
 * A connection that sends data[0..len): the sizes of its pieces are taken from splits[0..nsplits) in turn
 * (0: everything). Stops when the session does. The text is freed by the caller.
 */
static inline struct http_output run_bytes(struct http_run *run, const char *data, size_t len,
					   const unsigned char *splits, size_t nsplits)
{
	void *session = calloc(1, service_http.session_size);
	struct http_output result = {.step = STEP_MORE};
	size_t begin = 0, end = 0, taken, nsplit = 0;
	struct outq out;
	char *copy;

	outq_init(&out);
	output_add(&result, "", 0);
	service_http.open(session, run->site, NULL);
	while (result.step == STEP_MORE && end < len) {
		size_t piece = nsplits ? splits[nsplit++ % nsplits] : 0;

		end = piece == 0 || piece > len - end ? len : end + piece;
		do {
			/* An allocation of its own, so that reading past the end is seen. */
			copy = malloc(end - begin);
			memcpy(copy, data + begin, end - begin);
			result.step = service_http.input(session, copy, end - begin, &taken, &out);
			free(copy);
			must(taken <= end - begin);
			begin += taken;
			output_take(&result, &out);
		} while (result.step == STEP_MORE && taken && begin < end);
	}
	result.phase = service_http.phase(session);
	free(session);
	blank_dates(result.text);
	return result;
}

/* "200 404." of a sequence of responses. */
static inline void statuses_of(const struct http_output *output, char *to, size_t size)
{
	size_t len = 0;

	to[0] = 0;
	for (const char *p = output->text;
	     (p = memmem(p, (size_t)(output->text + output->len - p), "HTTP/1.1 ", 9)); p += 9)
		len += (size_t)snprintf(to + len, size - len, "%s%.3s", len ? " " : "", p + 9);
	if (output->step != STEP_MORE)
		snprintf(to + len, size - len, output->step == STEP_DONE ? "." : "!");
}

#endif
