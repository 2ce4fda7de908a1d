/* SPDX-License-Identifier: MIT */
/* The table of error kinds. */
#include "stats.h"

#include <errno.h>
#include <stdio.h>

// clang-format off
const struct error_row error_rows[ERROR_KINDS] = {
	[ERROR_REFUSED] = { "connect_refused", "connection refused", "is the server listening there?" },
	[ERROR_PORTS] = { "port_exhausted", "no local port left",
			  "widen net.ipv4.ip_local_port_range, or use fewer connections to one address" },
	[ERROR_DESCRIPTORS] = { "descriptors", "no file descriptor left", "raise ulimit -n" },
	[ERROR_CONNECT] = { "connect", "connect failed", NULL },
	[ERROR_TLS] = { "tls", "TLS failed", NULL },
	[ERROR_TIMEOUT] = { "timeout", "timed out", "see --timeout" },
	[ERROR_RESET] = { "reset", "connection reset by the server", NULL },
	[ERROR_CLOSED] = { "closed", "closed by the server", NULL },
	[ERROR_KEEPALIVE] = { "keepalive_closed", "kept-alive connection closed before any byte of the response",
			      "a close between requests may have met the request on its way" },
	[ERROR_EARLY] = { "early", "closed before the deadline", NULL },
	[ERROR_NOT_CLOSED] = { "not_closed", "not closed after the deadline", NULL },
	[ERROR_MISMATCH] = { "mismatch", "the echoed bytes differ from those sent", "is it an echo server?" },
	[ERROR_UNEXPECTED] = { "unexpected_bytes", "unexpected bytes received", NULL },
	[ERROR_HTTP_STATUS] = { "http_status", "HTTP status 400 or above", NULL },
	[ERROR_HTTP_SYNTAX] = { "http_syntax", "malformed HTTP response", NULL },
	[ERROR_UNSENT] = { "unsent", "planned requests were never sent",
			   "the target cannot keep up with --rate on so many connections" },
	[ERROR_IO] = { "io", "operation failed", NULL },
};
// clang-format on

enum error_kind error_of_connect(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return ERROR_REFUSED;
	case EADDRNOTAVAIL:
		return ERROR_PORTS;
	case EMFILE:
	case ENFILE:
		return ERROR_DESCRIPTORS;
	case ETIMEDOUT:
		return ERROR_TIMEOUT;
	default:
		return ERROR_CONNECT;
	}
}

enum error_kind error_of_transfer(int err)
{
	switch (err) {
	case ECONNRESET:
	case EPIPE:
		return ERROR_RESET;
	case ETIMEDOUT:
		return ERROR_TIMEOUT;
	default:
		return ERROR_IO;
	}
}

uint64_t stats_errors(const struct stats *stats)
{
	uint64_t sum = 0;

	for (int kind = 0; kind < ERROR_KINDS; kind++)
		sum += stats->errors[kind];
	return sum;
}

void stats_error(struct stats *stats, enum error_kind kind, uint64_t n, const char *detail)
{
	if (n && !stats->first_error[0])
		snprintf(stats->first_error, sizeof(stats->first_error), "%s", detail);
	stats->errors[kind] += n;
}
