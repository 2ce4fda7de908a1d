/* SPDX-License-Identifier: MIT */
/* taio's tables of commands and options, from which the command line, --help and the manual are made. */
#include "options.h"

#include "base/url.h"
#include "kmod/uapi/taio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

const char *const policy_names[] = {TAIO_POLICY_NAMES, NULL};

const char *const sort_names[] = {"waits", "idle", "age", "bytes", "newest", NULL};

#define AT(field) offsetof(struct settings, field)

static const char *const proxy_protocols[] = {"off", "v1", "v2", NULL};

static int admin_check(const char *text, char *why)
{
	struct url url;
	const char *bad = "it must be unix:/PATH, or begin with http:// or https://";

	if (!strncmp(text, "unix:/", 6) && strlen(text + 5) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return 0;
	if (url_has_scheme(text) && !url_parse(text, &url, &bad) && !strcmp(url.path, "/"))
		return 0;
	snprintf(why, OPT_WHY_LEN, "'%.100s' is no place of a service admin: %s", text, bad);
	return -EINVAL;
}

/* An option in a section of this name is for those commands alone. */
#define ONLY "Options of "

// clang-format off
static const struct opt table[] = {
	{ .name = "engine", .key = 'e', .type = OPT_STRING, .offset = AT(engine), .arg = "NAME[:POLICY]",
	  .deflt = "auto", .section = "Connection",
	  .help = "Engine that carries out reads and writes; taio engines lists them." },
	{ .name = "timeout", .key = 't', .type = OPT_DURATION, .offset = AT(timeout_us), .arg = "DURATION",
	  .deflt = "10s", .help = "Maximum time for a connect, a TLS handshake or a response; 0 means no limit.",
	  .more = "A response is late if no byte of it arrives for that long. cat does not limit how long an "
		  "established connection may stay silent." },
	{ .name = "tls", .type = OPT_BOOL, .offset = AT(tls),
	  .help = "Use TLS; for get, the URL decides." },
	{ .name = "ca", .type = OPT_STRING, .offset = AT(ca), .arg = "FILE",
	  .help = "PEM certificates to trust instead of the system's." },
	{ .name = "insecure", .key = 'k', .type = OPT_BOOL, .offset = AT(insecure),
	  .help = "Do not verify the server's certificate." },

	{ .name = "output", .key = 'o', .type = OPT_STRING, .offset = AT(output), .arg = "FILE",
	  .section = ONLY "get", .help = "Write the body to FILE; - is standard output." },
	{ .name = "head", .key = 'I', .type = OPT_ACTION, .offset = AT(head),
	  .help = "Send HEAD and print the status line and the headers." },
	{ .name = "proxy-protocol", .type = OPT_ENUM, .offset = AT(proxy_protocol), .arg = "v1|v2", .bare = "v1",
	  .choices = proxy_protocols,
	  .help = "Begin the connection with a PROXY protocol header, by default of version 1.",
	  .more = "As a load balancer does in front of a server that expects one, such as taiod with accept-proxy. It "
		  "gives the addresses of this connection, ahead of a TLS handshake." },

	{ .name = "count", .key = 'c', .type = OPT_UINT, .offset = AT(count), .arg = "N", .deflt = "10",
	  .section = ONLY "ping", .help = "Round trips to make; 0 means until interrupted." },
	{ .name = "interval", .key = 'i', .type = OPT_DURATION, .offset = AT(interval_us), .arg = "DURATION",
	  .deflt = "100ms", .help = "Time from the start of one round trip to the start of the next; 0s means no pause." },
	{ .name = "size", .key = 's', .type = OPT_SIZE, .offset = AT(size), .arg = "BYTES", .deflt = "64",
	  .min = 1, .max = 16 << 20, .help = "Bytes per round trip." },
	{ .name = "verbose", .key = 'v', .type = OPT_BOOL, .offset = AT(verbose),
	  .help = "Print each round trip even if standard output is not a terminal." },
	{ .name = "resume", .type = OPT_BOOL, .offset = AT(resume),
	  .help = "With --tls: a connection for each round trip; every second one resumes the session before it.",
	  .more = "Prints what full and what resumed handshakes took, each with percentiles. The time to connect is no part "
		  "of it. It is a failure if the server resumes no session." },

	{ .name = "after", .type = OPT_DURATION, .offset = AT(after_us), .arg = "DURATION", .deflt = "100ms",
	  .section = ONLY "cancel-read", .help = "Time from the submission of the read to its cancellation." },

	{ .name = "names", .type = OPT_BOOL, .offset = AT(names), .section = ONLY "engines",
	  .help = "Print only the names, one per line." },
	{ .name = "working", .type = OPT_BOOL, .offset = AT(working), .help = "Leave out engines that do not work here." },

	{ .name = "admin", .key = 'a', .type = OPT_STRING, .offset = AT(admin), .arg = "unix:/PATH|URL",
	  .deflt = "unix:/run/taiod/admin.sock", .check = admin_check, .section = ONLY "stats and top",
	  .help = "Where taiod's service admin listens." },
	{ .name = "delay", .key = 'd', .type = OPT_DURATION, .offset = AT(delay_us), .arg = "DURATION", .deflt = "1s",
	  .min = 10000, .max = 3600ull * 1000000,
	  .help = "Time over which rates are taken, and between two looks of top." },
	{ .name = "sort", .type = OPT_ENUM, .offset = AT(sort), .arg = "waits|idle|age|bytes|newest", .deflt = "waits",
	  .choices = sort_names, .help = "Which connections are shown first.",
	  .more = "waits: those whose output is under way for the longest time, in a write, in the read of a file or in a "
		  "connect. idle: those for which no byte has come or gone for the longest time. age: the oldest. bytes: those "
		  "that have moved most. newest: the newest." },

	{ .name = "rows", .type = OPT_UINT, .offset = AT(rows), .arg = "N", .deflt = "10", .max = 1000,
	  .section = ONLY "stats", .help = "Maximum connections to show." },
	{ .name = "json", .type = OPT_BOOL, .offset = AT(json), .help = "Print one JSON object." },

	{ .name = "policy", .type = OPT_ENUM, .offset = AT(policy), .arg = "POLICY", .deflt = "park",
	  .choices = policy_names, .section = ONLY "run",
	  .help = "How an operation on a socket or a pipe waits in the module; see taio(4)." },

	{ .name = "help", .key = 'h', .type = OPT_ACTION, .offset = AT(help), .section = "Other",
	  .help = "Show this help." },
	{ .name = "version", .key = 'V', .type = OPT_ACTION, .offset = AT(version), .help = "Show the version." },
	{ .name = "man", .type = OPT_ACTION, .offset = AT(man) },
	{ .name = NULL },
};

static const struct opt_command commands[] = {
	[COMMAND_ENGINES] = { .name = "engines", .operands = "",
	  .help = "Show which engines work here, and why the others do not.",
	  .more = "Tries every engine with one operation and prints a table: its name, whether it works, and how a read "
		  "waits in it or why it does not work. The last line says which one auto takes, and why." },
	[COMMAND_CAT] = { .name = "cat", .operands = "HOST:PORT",
	  .help = "Join standard input and output to a connection.",
	  .more = "Sends standard input to the peer and writes what the peer sends to standard output; each may be a "
		  "terminal, a pipe or a file. The end of input is passed on (half-close); when the peer closes its "
		  "side, taio exits." },
	[COMMAND_GET] = { .name = "get", .operands = "URL",
	  .help = "Fetch an http or https URL to standard output or a file.",
	  .more = "A status of 400 or above is a failure: it is reported, and no body is written. Redirects are "
		  "reported, not followed." },
	[COMMAND_PING] = { .name = "ping", .operands = "HOST:PORT",
	  .help = "Measure round trips to an echo service.",
	  .more = "Sends bytes, waits for the same number to come back, and compares them. Prints the minimum, "
		  "percentiles and the maximum at the end, or when interrupted." },
	[COMMAND_CANCEL_READ] = { .name = "cancel-read", .operands = "HOST:PORT",
	  .help = "Submit a read for which no data arrives, cancel it, and time the cancellation.",
	  .more = "Connects, submits a read, cancels it after a while, and prints the read's event and the time from "
		  "the cancel request to the event. If data arrives first, that is reported and nothing is cancelled." },
	[COMMAND_STATS] = { .name = "stats", .operands = "",
	  .help = "Show what a running taiod does: rates, latencies, slots, its slowest connections.",
	  .more = "Asks the service admin of taiod twice, --delay apart, and prints counters since its start with their rates "
		  "in between, latencies since its start, which are each an upper bound within a factor of two, and some of its "
		  "connections, those first that --sort says." },
	[COMMAND_TOP] = { .name = "top", .operands = "",
	  .help = "The same as a live screen, from which connections can be ended.",
	  .more = "Rates and latencies are those of the time since the last look. Connections are ended through a listener at a "
		  "path alone (--admin unix:/PATH): whoever may connect to that socket may end them. The keys:\n"
		  "\n"
		  "w, i, a, b, n\tsort by waits, idle, age, bytes, newest\n"
		  "up, down\tselect a connection\n"
		  "k, x\tend it by io_cancel, once y confirms that\n"
		  "p, space\tpause, and go on\n"
		  "?\thelp\n"
		  "q\tquit" },
	[COMMAND_RUN] = { .name = "run", .operands = "-- PROGRAM [ARGUMENT]...",
	  .help = "Run a program whose io_submit does not block on sockets, pipes and files.",
	  .more = "The program is any that uses io_submit(2), by libaio or by syscall(2), and knows nothing of taio: a "
		  "preloaded library submits its operations on sockets, pipes, files and block devices by way of the "
		  "module, and leaves all else as it is. Its exit status is that of taio.\n"
		  "\n"
		  "If the module is not loaded or may not be used, or if the program is linked statically or gains "
		  "privileges, so that nothing can be preloaded, one line on standard error says so, and the program runs "
		  "as it is.\n"
		  "\n"
		  "A descriptor that the program submits to takes another one, for as long as the program runs. What starts "
		  "by exec(3) is preloaded anew." },
	[COMMAND_COUNT] = { .name = NULL },
};
// clang-format on

static const char description[] = "taio is a client and a diagnostic tool for libtaio: each of its reads, "
				  "writes and waits is an operation "
				  "submitted to an engine of the library and reaped as an event.";

static const char epilogue[] =
	"ENVIRONMENT:\n"
	"LD_PRELOAD\trun puts its library before what is preloaded anyway.\n"
	"TAIO_POLICY\tPolicy of the preloaded library; set by run.\n"
	"TAIO_VERBOSE\tIf set and not 0, a program under run tells on standard error, when it exits, how "
	"many of its "
	"operations and files went by way of the module.\n"
	"\n"
	"EXIT STATUS:\n"
	"0\tThe command succeeded.\n"
	"1\tIt failed at run time; one line on standard error says why.\n"
	"2\tUsage error.\n"
	"\n"
	"An interrupted command is ended by the signal; an interrupted ping prints what "
	"it has measured and exits with 0. The exit status of run is the program's; 126 if it cannot be run, "
	"127 if "
	"there is no such program.\n"
	"\n"
	"EXAMPLES:\n"
	"  taio engines\n"
	"  taio cat localhost:7 < request > response\n"
	"  taio get --ca ca.pem -o index.html https://localhost:8443/\n"
	"  taio ping --engine threads:block --count 1000 --interval 0s localhost:7\n"
	"  taio ping --tls --resume --count 1000 --interval 0s localhost:7443\n"
	"  taio cancel-read localhost:7 --after 100ms\n"
	"  taio stats --json --admin http://localhost:9100\n"
	"  taio top --sort idle\n"
	"  taio run -- fio --ioengine=libaio --iodepth=32 --rw=randread --size=1g --name=job\n"
	"\n"
	"SEE ALSO:\n"
	"taio-load(1), io_cancel(2), io_submit(2), taio(4), ld.so(8), taiod(8)";

const struct opt_program taio_program = {
	.name = "taio",
	.man_section = 1,
	.brief = "client and diagnostic tool over asynchronous I/O",
	.synopsis = (const char *const[]){"[OPTION]... COMMAND [OPERAND]", NULL},
	.table = table,
	.commands = commands,
	.commands_title = "Commands",
	.description = description,
	.epilogue = epilogue,
};

const char *option_owners(const struct opt *opt)
{
	while (!opt->section)
		opt--;
	return strncmp(opt->section, ONLY, strlen(ONLY)) ? NULL : opt->section + strlen(ONLY);
}

bool option_is_of(const char *owners, const char *command)
{
	size_t len = strlen(command);

	for (const char *word = owners; *word; word += strcspn(word, " "), word += strspn(word, " "))
		if (strcspn(word, " ") == len && !strncmp(word, command, len))
			return true;
	return false;
}
