/* SPDX-License-Identifier: MIT */
/* The options of taiod: command line, configuration file, --help and taiod(8) are made from this table. */
#include "options.h"

#include "listener.h"
#include "service.h"
#include "services.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(struct settings, name)

/* A row that the options of the services take the place of. Others without a name: heading of the next row.
 */
#define SERVICES_HERE ""

#define TIMEOUT_ROW(CLASS, opt, deflt_text, min_us, reason, postponed_by, help_text, more_text)              \
	{                                                                                                    \
		.name = #opt "-timeout",                                                                     \
		.type = OPT_DURATION,                                                                        \
		.offset = FIELD(timeout_us) + DEADLINE_##CLASS * sizeof(uint64_t),                           \
		.arg = "DURATION",                                                                           \
		.deflt = deflt_text,                                                                         \
		.min = min_us,                                                                               \
		.help = help_text,                                                                           \
		.more = more_text,                                                                           \
		.on_reload = OPT_RELOAD_APPLY,                                                               \
	},

static const char *const full_choices[] = {"refuse", "wait", "evict", NULL};
static const char *const level_choices[] = {"error", "warning", "notice", "info", "debug", NULL};

/* Judged here and not when a context is made, so that taiod -t tells without a certificate. */
static int tls_version_check(const char *text, char *why)
{
	if (!strcmp(text, "1.2") || !strcmp(text, "1.3"))
		return 0;
	snprintf(why, OPT_WHY_LEN, "'%.100s' is neither 1.2 nor 1.3", text);
	return -EINVAL;
}

