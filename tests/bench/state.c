/* SPDX-License-Identifier: MIT */
/*
 * What each bit of the state mask costs an operation: batches of small reads that are ready, with the bit and
 * without, in turn. Submitter and helpers share one processor, so that the time of a batch is what all of
 * them spend on it.
 */
#include "bench.h"

#include <linux/ioprio.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH  32
#define NBYTES 64
#define WARM   20
#define CPU    0

static const struct {
	const char *name;
	uint32_t bit;
} bits[] = {
	{"CRED", TAIO_STATE_CRED},
	{"IOCONTEXT", TAIO_STATE_IOCONTEXT},
	{"BLKCG", TAIO_STATE_BLKCG},
	{"FSIZE", TAIO_STATE_FSIZE},
	{"MEMCG", TAIO_STATE_MEMCG},
	{"none", 0}, /* the same against itself: what a difference of nothing looks like */
};

static const struct {
	const char *name;
	enum link_kind kind;
	enum taio_policy_id policy;
} classes[] = {
	{"socket", LINK_TCP, TAIO_POLICY_PARK}, {"socket", LINK_TCP, TAIO_POLICY_BLOCK},
	{"pipe", LINK_PIPE, TAIO_POLICY_PARK},	{"pipe", LINK_PIPE, TAIO_POLICY_BLOCK},
	{"file", LINK_FILE, TAIO_POLICY_BLOCK},
};

struct bench {
	struct ring ring;
	struct link link;
	struct op ops[BATCH];
	char bufs[BATCH][NBYTES];
	bool is_file;
};

static void fill(struct bench *b)
{
	static const char bytes[BATCH * NBYTES];

	if (b->is_file)
		CHECK_EQ(pwrite(b->link.in, bytes, sizeof(bytes), 0), sizeof(bytes));
	else
		peer_write(&b->link, bytes, sizeof(bytes));
}

/* One batch through @proxy: submitted at once, until the last event. */
static uint64_t batch_time(struct bench *b, int proxy)
{
	struct iocb *iocbs[BATCH];
	uint64_t began;

	if (!b->is_file)
		fill(b);
	for (int i = 0; i < BATCH; i++) {
		op_read(&b->ops[i], proxy, b->bufs[i], NBYTES);
		b->ops[i].iocb.u.c.offset = b->is_file ? i * NBYTES : 0;
		b->ops[i].iocb.data = (void *)b->ops[i].seq;
		iocbs[i] = &b->ops[i].iocb;
	}
	began = now_ns();
	CHECK_EQ(io_submit(b->ring.ctx, BATCH, iocbs), BATCH);
	b->ring.inflight += BATCH;
	while (b->ring.inflight)
		CHECK(collect(&b->ring, 10000));
	began = now_ns() - began;
	for (int i = 0; i < BATCH; i++)
		CHECK_EQ(b->ops[i].res, NBYTES);
	return began;
}

/* Median time of an operation. */
static double op_ns(struct bench *b, int proxy, long rounds)
{
	struct samples times = {0};
	uint64_t middle;

	for (long i = 0; i < rounds; i++)
		samples_add(&times, batch_time(b, proxy));
	middle = samples_at(&times, 0.5);
	samples_free(&times);
	return (double)middle / BATCH;
}

static int proxy_with(const struct bench *b, enum taio_policy_id policy, uint32_t state)
{
	struct taio_ioc_attach attach = {.fd = b->link.in,
					 .policy = policy,
					 .flags = TAIO_ATTACH_STATE | TAIO_ATTACH_CLOEXEC,
					 .state = state};
	int proxy = taio_attach_raw(&attach);

	CHECK(proxy >= 0);
	return proxy;
}

/* Pairs in turn: [without, with] in nanoseconds an operation. */
static void pairs_print(struct bench *b, const int proxies[2], long pairs, long rounds)
{
	for (long i = 0; i < pairs; i++) {
		double ns[2];

		ns[i % 2] = op_ns(b, proxies[i % 2], rounds);
		ns[!(i % 2)] = op_ns(b, proxies[!(i % 2)], rounds);
		printf("%s[%.1f, %.1f]", i ? ", " : "", ns[0], ns[1]);
	}
}

static void class_measure(size_t c, long pairs, long rounds)
{
	static struct bench b;

	b = (struct bench){.is_file = classes[c].kind == LINK_FILE};
	ring_open(&b.ring, BATCH);
	link_make(&b.link, classes[c].kind);
	if (b.is_file)
		fill(&b);
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		int proxies[2] = {proxy_with(&b, classes[c].policy, TAIO_STATE_MM),
				  proxy_with(&b, classes[c].policy, TAIO_STATE_MM | bits[i].bit)};

		op_ns(&b, proxies[0], WARM);
		helpers_pin(CPU);
		printf("{\"class\": \"%s\", \"policy\": \"%s\", \"bit\": \"%s\", \"pairs\": [",
		       classes[c].name, policy_names[classes[c].policy], bits[i].name);
		pairs_print(&b, proxies, pairs, rounds);
		printf("]}%s\n", c + 1 < ARRAY_LEN(classes) || i + 1 < ARRAY_LEN(bits) ? "," : "");
		fd_close(&proxies[0]);
		fd_close(&proxies[1]);
	}
	link_destroy(&b.link);
	ring_close(&b.ring);
}

int cmd_state(int argc, char **argv)
{
	long pairs, rounds;

	CHECK_EQ(argc, 3);
	pairs = number_of(argv[1], "PAIRS");
	rounds = number_of(argv[2], "ROUNDS");
	pin_to_cpu(CPU);
	/* Gives the submitter an io_context, without which there is none to take along. */
	SYS(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 2)));
	printf("[");
	for (size_t c = 0; c < ARRAY_LEN(classes); c++)
		class_measure(c, pairs, rounds);
	printf("]\n");
	return 0;
}
