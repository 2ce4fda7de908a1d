/* SPDX-License-Identifier: MIT */
/* Runs in the loop's thread. Parts that were opened are closed in reverse order. */
#include "setup.h"

#include "aio/taio.h"
#include "base/nofile.h"
#include "protos.h"
#include "report.h"
#include "run.h"
#include "sock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* Descriptors not used by connections: standard streams, the ring, output files. */
#define SPARE_FDS 32

/* Read buffers: small if only the end of the stream is expected, otherwise sized for a response. */
#define IN_HOLDS 256
#define IN_MIN	 1024
#define IN_MAX	 (64 * 1024)

/* churn: the pause after a failure. */
#define RETRY_NS (100 * NS_PER_MS)

static int usage_error(char *why, const char *text)
{
	snprintf(why, WHY_LEN, "%s", text);
	return -EINVAL;
}

/* Rejects arguments that the mode does not accept. */
static int check_takes(const struct run *run, char *why)
{
	const struct settings *set = run->set;
	const struct {
		unsigned int takes;
		bool is_given;
		const char *what;
	} checks[] = {
		{TAKES_URL, run->net.target.is_url, "a URL"},
		{TAKES_RATE, set->rate, "--rate"},
		{TAKES_DEADLINE, set->deadline_us, "--deadline"},
		{TAKES_REQUEST, set->request != REQUEST_AUTO, "--request"},
		{TAKES_RESUME, set->resume, "--resume"},
		{TAKES_ON_CLOSE, set->on_close != ON_CLOSE_REOPEN, "--on-close"},
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (!checks[i].is_given || run->mode->takes & checks[i].takes)
			continue;
		snprintf(why, WHY_LEN, "mode %s does not accept %s", run->mode->command.name, checks[i].what);
		return -EINVAL;
	}
	return 0;
}

static int check_usage(const struct run *run, char *why)
{
	const struct settings *set = run->set;
	bool is_tls = run->net.sock->is_tls;

	if (!run->mode->ramps && set->rate && set->connect_rate)
		return usage_error(why,
				   "--rate and --connect-rate mean the same in this mode; give one of them");
	if (set->resume && !is_tls)
		return usage_error(why, "--resume needs --tls or an https URL");
	if (!is_tls && (set->ca || set->insecure || set->server_name))
		return usage_error(why, "--ca, --insecure and --server-name need --tls or an https URL");
	return check_takes(run, why);
}

static const struct proto *choose_proto(const struct run *run)
{
	int request = run->set->request;

	if (run->mode->proto)
		return run->mode->proto;
	if (request == REQUEST_AUTO)
		return run->net.target.is_url ? proto_of_url() : NULL;
	return request == REQUEST_NONE ? NULL : protos[request - REQUEST_PROTO];
}

static uint32_t choose_in_cap(const struct run *run)
{
	const struct net *net = &run->net;
	uint64_t cap = run->mode->holds ? IN_HOLDS : IN_MIN, wanted;

	wanted = net->proto && !run->mode->holds ? net->proto->in_cap(run->set) : 0;
	cap = cap > net->sock->in_cap ? cap : net->sock->in_cap;
	cap = cap > wanted ? cap : wanted;
	return cap < IN_MAX ? (uint32_t)cap : IN_MAX;
}

/* Checks only the user's input: it fails on misuse, a missing process or a name that does not resolve. */
static int open_target(struct run *run, const char *target, char *why)
{
	struct net *net = &run->net;
	char reason[CPU_WHY_LEN] = "";
	int err;

	err = target_parse(&net->target, target, why);
	if (err)
		return err;
	net->sock = run->set->tls || net->target.url.is_tls ? &sock_tls : &sock_plain;
	net->proto = choose_proto(run);
	net->in_cap = choose_in_cap(run);
	err = check_usage(run, why);
	if (err)
		return err;
	err = cpu_open(&run->cpu, &run->set->server_pids, reason);
	if (err)
		snprintf(why, WHY_LEN, "%s", reason);
	return err ? err : target_resolve(&net->target, why);
}