// clang-format off
static const struct opt own[] = {
	{ .section = "General",
	  .name = "config", .key = 'c', .type = OPT_STRING, .offset = FIELD(config), .arg = "FILE", .argv_only = true,
	  .help = "Read options from FILE first; the command line overrides it." },
	{ .name = "check", .key = 't', .type = OPT_ACTION, .offset = FIELD(check),
	  .help = "Check the configuration, say what is wrong with file and line, and exit." },
	{ .name = "dump-config", .type = OPT_ACTION, .offset = FIELD(dump_config),
	  .help = "Print the effective configuration and exit." },
	{ .name = "sample-config", .type = OPT_ACTION, .offset = FIELD(sample_config),
	  .help = "Print a configuration file with every option explained and exit." },
	{ .name = "man", .type = OPT_ACTION, .offset = FIELD(show_man),
	  .help = "Print the manual page in mdoc format and exit." },
	{ .name = "help", .key = 'h', .type = OPT_ACTION, .offset = FIELD(show_help), .help = "Print this help and exit." },
	{ .name = "version", .key = 'V', .type = OPT_ACTION, .offset = FIELD(show_version),
	  .help = "Print the version and exit." },

	{ .section = "Listening",
	  .name = "listen", .key = 'l', .type = OPT_LIST, .offset = FIELD(listen), .arg = "ADDRESS:PORT[,...]",
	  .check = listener_check,
	  .help = "Listen there; may be repeated.",
	  .more = "After the address follow, separated by commas: service=NAME (echo, discard or http; echo if left out), "
		  "root=DIR (http: the directory served), tls, and cert=FILE and key=FILE for a certificate of its own. "
		  "Port 0 lets the kernel choose. fd:NAME in place of the address takes the socket that a "
		  "systemd socket unit hands over under that name." },
	{ .name = "port-file", .type = OPT_STRING, .offset = FIELD(port_file), .arg = "FILE",
	  .help = "Once connections are accepted, write one line a listener to FILE: ADDRESS:PORT SERVICE tcp|tls.",
	  .more = "The file appears atomically." },
	{ .name = "backlog", .type = OPT_UINT, .offset = FIELD(backlog), .arg = "N", .deflt = "4096", .min = 1, .max = 1 << 20,
	  .help = "Connections the kernel may hold before they are accepted (net.core.somaxconn bounds it)." },

	{ .section = "Engine",
	  .name = "engine", .key = 'e', .type = OPT_STRING, .offset = FIELD(engine), .arg = "NAME[:POLICY]", .deflt = "auto",
	  .help = "How socket operations are carried out; taio engines lists what works here." },
	{ .name = "workers", .key = 'w', .type = OPT_UINT, .offset = FIELD(workers), .arg = "N", .deflt = "0", .max = 1024,
	  .help = "Worker threads, each with its loop, its ring and its connections; 0: one for each processor." },
	{ .name = "ring-entries", .type = OPT_UINT, .offset = FIELD(ring_entries), .arg = "N", .deflt = "0", .max = 1 << 20,
	  .help = "Operations in flight at most on a worker's ring; 0: two for each of its connections.",
	  .more = "The sum over all workers counts against the sysctl fs.aio-max-nr." },
	{ .name = "helpers", .type = OPT_UINT, .offset = FIELD(helpers), .arg = "N", .deflt = "0", .max = 4096,
	  .help = "Helper threads at most on a worker's ring; 0: the engine's default." },
	{ .name = "reap-syscall", .type = OPT_BOOL, .offset = FIELD(reap_syscall), .deflt = "no",
	  .help = "Reap completions by io_getevents(2) rather than from the mapped ring." },

	{ .section = "Timeouts" },
	TIMEOUTS(TIMEOUT_ROW)
	{ .name = "drain-timeout", .type = OPT_DURATION, .offset = FIELD(drain_us), .arg = "DURATION", .deflt = "10s",
	  .help = "On SIGTERM, requests under way may take this time to finish." },

	{ .section = "Bounds",
	  .name = "max-connections", .type = OPT_UINT, .offset = FIELD(max_connections), .arg = "N", .deflt = "10240",
	  .min = 1, .max = 1 << 19,
	  .help = "Connections at most, shared out among the workers." },
	{ .name = "when-full", .type = OPT_ENUM, .offset = FIELD(when_full), .arg = "refuse|wait|evict", .deflt = "wait",
	  .choices = full_choices,
	  .help = "At that bound: close new connections, leave them in the backlog, or end the one idle the longest." },
	{ .name = "conn-memory", .type = OPT_SIZE, .offset = FIELD(conn_memory), .arg = "SIZE", .deflt = "512k",
	  .min = 256 << 10,
	  .help = "Buffer memory that one connection may hold." },

	{ .section = "TLS",
	  .name = "cert", .type = OPT_STRING, .offset = FIELD(cert), .arg = "FILE",
	  .help = "Certificate chain (PEM) of listeners that name none.",
	  .more = "Without one a self-signed certificate is made in the state directory on the first run. SIGHUP reads "
		  "certificates and keys again." },
	{ .name = "key", .type = OPT_STRING, .offset = FIELD(key), .arg = "FILE",
	  .help = "Private key (PEM) of that certificate; if left out, it is looked for in the same file." },
	{ .name = "state-dir", .type = OPT_STRING, .offset = FIELD(state_dir), .arg = "DIR",
	  .help = "Where the self-signed certificate is kept.",
	  .more = "Default: $STATE_DIRECTORY, else /var/lib/taiod for root and ~/.local/state/taiod for others." },
	{ .name = "tls-min-version", .type = OPT_STRING, .offset = FIELD(tls_min), .arg = "1.2|1.3", .deflt = "1.2",
	  .check = tls_version_check,
	  .help = "Oldest TLS version that is spoken." },
	{ .name = "tls-keylog", .type = OPT_STRING, .offset = FIELD(tls_keylog), .arg = "FILE",
	  .help = "Append session secrets to FILE, for debugging with a packet capture." },

	{ .section = SERVICES_HERE },

	{ .section = "Reporting",
	  .name = "log-level", .type = OPT_ENUM, .offset = FIELD(log_level), .arg = "LEVEL", .deflt = "info",
	  .choices = level_choices,
	  .help = "Least important messages that are logged: error, warning, notice, info or debug." },
	{ .name = "stats-file", .type = OPT_STRING, .offset = FIELD(stats_file), .arg = "FILE",
	  .help = "Write counters and io_cancel latency percentiles to FILE (JSON) on SIGUSR1 and on exit." },
	{ 0 }
};
// clang-format on

