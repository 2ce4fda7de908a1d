/* SPDX-License-Identifier: MIT */
/* What a run needs before its loop and gives back after it. Called by main.c, in the loop's thread. */
#include "base/nofile.h"
#include "report.h"
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* Descriptors beside the connections' own: standard ones, the ring's, files written. */
#define SPARE_FDS 32

/* Read buffers: small where nothing is read but the end, else what an answer needs and a read is good for. */
#define IN_IDLE 256
#define IN_MIN	1024
#define IN_TLS	4096
#define IN_HTTP (16 * 1024)
#define IN_MAX	(64 * 1024)

static int check_mode(const struct run *run, char *why)
{
	const struct settings *set = run->set;
	const char *wrong = NULL;

	if (run->target.is_url && run->mode == &mode_echo)
		wrong = "echo takes HOST:PORT, not a URL";
	else if (set->deadline_us && run->mode != &mode_idle)
		wrong = "--deadline is for idle";
	else if (set->rate && run->mode == &mode_idle)
		wrong = "idle asks nothing at a rate; --connect-rate limits its connects";
	else if (set->rate && set->connect_rate && run->mode == &mode_churn)
		wrong = "in churn --rate and --connect-rate are the same; give one";
	else if (set->resume && (run->mode != &mode_churn || run->sock != &sock_tls))
		wrong = "--resume is for churn over TLS";
	else if (run->mode->proto && set->request != REQUEST_AUTO)
		wrong = "--request is for idle and churn";
	else if (run->sock != &sock_tls && (set->ca || set->insecure || set->server_name))
		wrong = "--ca, --insecure and --server-name need --tls or an https URL";
	if (!wrong)
		return 0;
	snprintf(why, RUN_WHY_LEN, "%s", wrong);
	return -EINVAL;
}

static const struct proto *choose_proto(const struct run *run)
{
	static const struct proto *const protos[] = {
		[REQUEST_NONE] = NULL,
		[REQUEST_ECHO] = &proto_echo,
		[REQUEST_HTTP] = &proto_http,
	};

	if (run->mode->proto)
		return run->mode->proto;
	if (run->set->request == REQUEST_AUTO)
		return run->target.is_url ? &proto_http : NULL;
	return protos[run->set->request];
}

static uint32_t choose_in_cap(const struct run *run)
{
	uint64_t cap = IN_IDLE;

	if (run->mode != &mode_idle)
		cap = IN_MIN;
	if (run->sock == &sock_tls)
		cap = IN_TLS;
	if (run->proto == &proto_http && run->mode != &mode_idle)
		cap = IN_HTTP;
	if (run->proto == &proto_echo && run->mode != &mode_idle && run->set->size > cap)
		cap = run->set->size;
	return cap < IN_MAX ? (uint32_t)cap : IN_MAX;
}

static int raise_descriptors(uint32_t nconns, unsigned int each, char *why)
{
	uint64_t need = (uint64_t)nconns * each + SPARE_FDS, limit = nofile_raise();

	if (limit >= need)
		return 0;
	snprintf(why, RUN_WHY_LEN,
		 "%u connections need %llu file descriptors, but the hard limit is %llu; raise it (ulimit "
		 "-Hn, "
		 "LimitNOFILE=)",
		 nconns, (unsigned long long)need, (unsigned long long)limit);
	return -EMFILE;
}

static int open_ring(struct run *run, char *why)
{
	/* A read and a write of each connection. */
	struct taio_params params = {.engine = run->set->engine, .entries = 2 * run->nconns + 16};
	char reason[TAIO_WHY_LEN] = "";
	int err = taio_open(&run->ring, &params, reason);

	if (err)
		snprintf(why, RUN_WHY_LEN, "--engine %s: %s", run->set->engine, reason);
	return err;
}