static int raise_descriptors(uint32_t nconns, unsigned int each, char *why)
{
	uint64_t need = (uint64_t)nconns * each + SPARE_FDS, limit = nofile_raise();

	if (limit >= need)
		return 0;
	snprintf(why, WHY_LEN,
		 "%u connections need %llu file descriptors, but the hard limit is %llu; raise it "
		 "(ulimit -Hn, LimitNOFILE=)",
		 nconns, (unsigned long long)need, (unsigned long long)limit);
	return -EMFILE;
}

static int open_ring(struct run *run, char *why)
{
	/*
	 * One read and one write per connection. All slots are reserved up front, so that the run does not
	 * depend on what other processes take.
	 */
	struct taio_params params = {
		.engine = run->set->engine, .entries = 2 * run->nconns + 16, .slots = 2 * run->nconns + 16};
	char reason[TAIO_WHY_LEN] = "";
	struct taio *ring;
	int err;

	err = raise_descriptors(run->nconns, 1, why);
	if (err)
		return err;
	err = taio_open(&ring, &params, reason);
	if (err) {
		snprintf(why, WHY_LEN, "--engine %s: %s", run->set->engine, reason);
		return err;
	}
	run->net.ops.ring = ring;
	return raise_descriptors(run->nconns, 1 + taio_attach_fds(ring), why);
}

static size_t round_up(size_t size)
{
	return (size + sizeof(uint64_t) - 1) & ~(sizeof(uint64_t) - 1);
}

/* Read buffers are not touched until something is read into them. */
static int open_conns(struct run *run, char *why)
{
	struct net *net = &run->net;
	size_t proto_size = net->proto ? round_up(net->proto->conn_size) : 0;
	size_t state_size = proto_size + round_up(run->mode->conn_size);

	run->conns = calloc(run->nconns, sizeof(*run->conns));
	run->in_slab = malloc((size_t)run->nconns * net->in_cap);
	run->state_slab = calloc(run->nconns, state_size ? state_size : 1);
	if (!run->conns || !run->in_slab || !run->state_slab ||
	    ops_init(&net->ops, net->ops.ring, run->nconns) < 0) {
		snprintf(why, WHY_LEN, "out of memory for %u connections", run->nconns);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < run->nconns; i++) {
		char *state = run->state_slab + i * state_size;

		conn_init(&run->conns[i], net, i, run->in_slab + (size_t)i * net->in_cap);
		run->conns[i].proto_state = state;
		run->conns[i].mode_state = state + proto_size;
	}
	return 0;
}

static void init_fields(struct run *run, const struct settings *set, const struct mode *mode)
{
	*run = (struct run){.set = set, .mode = mode, .nconns = set->connections, .rate = set->rate};
	if (!mode->ramps && !run->rate)
		run->rate = set->connect_rate; /* a cycle is one connect */
	run->net.callbacks = &mode->conn;
	run->net.stats = &run->stats;
	TAILQ_INIT(&run->net.drained);
	timers_init(&run->net.timeouts, set->timeout_us * NS_PER_US);
	reconnect_init(&run->reconnect, set->connect_rate);
	/* Delays matter from half of what makes the run invalid. */
	schedule_init(&run->schedule, RETRY_NS, set->max_lag_us * NS_PER_US / 2);
}

int run_open(struct run *run, const struct settings *set, const struct mode *mode, const char *target,
	     char *why)
{
	struct net *net = &run->net;
	int err;

	init_fields(run, set, mode);
	err = open_target(run, target, why);
	if (!err && net->proto)
		err = net->proto->open(net, set, why);
	if (!err)
		err = open_ring(run, why);
	if (!err)
		err = net->sock->open(net, set, why);
	if (!err)
		err = open_conns(run, why);
	if (!err)
		err = report_open(run, why);
	if (err)
		run_close(run);
	/* The default slack of 50 us is too much for a schedule in microseconds. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	return err;
}

void run_close(struct run *run)
{
	struct net *net = &run->net;

	report_close(run);
	for (uint32_t i = 0; run->conns && i < run->nconns; i++)
		net->sock->forget(&run->conns[i]);
	ops_fini(&net->ops);
	free(run->state_slab);
	free(run->in_slab);
	free(run->conns);
	if (net->sock)
		net->sock->close(net);
	taio_close(net->ops.ring);
	if (net->proto)
		net->proto->close(net);
	cpu_close(&run->cpu);
}