static const char *const synopsis[] = {
	"[-c FILE] [OPTION]...",
	"-t [-c FILE] [OPTION]...",
	NULL,
};

#define ROWS_MAX     128
#define SERVICES_MAX 16

static struct opt table[ROWS_MAX];
static size_t offsets[SERVICES_MAX]; /* of each service's options in the settings */
static size_t settings_size;

static size_t add_row(size_t at, const struct opt *row, size_t offset)
{
	assert(at < ROWS_MAX - 1);
	table[at] = *row;
	table[at].offset += offset;
	return at + 1;
}

static size_t add_services(size_t at)
{
	for (size_t i = 0; services[i]; i++) {
		assert(i < SERVICES_MAX);
		offsets[i] = settings_size;
		settings_size += (services[i]->options_size + 15) & ~(size_t)15;
		for (const struct opt *row = services[i]->options; row && row->name; row++)
			at = add_row(at, row, offsets[i]);
	}
	return at;
}

void options_init(void)
{
	const char *heading = NULL;
	size_t at = 0;

	settings_size = (sizeof(struct settings) + 15) & ~(size_t)15;
	for (const struct opt *row = own; row->name || row->section; row++) {
		if (!row->name && *row->section) {
			heading = row->section;
			continue;
		}
		at = row->name ? add_row(at, row, 0) : add_services(at);
		if (heading)
			table[at - 1].section = heading;
		heading = NULL;
	}
}

struct settings *settings_create(void)
{
	return calloc(1, settings_size);
}

const void *settings_of(const struct settings *settings, const struct service *service)
{
	for (size_t i = 0; services[i]; i++)
		if (services[i] == service)
			return service->options ? (const char *)settings + offsets[i] : NULL;
	return NULL;
}

struct opt_program taiod_program = {
	.name = "taiod",
	.man_section = 8,
	.brief = "TCP/TLS daemon over io_submit",
	.synopsis = synopsis,
	.table = table,
	.description =
		"taiod serves echo, discard and HTTP/1.1 over TCP and TLS. Every read and write of a socket "
		"or a file is an "
		"asynchronous operation given to io_submit(2) (or to another engine behind the same "
		"interface), and a "
		"connection that stays idle is ended by io_cancel(2) of the read that waits on it.\n\n"
		"Each worker is one thread with an event loop, a ring and connections of its own; the kernel "
		"spreads new connections over them (SO_REUSEPORT).\n\n"
		"Every option may stand in the configuration file under its name, as in idle-timeout = 30s. "
		"A line "
		"listen += \"127.0.0.1:8080,service=http,root=/srv/www\" adds a listener.",
	.epilogue = "SIGNALS:\n"
		    "SIGTERM, SIGINT\tStop accepting, finish the requests under way, exit. A second one "
		    "exits at once.\n"
		    "SIGHUP\tRead the configuration and the certificates again. Timeouts, bounds, "
		    "certificates and the log level "
		    "take effect for new events; what needs a restart is named in the log. If anything is "
		    "wrong, all stays "
		    "as it was.\n"
		    "SIGUSR1\tWrite the stats file.\n\n"
		    "FILES:\n"
		    "/etc/taiod/taiod.conf\tThe configuration that the systemd service reads.\n"
		    "/var/lib/taiod/\tThe self-signed certificate, if one was made.\n"
		    "/dev/taio\tThe kernel module's device, for engine kmod; see taio(4).\n\n"
		    "EXIT STATUS:\n"
		    "0\tStopped by a signal, or the configuration is valid.\n"
		    "1\tFailure at run time: a port in use, no ring to be had.\n"
		    "2\tUsage or configuration.\n\n"
		    "EXAMPLES:\n"
		    "    taiod --listen 127.0.0.1:8080,service=http,root=/srv/www\n"
		    "    taiod --listen :7,service=echo --listen :443,service=http,root=/srv/www,tls "
		    "--idle-timeout 30s\n\n"
		    "SEE ALSO:\n"
		    "taio(1), taio-load(1), io_cancel(2), io_submit(2), systemd.socket(5)",
};
