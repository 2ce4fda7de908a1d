/* SPDX-License-Identifier: MIT */
/* The tables of taio: commands and options, from which the parser, --help and the manual come. */
#include "options.h"

#include <string.h>

#define AT(field) offsetof(struct settings, field)

/* An option in a section of this name is for that command alone. */
#define ONLY "Options of "

// clang-format off
static const struct opt table[] = {
	{ .name = "engine", .key = 'e', .type = OPT_STRING, .offset = AT(engine), .arg = "NAME[:POLICY]",
	  .deflt = "auto", .section = "Connection",
	  .help = "Engine that carries the reads and writes; taio engines lists them." },
	{ .name = "timeout", .key = 't', .type = OPT_DURATION, .offset = AT(timeout_us), .arg = "DURATION",
	  .deflt = "10s", .help = "Give up when a connect, a TLS handshake or an answer takes longer; 0 waits for ever.",
	  .more = "An answer counts as late when not one byte of it came for that long. cat sets no limit to the "
		  "silence of an established connection." },
	{ .name = "tls", .type = OPT_BOOL, .offset = AT(tls),
	  .help = "Speak TLS; for get, an https URL decides." },
	{ .name = "ca", .type = OPT_STRING, .offset = AT(ca), .arg = "FILE",
	  .help = "Certificates in PEM to trust instead of the system's." },
	{ .name = "insecure", .key = 'k', .type = OPT_BOOL, .offset = AT(insecure),
	  .help = "Do not verify the server's certificate." },

	{ .name = "output", .key = 'o', .type = OPT_STRING, .offset = AT(output), .arg = "FILE",
	  .section = ONLY "get", .help = "Write the body to FILE; - is standard output." },
	{ .name = "head", .key = 'I', .type = OPT_ACTION, .offset = AT(head),
	  .help = "Ask by HEAD and print the status line and the headers." },

	{ .name = "count", .key = 'c', .type = OPT_UINT, .offset = AT(count), .arg = "N", .deflt = "10",
	  .section = ONLY "ping", .help = "Round trips to make; 0: until interrupted." },
	{ .name = "interval", .key = 'i', .type = OPT_DURATION, .offset = AT(interval_us), .arg = "DURATION",
	  .deflt = "100ms", .help = "Time from the start of one round trip to that of the next; 0s: none." },
	{ .name = "size", .key = 's', .type = OPT_SIZE, .offset = AT(size), .arg = "BYTES", .deflt = "64",
	  .min = 1, .max = 16 << 20, .help = "Bytes of a round trip." },
	{ .name = "verbose", .key = 'v', .type = OPT_BOOL, .offset = AT(verbose),
	  .help = "Print each round trip even if standard output is no terminal." },

	{ .name = "after", .type = OPT_DURATION, .offset = AT(after_us), .arg = "DURATION", .deflt = "100ms",
	  .section = ONLY "cancel-read", .help = "Time from the submission of the read to its cancellation." },

	{ .name = "help", .key = 'h', .type = OPT_ACTION, .offset = AT(help), .section = "Other",
	  .help = "Show this help." },
	{ .name = "version", .key = 'V', .type = OPT_ACTION, .offset = AT(version), .help = "Show the version." },
	{ .name = "man", .type = OPT_ACTION, .offset = AT(man) },
	{ .name = NULL },
};

static const struct opt_command commands[] = {
	[COMMAND_ENGINES] = { .name = "engines", .operands = "",
	  .help = "Tell which engines work here, which not and why.",
	  .more = "Tries every engine by one operation and prints a table: its name, whether it works, and how a read "
		  "waits in it or what it lacks here. The last line tells which one auto takes, and why." },
	[COMMAND_CAT] = { .name = "cat", .operands = "HOST:PORT",
	  .help = "Join standard input and output to a connection.",
	  .more = "Sends standard input to the peer and writes what it sends to standard output; each of them may be a "
		  "terminal, a pipe or a file. The end of input is passed on (half-close); the end of what the peer "
		  "sends ends taio." },
	[COMMAND_GET] = { .name = "get", .operands = "URL",
	  .help = "Fetch a http or https URL to standard output or a file.",
	  .more = "A status of 400 or above is a failure: it is reported and no body is written. Redirections are "
		  "reported and not followed." },
	[COMMAND_PING] = { .name = "ping", .operands = "HOST:PORT",
	  .help = "Measure round trips to an echo service.",
	  .more = "Sends bytes, waits until as many have come back and compares them. Prints the minimum, percentiles "
		  "and the maximum at the end or when interrupted." },
	[COMMAND_CANCEL_READ] = { .name = "cancel-read", .operands = "HOST:PORT",
	  .help = "Submit a read that nothing answers, cancel it, and time that.",
	  .more = "Connects, submits a read, cancels it after a time, and prints the event of the read and how long it "
		  "took from the request to cancel until the event was there. If data comes first, that is reported, "
		  "and there is nothing to cancel." },
	[COMMAND_COUNT] = { .name = NULL },
};
// clang-format on

static const char description[] = "taio is a client and a tool to look at libtaio with: each of its reads, "
				  "writes and waits is an operation "
				  "submitted to an engine of the library and reaped as an event.";

static const char epilogue[] = "EXIT STATUS:\n"
			       "0\tthe command did what was asked\n"
			       "1\tit failed at run time; one line on standard error says why\n"
			       "2\tthe command line is wrong\n"
			       "\n"
			       "An interrupted command ends by the signal; an interrupted ping prints what "
			       "it has measured and ends with 0.\n"
			       "\n"
			       "EXAMPLES:\n"
			       "  taio engines\n"
			       "  taio cat localhost:7 < request > answer\n"
			       "  taio get --ca ca.pem -o index.html https://localhost:8443/\n"
			       "  taio ping --engine threads:block --count 1000 --interval 0s localhost:7\n"
			       "  taio cancel-read localhost:7 --after 100ms\n"
			       "\n"
			       "SEE ALSO:\n"
			       "taio-load(1), io_cancel(2), io_submit(2), taiod(8)";

const struct opt_program taio_program = {
	.name = "taio",
	.man_section = 1,
	.brief = "client and diagnostic tool over asynchronous I/O",
	.synopsis = (const char *const[]){"[OPTION]... COMMAND [OPERAND]", NULL},
	.table = table,
	.commands = commands,
	.description = description,
	.epilogue = epilogue,
};

const char *option_owner(const struct opt *opt)
{
	while (!opt->section)
		opt--;
	return strncmp(opt->section, ONLY, strlen(ONLY)) ? NULL : opt->section + strlen(ONLY);
}
