/* SPDX-License-Identifier: MIT */
/* The option table and the text of the manual. */
#include "options.h"

#include "modes.h"
#include "proto.h"
#include "settings.h"

#define AT(field) offsetof(struct settings, field)

#define PROTO_NAME(name) #name,
static const char *const request_kinds[] = {
	"auto", "none", PROTOS(PROTO_NAME) NULL, /* in the order of enum request_kind */
};

static const char *const on_close_words[] = {
	"reopen", "stop", NULL, /* in the order of enum on_close */
};

// clang-format off
static const struct opt table[] = {
	{ .name = "connections", .key = 'c', .type = OPT_UINT, .offset = AT(connections), .arg = "N",
	  .deflt = "1", .min = 1, .max = 1000000, .section = "Load",
	  .help = "Number of connections; in churn, how many are open at a time." },
	{ .name = "duration", .key = 'd', .type = OPT_DURATION, .offset = AT(duration_us), .arg = "DURATION",
	  .deflt = "5s", .min = 1000,
	  .help = "How long to measure, once every connection is established and warm.",
	  .more = "Mode idle with --deadline ends as soon as every connection is closed, and waits for at least "
		  "5 s past the deadline." },
	{ .name = "warmup", .type = OPT_DURATION, .offset = AT(warmup_us), .arg = "DURATION", .deflt = "0s",
	  .help = "How long to generate load before measuring." },
	{ .name = "rate", .key = 'r', .type = OPT_UINT, .offset = AT(rate), .arg = "R", .max = 10000000,
	  .help = "Open loop: R requests per second over all connections, latency from the planned time.",
	  .more = "The k-th request is planned k/R seconds after the start, whatever happens to those before it. "
		  "It is sent on the connection that has been idle longest; if all are busy it waits, and its "
		  "latency includes the wait. No request is skipped. Without this option the loop is closed: each "
		  "connection sends its next request when the response to the last one is complete." },
	{ .name = "max-lag", .type = OPT_DURATION, .offset = AT(max_lag_us), .arg = "DURATION", .deflt = "10ms",
	  .help = "Open loop: mark the run invalid if the 99th percentile of its own send lag exceeds this." },
	{ .name = "connect-rate", .type = OPT_UINT, .offset = AT(connect_rate), .arg = "R", .max = 1000000,
	  .help = "Maximum connections opened per second, reconnects too; in churn the same as --rate." },
	{ .name = "on-close", .type = OPT_ENUM, .offset = AT(on_close), .arg = "WHAT", .deflt = "reopen",
	  .choices = on_close_words,
	  .help = "echo, http: reopen a connection that ends during the run, or stop using it.",
	  .more = "See RECONNECTS. With stop, a close by the server is an error, unless it was announced "
		  "(Connection: close): then the connection is reopened all the same." },
	{ .name = "timeout", .type = OPT_DURATION, .offset = AT(timeout_us), .arg = "DURATION", .deflt = "10s",
	  .min = 1000, .help = "Maximum duration of a connect, handshake or response; longer is an error." },
	{ .name = "deadline", .type = OPT_DURATION, .offset = AT(deadline_us), .arg = "DURATION",
	  .help = "idle: the server's idle timeout, against which each close is measured.",
	  .more = "Without it, a close by the server is not an error and its age is recorded; lateness is then "
		  "relative to the largest multiple of 100 ms that does not exceed any age." },

	{ .name = "size", .key = 's', .type = OPT_SIZE, .offset = AT(size), .arg = "BYTES", .deflt = "64",
	  .min = 1, .max = 64 << 20, .section = "Requests",
	  .help = "Size of an echo request; the same bytes must come back." },
	{ .name = "path", .type = OPT_STRING, .offset = AT(path), .arg = "PATH", .deflt = "/",
	  .help = "Path of HTTP requests if TARGET is not a URL." },
	{ .name = "header", .key = 'H', .type = OPT_LIST, .offset = AT(headers), .arg = "NAME:VALUE",
	  .help = "Additional HTTP header; repeatable." },
	{ .name = "request", .type = OPT_ENUM, .offset = AT(request), .arg = "KIND", .deflt = "auto",
	  .choices = request_kinds,
	  .help = "idle, churn: request to send once on each connection; auto is http for a URL, otherwise none." },

	{ .name = "tls", .type = OPT_BOOL, .offset = AT(tls), .section = "TLS",
	  .help = "Use TLS; implied by an https URL." },
	{ .name = "ca", .type = OPT_STRING, .offset = AT(ca), .arg = "FILE",
	  .help = "Certificates to trust instead of the system's." },
	{ .name = "insecure", .key = 'k', .type = OPT_BOOL, .offset = AT(insecure),
	  .help = "Do not verify the server's certificate." },
	{ .name = "server-name", .type = OPT_STRING, .offset = AT(server_name), .arg = "NAME",
	  .help = "Name for SNI and verification, if not the target's host." },
	{ .name = "resume", .type = OPT_BOOL, .offset = AT(resume),
	  .help = "churn: resume the session of the previous connection.",
	  .more = "Without a request, the connection stays open until the server's ticket has arrived." },

	{ .name = "engine", .key = 'e', .type = OPT_STRING, .offset = AT(engine), .arg = "NAME[:POLICY]",
	  .deflt = "auto", .section = "Measurement", .help = "Engine of the load generator; see taio engines." },
	{ .name = "server-pid", .type = OPT_LIST, .offset = AT(server_pids), .arg = "PID",
	  .help = "Server process whose CPU time is divided by the number of requests; repeatable.",
	  .more = "Each process of the server, and each kernel helper thread that works for it, has its own PID. "
		  "The CPU time of a process includes all its threads, even those that have ended." },

	{ .name = "json", .key = 'j', .type = OPT_STRING, .offset = AT(json), .arg = "FILE", .section = "Output",
	  .help = "Write the result as JSON; - writes it to standard output instead of the report." },
	{ .name = "csv", .type = OPT_STRING, .offset = AT(csv), .arg = "FILE",
	  .help = "Write one line per second." },
	{ .name = "hgrm", .type = OPT_STRING, .offset = AT(hgrm), .arg = "FILE",
	  .help = "Write the latency distribution in HdrHistogram's text format, in milliseconds." },
	{ .name = "help", .key = 'h', .type = OPT_ACTION, .offset = AT(help), .help = "Show this help." },
	{ .name = "version", .key = 'V', .type = OPT_ACTION, .offset = AT(version), .help = "Show the version." },
	{ .name = NULL },
};
// clang-format on

