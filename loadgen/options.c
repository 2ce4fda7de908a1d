/* SPDX-License-Identifier: MIT */
/* The option table, and the manual's text around it. */
#include "options.h"

#include "modes.h"
#include "proto.h"
#include "settings.h"

#define AT(field) offsetof(struct settings, field)

#define PROTO_NAME(name) #name,
static const char *const request_kinds[] = {
	"auto", "none", PROTOS(PROTO_NAME) NULL, /* in the order of enum request_kind */
};

// clang-format off
static const struct opt table[] = {
	{ .name = "connections", .key = 'c', .type = OPT_UINT, .offset = AT(connections), .arg = "N",
	  .deflt = "1", .min = 1, .max = 1000000, .section = "Load",
	  .help = "Connections to hold; in churn: how many are open at a time." },
	{ .name = "duration", .key = 'd', .type = OPT_DURATION, .offset = AT(duration_us), .arg = "DURATION",
	  .deflt = "5s", .min = 1000,
	  .help = "How long to measure, once every connection is established and warm.",
	  .more = "idle with a deadline ends as soon as every connection is closed, and waits at least 5 s past "
		  "the deadline." },
	{ .name = "warmup", .type = OPT_DURATION, .offset = AT(warmup_us), .arg = "DURATION", .deflt = "0s",
	  .help = "Load before the measured interval that is not measured." },
	{ .name = "rate", .key = 'r', .type = OPT_UINT, .offset = AT(rate), .arg = "R", .max = 10000000,
	  .help = "Open loop: R requests a second over all connections, latency from the planned time.",
	  .more = "The k-th request is planned k/R seconds after the start, whatever became of those before it. "
		  "It goes out on the connection that has been free for the longest time; if there is none it "
		  "waits and its latency runs. None is skipped. Without this option the loop is closed: the "
		  "next request goes out when the answer to the last one is complete." },
	{ .name = "max-lag", .type = OPT_DURATION, .offset = AT(max_lag_us), .arg = "DURATION", .deflt = "10ms",
	  .help = "Open loop: the run is invalid if its own 99th percentile send lag is above this." },
	{ .name = "connect-rate", .type = OPT_UINT, .offset = AT(connect_rate), .arg = "R", .max = 1000000,
	  .help = "Open at most R connections a second; in churn the same as --rate." },
	{ .name = "timeout", .type = OPT_DURATION, .offset = AT(timeout_us), .arg = "DURATION", .deflt = "10s",
	  .min = 1000, .help = "A connect, handshake or answer that takes longer is an error." },
	{ .name = "deadline", .type = OPT_DURATION, .offset = AT(deadline_us), .arg = "DURATION",
	  .help = "idle: the server's idle timeout, against which each close is measured.",
	  .more = "Without it a close by the server is counted with its age, and is no error; lateness is then "
		  "measured against the largest multiple of 100 ms that no age is below." },

	{ .name = "size", .key = 's', .type = OPT_SIZE, .offset = AT(size), .arg = "BYTES", .deflt = "64",
	  .min = 1, .max = 64 << 20, .section = "Requests",
	  .help = "Bytes of an echo request; the same bytes must come back." },
	{ .name = "path", .type = OPT_STRING, .offset = AT(path), .arg = "PATH", .deflt = "/",
	  .help = "Path of an HTTP request where TARGET is no URL." },
	{ .name = "header", .key = 'H', .type = OPT_LIST, .offset = AT(headers), .arg = "NAME:VALUE",
	  .help = "A further HTTP header; may be repeated." },
	{ .name = "request", .type = OPT_ENUM, .offset = AT(request), .arg = "KIND", .deflt = "auto",
	  .choices = request_kinds,
	  .help = "idle, churn: what is asked once on each connection; auto is http for a URL, else none." },

	{ .name = "tls", .type = OPT_BOOL, .offset = AT(tls), .section = "TLS",
	  .help = "Speak TLS; an https URL implies it." },
	{ .name = "ca", .type = OPT_STRING, .offset = AT(ca), .arg = "FILE",
	  .help = "Certificates to trust instead of the system's." },
	{ .name = "insecure", .key = 'k', .type = OPT_BOOL, .offset = AT(insecure),
	  .help = "Do not verify the server's certificate." },
	{ .name = "server-name", .type = OPT_STRING, .offset = AT(server_name), .arg = "NAME",
	  .help = "Name for SNI and verification, if it is not the target's host." },
	{ .name = "resume", .type = OPT_BOOL, .offset = AT(resume),
	  .help = "churn: resume the session of the connection before.",
	  .more = "Without a request the connection stays open until the server's ticket is there." },

	{ .name = "engine", .key = 'e', .type = OPT_STRING, .offset = AT(engine), .arg = "NAME[:POLICY]",
	  .deflt = "auto", .section = "Measurement", .help = "Engine of the load generator; see taio engines." },
	{ .name = "server-pid", .type = OPT_LIST, .offset = AT(server_pids), .arg = "PID",
	  .help = "Process of the server whose CPU time is divided by the requests; may be repeated.",
	  .more = "Each worker process and each kernel helper thread that works for the server has a PID of its "
		  "own; a process counts with all its threads, also those that have ended." },

	{ .name = "json", .key = 'j', .type = OPT_STRING, .offset = AT(json), .arg = "FILE", .section = "Output",
	  .help = "Write the result as JSON; - puts it on standard output in place of the report." },
	{ .name = "csv", .type = OPT_STRING, .offset = AT(csv), .arg = "FILE",
	  .help = "Write one line for each second." },
	{ .name = "hgrm", .type = OPT_STRING, .offset = AT(hgrm), .arg = "FILE",
	  .help = "Write the latency distribution in HdrHistogram's text format, in milliseconds." },
	{ .name = "help", .key = 'h', .type = OPT_ACTION, .offset = AT(help), .help = "Show this help." },
	{ .name = "version", .key = 'V', .type = OPT_ACTION, .offset = AT(version), .help = "Show the version." },
	{ .name = NULL },
};
// clang-format on

