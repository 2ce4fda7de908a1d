/* SPDX-License-Identifier: MIT */
/* taiod's table of options, from which the command line, configuration file, --help and taiod(8) are made. */
#include "options.h"

#include "access_log.h"
#include "census.h"
#include "listener.h"
#include "service.h"
#include "services.h"
#include "tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(struct settings, name)

/*
 * The services' options replace a row with this section. Other rows without a name give the next row's
 * heading.
 */
#define SERVICES_HERE ""

/* A row of limits_rows, here with the offset that it has in the settings. */
#define LIMIT(limit) .name = limit

#define TIMEOUT_ROW(CLASS, opt, ...) {LIMIT(#opt "-timeout")},

static const char *const level_choices[] = {"error", "warning", "notice", "info", "debug", NULL};

static const char *const kernel_choices[] = {"no", "auto", "yes", NULL}; /* enum tls_kernel_use */

/* Made from the tables of services and of sequences by options_init(). */
static char listen_more[8192], access_more[8192];

// clang-format off
static const struct opt own[] = {
	{ .section = "General",
	  .name = "config", .key = 'c', .type = OPT_STRING, .offset = FIELD(config), .arg = "FILE",
	  .argv_only = true,
	  .help = "Read options from FILE first; the command line overrides it." },
	{ .name = "check", .key = 't', .type = OPT_ACTION, .offset = FIELD(check),
	  .help = "Check the configuration, report errors with file and line, and exit." },
	{ .name = "reload", .type = OPT_UINT, .offset = FIELD(reload_pid), .arg = "PID", .max = 1 << 22, .argv_only = true,
	  .help = "Check the configuration and, unless -t would exit with 2, send SIGHUP to the taiod that is process PID." },
	{ .name = "dump-config", .type = OPT_ACTION, .offset = FIELD(dump_config),
	  .help = "Print the effective configuration and exit." },
	{ .name = "sample-config", .type = OPT_ACTION, .offset = FIELD(sample_config),
	  .help = "Print a configuration file that explains every option, and exit." },
	{ .name = "man", .type = OPT_ACTION, .offset = FIELD(show_man),
	  .help = "Print the manual page in mdoc format and exit." },
	{ .name = "help", .key = 'h', .type = OPT_ACTION, .offset = FIELD(show_help),
	  .help = "Print this help and exit." },
	{ .name = "version", .key = 'V', .type = OPT_ACTION, .offset = FIELD(show_version),
	  .help = "Print the version and exit." },

	{ .section = "Listening",
	  .name = "listen", .key = 'l', .type = OPT_LIST, .offset = FIELD(listen), .arg = "ADDRESS:PORT[,...]",
	  .check = listener_check, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Address to listen on; repeatable.",
	  .more = listen_more },
	{ .name = "listener", .type = OPT_BLOCKS, .offset = FIELD(listeners), .arg = "ADDRESS:PORT",
	  .keys = listener_keys, .check_block = listener_check_block, .beside = "listen", .on_reload = OPT_RELOAD_APPLY,
	  .help = "A listener as a block of keys; repeatable.",
	  .more = "A block says the same as an item of listen, and adds to those; --listen on the command line replaces both. "
		  "Keys are the fields of listen, and options that hold for this listener instead of the general ones. But "
		  "max-connections bounds this listener alone, and the general one still bounds all together. Values may "
		  "contain commas, and a key that may be repeated takes a list:\n\n"
		  "    listener \":443\" {\n"
		  "        service = proxy\n"
		  "        tls = yes\n"
		  "        to = {\"127.0.0.1:8080\", \"unix:/run/app.sock\"}\n"
		  "        idle-timeout = 5m\n"
		  "    }" },
	{ .name = "port-file", .type = OPT_STRING, .offset = FIELD(port_file), .arg = "FILE",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Write one line per listener to FILE once connections are accepted: ADDRESS:PORT SERVICE "
		  "tcp|tls.",
	  .more = "The file is replaced atomically." },
	{ LIMIT("backlog") },

	{ .section = "Engine",
	  .name = "engine", .key = 'e', .type = OPT_STRING, .offset = FIELD(engine), .arg = "NAME[:POLICY]",
	  .deflt = "auto", .on_reload = OPT_RELOAD_RESTART,
	  .help = "Engine that carries out socket and file operations; taio engines lists what works here.",
	  .more = "auto takes the first that works here for all workers; the log says which, and why." },
	{ .name = "workers", .key = 'w', .type = OPT_UINT, .offset = FIELD(workers), .arg = "N", .deflt = "0",
	  .max = 1024, .on_reload = OPT_RELOAD_RESTART,
	  .help = "Worker threads, each with its own loop, ring and connections; 0 means one per processor." },
	{ .name = "ring-entries", .type = OPT_UINT, .offset = FIELD(ring_entries), .arg = "N", .deflt = "0",
	  .max = RING_ENTRIES_MAX, .on_reload = OPT_RELOAD_RESTART,
	  .help = "Maximum operations in flight per worker; 0 means two per connection, those to backends included, plus 64.",
	  .more = "With engines poll and kmod a ring takes slots of the sysctl fs.aio-max-nr as connections need them, "
		  "and a worker that gets no more accepts no further connections." },
	{ .name = "helpers", .type = OPT_UINT, .offset = FIELD(helpers), .arg = "N", .deflt = "0", .max = 4096,
	  .on_reload = OPT_RELOAD_RESTART,
	  .help = "Maximum helper threads per worker; 0 means the engine's default." },
	{ .name = "reap-syscall", .type = OPT_BOOL, .offset = FIELD(reap_syscall), .deflt = "no",
	  .on_reload = OPT_RELOAD_RESTART,
	  .help = "Reap completions with io_getevents(2) instead of reading the mapped ring." },

	{ .section = "Timeouts" },
	TIMEOUTS(TIMEOUT_ROW)
	{ .name = "drain-timeout", .type = OPT_DURATION, .offset = FIELD(drain_us), .arg = "DURATION", .deflt = "10s",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum time after SIGTERM for requests under way to finish.",
	  .more = "0 cancels them at once. It also holds for connections of a listener that a reload removes." },
	{ .name = "upgrade-timeout", .type = OPT_DURATION, .offset = FIELD(upgrade_us), .arg = "DURATION", .deflt = "1h",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum time after an upgrade for connections of the program from before; 0 means as long as they last.",
	  .more = "When the file of the program has been replaced, SIGHUP starts the new one with the sockets of the one that "
		  "runs, which accepts no more once the new one serves, and ends with its last connection. It answers one more "
		  "request on a connection that is kept alive. After this time connections end as on SIGTERM. If the new "
		  "program does not come to serve, the one that runs goes on as it is. This is done where a service manager can be "
		  "told of the new process (sd_notify(3)); elsewhere SIGHUP only reloads." },

	{ .section = "Limits",
	  .name = "max-connections", .type = OPT_UINT, .offset = FIELD(max_connections), .arg = "N",
	  .deflt = "10240", .min = 1, .max = 1 << 19, .on_reload = OPT_RELOAD_RESTART,
	  .help = "Maximum connections, divided evenly among workers." },
	{ .name = "max-memory", .type = OPT_SIZE, .offset = FIELD(max_memory), .arg = "SIZE", .deflt = "0",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum memory that the process allocates; 0 means no limit.",
	  .more = "Connections count with their buffers and what is queued for their peers, OpenSSL with all that it "
		  "allocates, and what taiod takes before the first connection. New connections follow when-full once seven "
		  "eighths of it are in use; the rest is for those that are there. Above it no connection to a backend is opened, "
		  "and a connection that takes more bytes ends if it holds more than an even share, where a TLS session counts 16 "
		  "KiB, and 48 KiB during its handshake. A listener's "
		  "cache of TLS sessions is emptied first. Cached files, which file-cache bounds, are not part of it, nor is what "
		  "the kernel holds for sockets and rings, nor memory that was freed and that malloc(3) keeps." },
	{ LIMIT("when-full") },
	{ .name = "max-per-address", .type = OPT_UINT, .offset = FIELD(max_per_address), .arg = "N", .deflt = "0",
	  .max = 1 << 19, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum connections from one address, over all listeners and workers; 0 means no limit.",
	  .more = "Further ones are closed. With accept-proxy the client's address counts, once the header gives it; a "
		  "connection whose header gives none is not counted." },
	{ .name = "address-prefix", .type = OPT_STRING, .offset = FIELD(address_prefix), .arg = "BITS/BITS",
	  .deflt = "32/64", .check = census_check_prefix, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Bits of an IPv4 and of an IPv6 address that make it one address for max-per-address." },
	{ LIMIT("conn-memory") },
	{ LIMIT("send-min-rate") },

	{ .section = "TLS",
	  .name = "cert", .type = OPT_STRING, .offset = FIELD(cert), .arg = "FILE", .on_reload = OPT_RELOAD_APPLY,
	  .help = "Certificate chain (PEM) for listeners without their own.",
	  .more = "If an OCSP response (DER) lies beside it, NAME.ocsp for NAME.crt or NAME.pem, clients that ask for it get it "
		  "(stapling). One that has expired, or is for another certificate, is logged and not sent. "
		  "A TLS listener without a certificate gets a self-signed one, created in the state directory on first use. "
		  "SIGHUP reloads certificates and keys." },
	{ .name = "key", .type = OPT_STRING, .offset = FIELD(key), .arg = "FILE", .on_reload = OPT_RELOAD_APPLY,
	  .help = "Private key (PEM) of that certificate; by default read from the certificate's file." },
	{ .name = "cert-dir", .type = OPT_STRING, .offset = FIELD(cert_dir), .arg = "DIR",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Directory of certificates (PEM), of which each client gets that for the name it asks for (SNI).",
	  .more = "A certificate is NAME.pem or NAME.crt, chain included; its key is in NAME.key or NAME.pem.key beside it, or "
		  "in the same file. Its names are those in the certificate: an exact one goes before a wildcard, which stands for "
		  "one label. A name may have certificates with keys of several types: clients that take ECDSA get that, others RSA; "
		  "of two of one type the one that is valid longer is served. Clients that ask for no name or an unknown one get "
		  "the certificate of cert, if that is set, too, or else the first file's in alphabetical order. A listener with "
		  "cert= or cert-dir= of its own uses neither general option.\n\n"
		  "SIGHUP reads the directory again. Each file is judged by itself: a bad one is logged with the reason, and what "
		  "was loaded of it before stays in effect. -t names each bad file, too, and its exit status is 3, or 2 if none "
		  "is good." },
	{ .name = "client-ca", .type = OPT_STRING, .offset = FIELD(client_ca), .arg = "FILE", .on_reload = OPT_RELOAD_APPLY,
	  .help = "Certificates (PEM) of the authorities that must have signed the certificates of clients.",
	  .more = "Without it clients are asked for none. What a client's certificate says of its name is in the lines of the log "
		  "about its connection. A client that is refused gets an alert that says why, and is counted and logged." },
	{ .name = "client-crl", .type = OPT_STRING, .offset = FIELD(client_crl), .arg = "FILE", .on_reload = OPT_RELOAD_APPLY,
	  .help = "Revocation lists (PEM) of these authorities: one of each, none of them expired.",
	  .more = "SIGHUP reads it again, and client-ca, too. No session that was made before another one held is resumed." },
	{ .name = "client-verify", .type = OPT_STRING, .offset = FIELD(client_verify), .arg = "MODE",
	  .check = listener_check_verify, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Whether clients need a certificate: off, optional or required, which is the default with client-ca.",
	  .more = "With optional, one that has none is served; one whose certificate is bad is refused all the same." },
	{ .name = "state-dir", .type = OPT_STRING, .offset = FIELD(state_dir), .arg = "DIR",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Directory for the self-signed certificate.",
	  .more = "Default: $STATE_DIRECTORY, else /var/lib/taiod for root and ~/.local/state/taiod for other "
		  "users." },
	{ .name = "tls-min-version", .type = OPT_STRING, .offset = FIELD(tls_min), .arg = "1.2|1.3", .deflt = "1.2",
	  .check = listener_check_tls_version, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Oldest TLS version to accept." },
	{ .name = "tls-ciphers", .type = OPT_STRING, .offset = FIELD(tls_ciphers), .arg = "LIST",
	  .check = tls_check_ciphers, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Ciphers of TLS 1.2, the preferred first, separated by colons as in openssl-ciphers(1).",
	  .more = "By default those with forward secrecy and authenticated encryption, AES-128 first." },
	{ .name = "tls-ciphersuites", .type = OPT_STRING, .offset = FIELD(tls_ciphersuites), .arg = "LIST",
	  .check = tls_check_ciphersuites, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Cipher suites of TLS 1.3, the preferred first, separated by colons.",
	  .more = "Default: TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256." },
	{ .name = "tls-groups", .type = OPT_STRING, .offset = FIELD(tls_groups), .arg = "LIST",
	  .check = tls_check_groups, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Groups of key exchange, the preferred first, separated by colons.",
	  .more = "Default: X25519:P-256:P-384." },
	{ .name = "tls-ticket-keys", .type = OPT_LIST, .offset = FIELD(ticket_keys), .arg = "FILE",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Key for TLS session tickets; repeatable: the first encrypts, all decrypt.",
	  .more = "A file holds 80 random bytes (48 for AES-128), as written by openssl rand -out FILE 80 and as nginx "
		  "reads them; only the owner may write it, and only the owner and the group may read it. Sessions are then "
		  "resumed after a restart, and by every server that has the key.\n\n"
		  "To replace a key, put the new file first, keep the old one for two hours, the lifetime of a ticket, and "
		  "reload each time. If several servers share keys, first add the new file at the end of each list, so that "
		  "all can decrypt before one encrypts. SIGHUP reads the files again.\n\n"
		  "Without this option, a random key is made at the start, kept over reloads, and replaced every two "
		  "hours; the one before still decrypts." },
	{ .name = "tls-tickets", .type = OPT_BOOL, .offset = FIELD(tls_tickets), .deflt = "yes",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Resume sessions by tickets, which the clients keep.",
	  .more = "Without, all sessions are in the cache." },
	{ .name = "tls-session-cache", .type = OPT_UINT, .offset = FIELD(tls_cache), .arg = "N", .deflt = "4096",
	  .max = 1 << 20, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum sessions per listener kept for clients without tickets; 0 means none.",
	  .more = "Each takes about 1 KiB. All workers share the cache; a reload empties it. Clients of TLS 1.2 that know no "
		  "tickets use it, and with no tls-tickets all." },
	{ .name = "tls-kernel", .type = OPT_ENUM, .offset = FIELD(tls_kernel), .arg = "no|auto|yes", .deflt = "auto",
	  .choices = kernel_choices, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Leave the records of established TLS connections to the kernel (no, auto or yes), where it can.",
	  .more = "It can if it has the module tls (modprobe tls). An idle connection then takes much less memory. A kernel "
		  "before 6.14 cannot go on with a connection of TLS 1.3 whose peer changes its keys, and few peers do: "
		  "auto leaves it none of TLS 1.3, with yes such a connection ends." },
	{ .name = "handshake-threads", .type = OPT_UINT, .offset = FIELD(handshake_threads), .arg = "N", .deflt = "0",
	  .max = 1024, .on_reload = OPT_RELOAD_RESTART,
	  .help = "Threads for TLS handshakes, shared by all workers; 0 means none: the workers do it themselves.",
	  .more = "A handshake keeps a worker from all other connections for a fraction of a millisecond, with a large RSA key for "
		  "several. With threads, what is established is served while many clients arrive at once; a single "
		  "handshake takes a little longer. One that is not over within handshake-timeout ends, and what is left of it "
		  "is not done. Handshakes with backends are included." },
	{ .name = "tls-keylog", .type = OPT_STRING, .offset = FIELD(tls_keylog), .arg = "FILE",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Append session secrets to FILE, for debugging with a packet capture." },
	{ .section = SERVICES_HERE },

	{ .section = "Reporting",
	  .name = "log-level", .type = OPT_ENUM, .offset = FIELD(log_level), .arg = "LEVEL", .deflt = "info",
	  .choices = level_choices, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Least severe messages to log: error, warning, notice, info or debug." },
	{ .name = "access-log", .type = OPT_STRING, .offset = FIELD(access_log), .arg = "FILE",
	  .check = access_log_check, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Append a line to FILE for each HTTP response, and for each connection of other services; - is standard output.",
	  .more = "The service http has a line for each response, once it has been sent or its connection has ended; proxy, echo "
		  "and discard have one for each connection at its end; admin has none, nor has a listener with access-log=no. "
		  "The client is the one that a PROXY protocol header gives, where accept-proxy takes one.\n\n"
		  "A thread of its own writes the lines; nothing else waits for it. Lines are lost if the disk is full, or if they "
		  "come faster than they can be written (see access-log-queue). They are counted (access_log_lost), and the log "
		  "says when that begins and when it is over. A line that was written in part is removed again.\n\n"
		  "SIGHUP and SIGUSR2 open the file anew, once it has been renamed; the latter does nothing else. FILE may be a "
		  "FIFO, which need not have a reader. Files are made with mode 0640, or less if the umask says so." },
	{ .name = "access-log-format", .type = OPT_STRING, .offset = FIELD(access_format), .arg = "FORMAT", .deflt = "combined",
	  .check = access_format_check, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Form of these lines: common, combined, json, or sequences such as %h with text between them.",
	  .more = access_more },
	{ .name = "access-log-queue", .type = OPT_SIZE, .offset = FIELD(access_queue), .arg = "SIZE", .deflt = "1m",
	  .min = ACCESS_LINE_MAX, .max = 1 << 30, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Bytes of lines, for each worker, that may wait to be written; further lines are lost." },
	{ .name = "stats-file", .type = OPT_STRING, .offset = FIELD(stats_file), .arg = "FILE",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Write counters and io_cancel latency percentiles to FILE (JSON) on SIGUSR1 and on exit." },
	{ 0 }
};
// clang-format on

static const char *const synopsis[] = {
	"[-c FILE] [OPTION]...",
	"-t [-c FILE] [OPTION]...",
	"--reload PID [-c FILE] [OPTION]...",
	NULL,
};

#define ROWS_MAX 96

static struct opt table[ROWS_MAX];

static size_t add_row(size_t at, const struct opt *row, size_t offset)
{
	assert(at < ROWS_MAX - 1);
	/* Every row must say what a reload does with it. */
	assert(row->type == OPT_ACTION || row->argv_only || row->on_reload != OPT_RELOAD_NONE);
	table[at] = *row;
	table[at].offset += offset;
	return at + 1;
}

static size_t add_limit(size_t at, const char *name)
{
	for (const struct opt *row = limits_rows; row->name; row++)
		if (!strcmp(row->name, name))
			return add_row(at, row, FIELD(limits));
	assert(!"no such limit");
	return at;
}

static size_t add_own(size_t at, const struct opt *row)
{
	return row->help ? add_row(at, row, 0) : add_limit(at, row->name);
}

static size_t add_services(size_t at)
{
	for (unsigned int i = 0; services[i]; i++) {
		for (const struct opt *row = services[i]->options; row && row->name; row++) {
			/* A reload makes new sites where they differ. */
			assert(row->on_reload == OPT_RELOAD_APPLY);
			at = add_row(at, row, settings_offset(i));
		}
	}
	return at;
}

/* The fields that are @whose, as a list. */
static void describe_words(FILE *to, const struct opt *words, const char *whose)
{
	if (words)
		fprintf(to, "\n\nFields of %s:\n", whose);
	for (const struct opt *row = words; row && row->name; row++) {
		fprintf(to, "\n%s%s%s\t%s", row->name, row->type == OPT_BOOL ? "" : "=",
			row->type == OPT_BOOL ? "" : row->arg, row->help);
		if (row->deflt && row->type != OPT_BOOL)
			fprintf(to, " Default: %s.", row->deflt);
	}
}

static void describe_listen(void)
{
	FILE *to = fmemopen(listen_more, sizeof(listen_more), "w");

	assert(to);
	fprintf(to, "Fields follow the address, separated by commas. service=NAME is one of ");
	for (size_t i = 0; services[i]; i++)
		fprintf(to, "%s%s (%s)", i ? ", " : "", services[i]->name, services[i]->summary);
	fprintf(to,
		"; the default is %s. tls turns on TLS, with the certificate cert=FILE and key=FILE, those "
		"of "
		"cert-dir=DIR, or else the general ones.",
		services[0]->name);
	fprintf(to,
		" Timeouts, limits and the services' options, such as idle-timeout=5m, may be fields, "
		"too, and "
		"hold for that listener instead of the general ones. Port 0 lets the kernel choose a "
		"free port. "
		"unix:/PATH instead of an address makes a socket there, which one worker serves, with the "
		"permissions "
		"that the umask leaves; one that a process has left there is replaced. "
		"fd:NAME uses the sockets that systemd socket units pass under that name, one or several.");
	describe_words(to, listener_words, "every service");
	for (size_t i = 0; services[i]; i++)
		describe_words(to, services[i]->words, services[i]->name);
	/* It would be cut. */
	assert(ftell(to) < (long)sizeof(listen_more));
	fclose(to);
}

static void describe_access(void)
{
	FILE *to = fmemopen(access_more, sizeof(access_more), "w");

	assert(to);
	fprintf(to,
		"common and combined are Apache's and nginx's; the line of a connection has its service and backend in the "
		"place of the request, - for the status, and the bytes sent. json is an object on each line: time, client, "
		"port, listener, service, received and sent (bytes), duration (seconds); of a response method, target, "
		"protocol, host, referer, user_agent, status, body (bytes sent without the head) and complete (false if "
		"request or response was cut short), and line for a request line that is malformed; of a connection backend "
		"and reason; with TLS tls (its version), cipher, server_name, alpn, client_name and resumed. Any other "
		"value is text with these sequences:\n");
	access_format_describe(to);
	fprintf(to,
		"\n\nWhat there is not is a hyphen, and null in JSON. What comes from a client is escaped, so that it cannot "
		"forge a line: as \\xHH, \\\" and \\\\ or, in JSON, as JSON has it, with the character U+FFFD for what is "
		"not UTF-8. Of each of these things at most %d bytes are logged, followed by three dots.",
		ACCESS_TEXT_MAX);
	assert(ftell(to) < (long)sizeof(access_more));
	fclose(to);
}

void options_init(void)
{
	const char *heading = NULL;
	size_t at = 0;

	describe_listen();
	describe_access();
	listener_init();
	for (const struct opt *row = own; row->name || row->section; row++) {
		if (!row->name && *row->section) {
			heading = row->section;
			continue;
		}
		at = row->name ? add_own(at, row) : add_services(at);
		if (heading)
			table[at - 1].section = heading;
		heading = NULL;
	}
}

struct opt_program taiod_program = {
	.name = "taiod",
	.man_section = 8,
	.brief = "TCP/TLS daemon over io_submit",
	.synopsis = synopsis,
	.table = table,
	.description =
		"taiod is a server for TCP and TLS; --listen lists its services. Every read and write of a "
		"socket or a file is an asynchronous operation, submitted with io_submit(2) or through "
		"another engine behind the same interface. taiod ends an idle connection by cancelling its "
		"pending read with io_cancel(2).\n\n"
		"Each worker is one thread with its own event loop, ring and connections; the kernel "
		"distributes new connections among workers (SO_REUSEPORT).\n\n"
		"Every option can be set in the configuration file under its name, as in idle-timeout = 30s. "
		"A line listen += \"127.0.0.1:8080,service=http,root=/srv/www\" adds a listener, and so does "
		"a block: see "
		"listener. A line include = \"conf.d/*.conf\" reads other files in its place, in the order "
		"of their names, "
		"or none if none matches; a relative name starts from the directory of the file that it is "
		"in. "
		"--dump-config prints what all this comes to, as one file.",
	.epilogue =
		"SIGNALS:\n"
		"SIGTERM, SIGINT\tStop accepting connections, finish the requests under way, and exit. A "
		"second one ends them at once; a handshake that a thread is at is waited for.\n"
		"SIGHUP\tReload the configuration and the certificates, open the directories of root= and the access "
		"log anew, read the files of sni-map= and resolve the names of backends. Listeners are added and "
		"removed; the sockets of an address that stays are kept, so "
		"that no connection is refused. Connections of a listener that is removed finish the "
		"requests under way. Timeouts and limits, the general ones and those of a listener, hold for "
		"all "
		"connections at once; the service of a listener, "
		"its fields, and the services' own options for new connections. The log names each changed "
		"option that needs a restart. If anything is wrong, a listener that cannot be bound for "
		"instance, the previous configuration stays in effect as a whole. If the file of the program "
		"was "
		"replaced, SIGHUP starts it beside this process: see upgrade-timeout.\n"
		"SIGUSR1\tWrite the stats file.\n"
		"SIGUSR2\tOpen the access log anew, as after its file was renamed.\n\n"
		"PROXY PROTOCOL:\n"
		"A connection from a network of accept-proxy (an address, ADDRESS/BITS, or unix for all "
		"that come by a Unix socket) must begin with a header of the PROXY protocol, version 1 or "
		"2, ahead of a TLS handshake. The client is then where the header says: in the log, for "
		"send-proxy, and for max-per-address. A header that gives no addresses (LOCAL, UNKNOWN) "
		"leaves those of the connection. Of the header's further fields (TLVs) only a checksum "
		"counts, which must hold. A header of more than 4096 bytes, a malformed one, and one that "
		"is not complete within header-timeout end the connection, with a line in the log and the "
		"counter proxy_bad.\n\n"
		"What connects from elsewhere is served as if there were no accept-proxy: a header that "
		"it sends is its data, which TLS and HTTP refuse. So list exactly the networks of your "
		"load balancers, since whoever connects from there can claim any address.\n\n"
		"send-proxy=v2 tells a backend, beyond the addresses, what the client's TLS has agreed "
		"on: protocol (ALPN), server name (SNI), version, cipher, and the common name of a client "
		"certificate.\n\n"
		"FILES:\n"
		"/etc/taiod/taiod.conf\tThe configuration that the systemd service reads.\n"
		"/var/lib/taiod/\tThe self-signed certificate, if one was made.\n"
		"/run/taiod/\tFor sockets of listeners at a path, such as that of the service admin.\n"
		"/var/log/taiod/\tWhere the systemd service may have its access log, such as access.log.\n"
		"/dev/taio\tThe kernel module's device, for engine kmod; see taio(4).\n\n"
		"SERVICE MANAGER:\n"
		"To systemd, or who else sets $NOTIFY_SOCKET (sd_notify(3)), taiod tells when it is ready, "
		"reloads and "
		"stops, and its watchdog is fed as long as the loop of each worker turns and its engine "
		"carries out an "
		"operation. taiod gives it the listening sockets to keep (FileDescriptorStoreMax= of the "
		"unit), so that "
		"connections wait over a restart, and none is refused. Of those, a worker takes one for each "
		"listener: where "
		"a restart or an upgrade brings fewer workers, what waits at the others is lost. "
		"An upgrade changes the main process (MAINPID=); it keeps the arguments of the process "
		"before, while those "
		"in a changed unit need a restart.\n\n"
		"EXIT STATUS:\n"
		"0\tStopped by a signal, or the configuration is valid.\n"
		"1\tRun-time failure: a port is in use, no ring can be created, or there is no process to "
		"reload.\n"
		"2\tUsage or configuration error.\n"
		"3\tOf -t: the configuration is valid, but files of a cert-dir cannot be used. taiod would "
		"start, or go "
		"on, without them.\n\n"
		"EXAMPLES:\n"
		"    taiod --listen 127.0.0.1:8080,service=http,root=/srv/www\n"
		"    taiod --listen :7,service=echo --listen :443,service=http,root=/srv/www,tls "
		"--idle-timeout 30s\n\n"
		"SEE ALSO:\n"
		"taio(1), taio-load(1), io_cancel(2), io_submit(2), sd_notify(3), systemd.service(5), "
		"systemd.socket(5)",
};