static int open_tls(struct run *run, char *why)
{
	const struct settings *set = run->set;
	struct tls_client_params params = {
		.ca_file = set->ca,
		.insecure = set->insecure,
		.alpn = run->proto ? run->proto->alpn : NULL,
	};
	char reason[TLS_WHY_LEN] = "";
	int err;

	if (run->sock != &sock_tls)
		return 0;
	run->sni = set->server_name ? set->server_name : run->target.host;
	err = tls_ctx_client(&run->tls_ctx, &params, reason);
	if (err)
		snprintf(why, RUN_WHY_LEN, "%s", reason);
	return err == -EINVAL ? -EBADMSG : err;
}

static int open_conns(struct run *run, char *why)
{
	run->conns = calloc(run->nconns, sizeof(*run->conns));
	run->in_slab = malloc((size_t)run->nconns * run->in_cap); /* touched only where something is read */
	if (!run->conns || !run->in_slab || batch_init(&run->batch, run->nconns) < 0) {
		snprintf(why, RUN_WHY_LEN, "out of memory for %u connections", run->nconns);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < run->nconns; i++)
		conn_init(&run->conns[i], run, i, run->in_slab + (size_t)i * run->in_cap);
	return 0;
}

static void init_fields(struct run *run, const struct settings *set, const struct mode *mode)
{
	struct stats *stats = &run->stats;
	struct hist *hists[] = {&stats->latency,  &stats->raw,	    &stats->lag,
				&stats->connect,  &stats->tls_full, &stats->tls_resumed,
				&stats->lateness, &stats->age,	    &stats->second};

	*run = (struct run){.set = set, .mode = mode, .nconns = set->connections, .rate = set->rate};
	if (mode == &mode_churn && !run->rate)
		run->rate = set->connect_rate; /* of the one thing that it does */
	TAILQ_INIT(&run->ready);
	TAILQ_INIT(&run->gone);
	timers_init(&run->timeouts, set->timeout_us * NS_PER_US);
	timers_init(&run->rests, 100 * NS_PER_MS);
	for (size_t i = 0; i < sizeof(hists) / sizeof(hists[0]); i++)
		hist_reset(hists[i]);
}

/* Nothing but what the user wrote is looked at here: every failure is usage, or a name that does not resolve.
 */
static int check_usage(struct run *run, const char *target, char *why)
{
	char reason[CPU_WHY_LEN] = "";
	int err;

	err = target_parse(&run->target, target, why);
	if (err)
		return err;
	run->sock = run->set->tls || run->target.is_tls ? &sock_tls : &sock_plain;
	run->proto = choose_proto(run);
	run->in_cap = choose_in_cap(run);
	err = check_mode(run, why);
	if (err)
		return err;
	err = cpu_open(&run->cpu, &run->set->server_pids, reason);
	if (err)
		snprintf(why, RUN_WHY_LEN, "%s", reason);
	return err ? err : target_resolve(&run->target, why);
}

int run_open(struct run *run, const struct settings *set, const struct mode *mode, const char *target,
	     char *why)
{
	int err;

	init_fields(run, set, mode);
	err = check_usage(run, target, why);
	if (!err && run->proto)
		err = run->proto->open(run, why);
	if (!err)
		err = raise_descriptors(run->nconns, 1, why);
	if (!err)
		err = open_ring(run, why);
	if (!err)
		err = raise_descriptors(run->nconns, 1 + taio_attach_fds(run->ring), why);
	if (!err)
		err = open_tls(run, why);
	if (!err)
		err = open_conns(run, why);
	if (!err)
		err = report_open(run, why);
	if (err)
		run_close(run);
	/* A plan in microseconds is not to be rounded up by 50 of them. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	return err;
}

/* Each part knows whether it was opened; in reverse order. */
void run_close(struct run *run)
{
	report_close(run);
	for (uint32_t i = 0; run->conns && i < run->nconns; i++)
		tls_ticket_free(run->conns[i].ticket);
	sock_tls_free_buffers(run);
	batch_fini(&run->batch);
	free(run->in_slab);
	free(run->conns);
	tls_ctx_put(run->tls_ctx);
	taio_close(run->ring);
	if (run->proto_data)
		run->proto->close(run);
	cpu_close(&run->cpu);
}