static const char *const synopsis[] = {"MODE TARGET [OPTION...]", NULL};

static const char description[] =
	"taio-load puts a load on a TCP or TLS server and says how it stood up to it. It is one thread over "
	"one "
	"libtaio ring; every read and write of its sockets is an asynchronous operation.\n"
	"\n"
	"In the closed loop a server that stalls is asked nothing meanwhile, and the stall shows once for "
	"each connection, however many requests it would have hit (coordinated omission). The open loop "
	"(--rate) measures from the planned time and has not got this flaw; both figures are given: "
	"latency_us is from the planned time, latency_raw_us from the time of sending. What was planned and "
	"never sent counts with the time that it has waited.\n"
	"\n"
	"The send lag is the load generator's own delay: from the instant at which a request was planned and "
	"a "
	"connection was free for it to the instant at which it was handed to the ring. If its 99th "
	"percentile is above --max-lag the latencies describe the load generator; the run is marked invalid.";

static const char epilogue[] =
	"OUTPUT:\n"
	"The report goes to standard output; progress to standard error, once a second, if that is a "
	"terminal. "
	"The keys of --json (docs/taio-load.schema.json is their JSON schema; what was not measured is "
	"null):\n"
	"\n"
	"requests\tcomplete answers to requests that were planned in the measured interval\n"
	"requests_per_second\tanswers that arrived in the measured interval over its length\n"
	"errors, errors_by_kind\twhat went wrong, in the whole run\n"
	"latency_us\tp50, p90, p99, p99_9, p99_99, max, mean: open loop from the planned time, closed loop "
	"from "
	"the time of sending\n"
	"latency_raw_us\tthe same from the time of sending; open loop only\n"
	"send_lag_us\tthe load generator's own delay; open loop only\n"
	"connections\tasked, established (handshake included), completed (lived to the end of the run; "
	"churn: "
	"closed in order by both sides; idle with a deadline: closed at or after it), reopened\n"
	"connect_us, tls_full_us, tls_resumed_us\thow long connects and handshakes took\n"
	"closed, early, deadline_inferred_ms, lateness_ms, age_ms\tidle: closed by the server; of these "
	"before the deadline; how "
	"long "
	"after the deadline, and after the reference instant, the close was seen\n"
	"server_cpu_us_per_request\tCPU time of --server-pid in the measured interval over its answers\n"
	"client_cpu_us_per_request\tthe same of the load generator\n"
	"valid, invalid_reason\tfalse if the load generator was too slow to tell\n"
	"\n"
	"EXIT STATUS:\n"
	"0\tevery connection was established and no error happened\n"
	"1\tit was not so, or the run is invalid; one line on standard error says why\n"
	"2\tusage\n"
	"\n"
	"NOTES:\n"
	"More than about 28,000 connections to one address exhaust the local ports; where the target is a "
	"127.0.0.0/8 address further source addresses (127.0.0.2 ...) are taken by themselves.\n"
	"\n"
	"EXAMPLES:\n"
	"  taio-load echo 127.0.0.1:7000 -c 256 -d 10s --json echo.json\n"
	"  taio-load http https://localhost:8443/index.html --ca ca.pem -c 64 --rate 20000 -d 30s\n"
	"  taio-load idle 127.0.0.1:7000 -c 10000 --deadline 30s -d 60s\n"
	"  taio-load churn 127.0.0.1:7443 --tls --insecure --resume -c 16";

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
		.description = description,
		.epilogue = epilogue,
	};

	for (size_t i = 0; i < NMODES; i++)
		commands[i] = modes[i]->command;
	return &program;
}