static const char *const synopsis[] = {"MODE TARGET [OPTION...]", NULL};

// clang-format off
static const char description[] =
	"taio-load generates load against a TCP or TLS server and reports latency and throughput. It runs one thread "
	"over one libtaio ring; every read and write of its sockets is an asynchronous operation.\n"
	"\n"
	"In the closed loop a server that stalls receives no requests meanwhile, so the stall shows only once per "
	"connection, however many requests it would have hit (coordinated omission). The open loop (--rate) measures "
	"from the planned time and does not have this flaw. It reports both figures: latency_us is from the planned time, "
	"latency_raw_us from the time of sending. Requests that were planned but never sent count with the time that "
	"they waited.\n"
	"\n"
	"The send lag is the load generator's own delay: from the moment a request was planned and a connection was "
	"free for it until it was handed to the ring. If its 99th percentile exceeds --max-lag, the latencies describe "
	"the load generator rather than the server, and the run is marked invalid.";

static const char epilogue[] =
	"OUTPUT:\n"
	"The report goes to standard output. If standard error is a terminal, progress goes there once per second. "
	"--json writes the following keys, whose schema is docs/taio-load.schema.json. What was not measured is "
	"null.\n"
	"\n"
	"program, mode, target, engine, loop, tls, options\twhat was run\n"
	"measured_s\tlength of the measured interval\n"
	"requests\tcomplete responses to requests planned in the measured interval\n"
	"requests_per_second\tresponses that arrived in the measured interval, divided by its length\n"
	"bytes_sent, bytes_received\tin the measured interval, without TLS\n"
	"errors, errors_by_kind, first_error\twhat went wrong, during the whole run\n"
	"unsent\topen loop: requests planned in the measured interval and never sent; they count as errors\n"
	"latency_us\tcount, p50, p90, p99, p99_9, p99_99, max, mean: from the planned time in the open loop, from the time of "
	"sending in the closed loop\n"
	"latency_raw_us\tthe same from the time of sending; open loop only\n"
	"send_lag_us\tthe load generator's own delay; open loop only\n"
	"connections\tattempted, established (handshake included), completed (in use at the end of the run; "
	"churn: closed in order by both sides; idle with a deadline: closed at or after it); reconnects are not counted "
	"here\n"
	"reconnects, reconnect_failures\techo, http: lost connections that were established again, and attempts that "
	"failed, which count as errors too; during the whole run\n"
	"connect_us, tls_full_us, tls_resumed_us\tduration of connects and handshakes\n"
	"closed, early, deadline_inferred_ms, lateness_ms, age_ms\tidle only: connections closed by the server; those "
	"closed before the deadline; the deadline if --deadline was not given; how long after the deadline, and after "
	"the reference instant, each close was seen\n"
	"server_cpu_us_per_request, server_cpu_s\tCPU time of --server-pid in the measured interval, per response and in "
	"total\n"
	"client_cpu_us_per_request, client_cpu_s\tthe same for the load generator\n"
	"valid\tfalse if the load generator was too slow for its own schedule\n"
	"interrupted\ttrue if a signal ended the run early\n"
	"failure\twhy the exit status is 1, otherwise null\n"
	"\n"
	"RECONNECTS:\n"
	"In the modes echo and http, plain and over TLS, an established connection that ends before the run does is opened "
	"again (--on-close). The open loop keeps its schedule meanwhile: requests planned during the reconnect wait for a "
	"connection, and their latency includes the wait. In the closed loop a reconnect is part of no latency; it shows "
	"in connect_us and in the throughput.\n"
	"\n"
	"no request outstanding\tthe server may close; it is no error, whether announced (Connection: close) or not\n"
	"part of a response received\tan error: closed or reset\n"
	"request outstanding, no byte of its response\tan error: closed or reset; http on a connection that has served a "
	"request before: keepalive_closed, because the close and the request may have met on the way (RFC 9112, 9.3.1)\n"
	"timeout, malformed response, TLS failure\tthe error of that name; taio-load closes the connection\n"
	"\n"
	"A request that is lost in this way is not sent again. It counts as an error and not in requests, as in h2load "
	"(errored) and wrk 4.1 (a read error).\n"
	"\n"
	"Reconnects go ahead at once, or at --connect-rate, until one fails: it is refused, times out, or is closed within a "
	"second without a response. From then on they go one at a time, 10 ms after the failure and twice as long after "
	"each further one up to 1 s, until a reopened connection has received a response. If no connection is established "
	"and none can be for --timeout, the run ends. A connection that could not be established in the first place is not "
	"tried again.\n"
	"\n"
	"Mode idle never reconnects: the close is its result. Mode churn reconnects by nature: a cycle that fails is an "
	"error, and the next on that slot begins 100 ms later.\n"
	"\n"
	"EXIT STATUS:\n"
	"0\tevery connection was established, no error occurred, and the run is valid\n"
	"1\totherwise; one line on standard error says why\n"
	"2\tusage error\n"
	"\n"
	"NOTES:\n"
	"More than about 28,000 connections to one address exhaust the local ports. If the target is a 127.0.0.0/8 "
	"address, taio-load uses further source addresses (127.0.0.2 and so on) automatically.\n"
	"\n"
	"EXAMPLES:\n"
	"  taio-load echo 127.0.0.1:7000 -c 256 -d 10s --json echo.json\n"
	"  taio-load http https://localhost:8443/index.html --ca ca.pem -c 64 --rate 20000 -d 30s\n"
	"  taio-load idle 127.0.0.1:7000 -c 10000 --deadline 30s -d 60s\n"
	"  taio-load churn 127.0.0.1:7443 --tls --insecure --resume -c 16";
// clang-format on

const struct opt_program *options_program(void)
{
	static struct opt_command commands[NMODES + 1];
	static const struct opt_program program = {
		.name = "taio-load",
		.man_section = 1,
		.brief = "load generator for TCP and TLS servers",
		.synopsis = synopsis,
		.table = table,
		.commands = commands,
		.commands_title = "Modes",
		.description = description,
		.epilogue = epilogue,
	};

	for (size_t i = 0; i < NMODES; i++)
		commands[i] = modes[i]->command;
	return &program;
}
