/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define INDEX_LEN_MAX 255

static int index_check(const char *text, char *why)
{
	if (*text && !strchr(text, '/') && strlen(text) <= INDEX_LEN_MAX)
		return 0;
	snprintf(why, OPT_WHY_LEN, "must be a file name without a slash, not '%.100s'", text);
	return -EINVAL;
}

#define FIELD(name) offsetof(struct http_options, name)

// clang-format off
const struct opt http_options[] = {
	{ .section = "HTTP",
	  .name = "index", .type = OPT_STRING, .offset = FIELD(index), .arg = "NAME", .deflt = "index.html",
	  .check = index_check,
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Name of the file to serve for a directory." },
	{ .name = "header-max", .type = OPT_SIZE, .offset = FIELD(header_max), .arg = "SIZE", .deflt = "8k",
	  .min = 256, .max = HTTP_HEADER_MAX,
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum size of a request's header block." },
	{ .name = "body-max", .type = OPT_SIZE, .offset = FIELD(body_max), .arg = "SIZE", .deflt = "16m",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum size of a request's body." },
	{ .name = "body-min-rate", .type = OPT_SIZE, .offset = FIELD(body_min_rate), .arg = "SIZE", .deflt = "500", .max = 1 << 30,
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Minimum bytes per second of a request's body; 0 means none.",
	  .more = "A request whose body brings less over 20 seconds ends with 408 (Request Timeout), or with the "
		  "connection where the response has begun. Time in which output waits for the peer does not count." },
	{ .name = "request-timeout", .type = OPT_DURATION, .offset = FIELD(request_timeout_us), .arg = "DURATION",
	  .deflt = "30m", .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum time for a request, from its first byte to the end of its body; 0 means none.",
	  .more = "The request ends as with body-min-rate, also while nothing arrives or output waits." },
	{ .name = "keepalive-requests", .type = OPT_UINT, .offset = FIELD(keepalive_max), .arg = "N", .deflt = "0",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum requests per connection; 0 means unlimited." },
	{ .name = "file-cache", .type = OPT_UINT, .offset = FIELD(file_cache), .arg = "N", .deflt = "512", .max = 1 << 16,
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum open files that a worker keeps for each listener." },
	{ .name = "file-valid", .type = OPT_DURATION, .offset = FIELD(file_valid_us), .arg = "DURATION", .deflt = "1s",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "How long an open file is used for its path before the path is looked up again." },
	{ .name = "dotfiles", .type = OPT_BOOL, .offset = FIELD(dotfiles), .deflt = "no",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Serve files and directories whose name starts with a dot.",
	  .more = "/.well-known/ is always served (RFC 8615)." },
	{ .name = "metrics", .type = OPT_BOOL, .offset = FIELD(metrics), .deflt = "no",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Serve the counters at /metrics in Prometheus text format." },
	{ 0 }
};

const struct opt http_words[] = {
	{ .name = "root", .type = OPT_STRING, .offset = offsetof(struct http_words, root), .arg = "DIR",
	  .help = "Directory to serve." },
	{ 0 }
};
// clang-format on
