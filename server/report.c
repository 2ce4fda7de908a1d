/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "aio/taio.h"
#include "base/nofile.h"
#include "config.h"
#include "listener.h"
#include "log.h"
#include "memory.h"
#include "publish.h"
#include "server/conn/conn.h"
#include "sockets.h"
#include "tls/tls.h"
#include "worker.h"

#include <string.h>

/* Descriptors that are not connections: rings, loops, listeners, logs. */
#define SPARE_FDS 128

/* Each worker has a site per listener, which keeps files open; a descriptor attached to its ring may take
 * two. */
void report_nofile(const struct report_of *of, const struct config *config)
{
	const struct settings *settings = of->started->settings;
	unsigned int each = 1 + taio_attach_fds(of->workers[0].shard.ring);
	uint64_t files = 0, connections, want, limit = nofile_raise();
	unsigned int outgoing = config_outgoing(config);

	for (unsigned int i = 0; i < config->nlisteners; i++) {
		const struct listener *l = &config->listeners[i];

		if (l->service->max_files)
			files += (uint64_t)l->service->max_files(l->options) * of->nworkers;
	}
	connections = (uint64_t)settings->max_connections * (1 + outgoing);
	want = (connections + files) * each + SPARE_FDS;
	if (limit < want)
		log_warning(
			"%llu connections%s and %llu cached files need %llu file descriptors, but the limit "
			"is %llu: raise LimitNOFILE=, or lower max-connections or file-cache",
			(unsigned long long)connections, outgoing ? ", those to backends included," : "",
			(unsigned long long)files, (unsigned long long)want, (unsigned long long)limit);
}

void report_memory(const struct report_of *of, const struct config *config)
{
	uint64_t most = config->settings->max_memory, used = memory_base() + tls_memory();

	if (most && most < used + of->nworkers * 2 * CONN_HANDSHAKE_MEMORY)
		log_warning(
			"max-memory is %llu bytes, and taiod takes %llu without any connection: raise it, "
			"for each worker may serve no more than one",
			(unsigned long long)most, (unsigned long long)used);
}

void report_listeners(const struct config *config, const struct config *from)
{
	char text[SOCKETS_TEXT_LEN];

	for (unsigned int i = 0; from && i < from->nlisteners; i++)
		if (!config_listener_at(config, from->listeners[i].sockets))
			log_notice("no longer listening on %s",
				   sockets_text(from->listeners[i].sockets, text));
	for (unsigned int i = 0; i < config->nlisteners; i++) {
		const struct listener *l = &config->listeners[i], *was = config_listener_at(from, l->sockets);

		if (was && was->service == l->service && was->tls == l->tls)
			continue;
		log_notice("listening on %s: %s%s, %u worker%s", sockets_text(l->sockets, text),
			   l->service->name, l->tls ? " over TLS" : "", sockets_acceptors(l->sockets),
			   sockets_acceptors(l->sockets) == 1 ? "" : "s");
	}
}

/* max-connections is that of the start. */
void report_slots(const struct report_of *of, const struct config *config)
{
	const struct settings *settings = of->started->settings;
	unsigned int outgoing = config_outgoing(config);
	struct taio_slots slots;
	unsigned long wanted = (unsigned long)of->nworkers * worker_ops(settings, of->nworkers, outgoing),
		      have = 0;
	char text[160];

	if (!taio_takes_slots(of->workers[0].shard.ring) || taio_slots(&slots, false))
		return;
	for (unsigned int i = 0; i < of->nworkers; i++)
		have += taio_capacity(of->workers[i].shard.ring);
	if ((long)(wanted - have) <= slots.max - slots.taken) {
		taio_slots_text(&slots, text, sizeof(text));
		log_info("may need up to %lu slots: %s", wanted, text);
		return;
	}
	taio_slots(&slots, true);
	taio_slots_text(&slots, text, sizeof(text));
	log_warning(
		"%u connections%s may need %lu slots, two each: %s; beyond what is free, connections wait "
		"or are refused (when-full); raise fs.aio-max-nr or lower max-connections",
		settings->max_connections, outgoing ? ", and as many to backends," : "", wanted, text);
}

/* --- for other programs --- */

static int fill_ports(FILE *to, void *arg)
{
	const struct config *config = arg;
	char text[SOCKETS_TEXT_LEN];

	for (unsigned int i = 0; i < config->nlisteners; i++) {
		const struct listener *l = &config->listeners[i];

		fprintf(to, "%s %s %s\n", sockets_text(l->sockets, text), l->service->name,
			l->tls ? "tls" : "tcp");
	}
	return 0;
}

int report_ports(struct config *config)
{
	const char *file = config->settings->port_file;
	int ret = file ? publish(file, fill_ports, config) : 0;

	if (ret)
		log_error("cannot write --port-file %s: %s", file, strerror(-ret));
	return ret;
}
