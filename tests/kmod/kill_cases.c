/* SPDX-License-Identifier: MIT */
/*
 * Processes that die with operations in flight. The links are the case's and outlive them; proxies and aio
 * contexts are the victim's. A victim must be reaped within a bound, which one that sleeps in state D is not,
 * and the module must be as before it.
 */
#include "kmod.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define VICTIM_LINKS	50
#define READS_PER	16
#define WRITES_PER	4
#define OPS_PER		(READS_PER + WRITES_PER)
#define VICTIM_OPS	(VICTIM_LINKS * OPS_PER)
#define MANY_HELPERS	2000
#define REAP_LIMIT_MS	20000
#define SETTLE_LIMIT_MS 20000

struct victim {
	struct scene *s;
	_Atomic int submitted; /* operations, by the victim */
};

struct victim_op {
	struct op op;
	struct link *link;
	bool writes;
	char buf[64];
};

static void link_drain(struct link *link)
{
	static char buf[65536];

	while (fd_read_some(link->in, buf, sizeof(buf)))
		;
}

static void victim_submit(struct victim *victim, struct victim_op *vop)
{
	if (vop->writes)
		op_write(&vop->op, vop->link->afd_out, vop->buf, sizeof(vop->buf));
	else
		op_read(&vop->op, vop->link->afd_in, vop->buf, sizeof(vop->buf));
	/* Of a file: reads at its end are over at once, writes make it longer. */
	if (victim->s->kind == LINK_FILE)
		vop->op.iocb.u.c.offset = (long long)random_below(1 << 16);
	op_start(&victim->s->ring, &vop->op);
}

static void *victim_cancels(void *arg)
{
	struct victim *victim = arg;

	for (;;) {
		proxy_cancel(victim->s->links[random_below(VICTIM_LINKS)]->afd_in);
		pause_ms((unsigned int)random_below(5));
	}
	return NULL;
}

/* Submits again whatever comes back, and cancels now and then, until it is killed. */
static void victim_run(void *arg)
{
	static struct victim_op vops[VICTIM_OPS];
	struct victim *victim = arg;
	struct scene *s = victim->s;
	pthread_t thread;

	for (unsigned int i = 0; i < VICTIM_LINKS; i++)
		link_attach(s, s->links[i]);
	scene_ring(s, VICTIM_OPS);
	for (unsigned int i = 0; i < VICTIM_OPS; i++) {
		vops[i].link = s->links[i % VICTIM_LINKS];
		vops[i].writes = i / VICTIM_LINKS < WRITES_PER;
		victim_submit(victim, &vops[i]);
		atomic_fetch_add(&victim->submitted, 1);
	}
	CHECK_EQ(pthread_create(&thread, NULL, victim_cancels, victim), 0);
	for (;;) {
		collect(&s->ring, 10);
		for (unsigned int i = 0; i < VICTIM_OPS; i++)
			if (vops[i].op.events)
				victim_submit(victim, &vops[i]);
		op_cancel(&s->ring, &vops[random_below(VICTIM_OPS)].op);
	}
}

/* Data and room while the victim lives, for a random while. */
static void victim_disturb(struct scene *s)
{
	static char buf[4096];

	for (uint64_t turns = s->kind == LINK_FILE ? 0 : random_below(200); turns--;) {
		struct link *link = s->links[random_below(VICTIM_LINKS)];

		if (random_below(2))
			SYS(write(link->peer_out, "some bytes", 10));
		else
			fd_read_some(link->peer_in, buf, sizeof(buf));
	}
	pause_ms((unsigned int)random_below(20));
}

/* Every other round dies while it is still submitting; with all submitted the module must know of them. */
static void victim_wait(struct victim *victim, pid_t pid, long round)
{
	int upto = round & 1 ? (int)random_below(VICTIM_OPS) : VICTIM_OPS, status;
	int64_t until = now_ms() + REAP_LIMIT_MS;

	while (atomic_load(&victim->submitted) < upto && now_ms() < until)
		if (child_ends(pid, 1, &status))
			fail_at(THERE(), "the victim has ended by itself: status 0x%x", (unsigned int)status);
	CHECK(atomic_load(&victim->submitted) >= upto);
}

static void check_settled(long refcnt)
{
	char why[256];

	if (!module_settles(refcnt, SETTLE_LIMIT_MS, why, sizeof(why)))
		fail_at(THERE(), "%s", why);
}

TEST_CASE(kill_with_a_thousand_ops_in_flight, ON(KILLABLE), AS(CASE_LONG))
{
	struct victim *victim = shared_make(sizeof(*victim));
	int64_t longest_ms = 0, begin_ms;
	long refcnt = module_refcnt();
	int status;

	victim->s = s;
	for (; s->nlinks < VICTIM_LINKS; s->nlinks++) {
		s->links[s->nlinks] = malloc(sizeof(struct link));
		link_make(s->links[s->nlinks], s->kind);
	}
	for (long round = 0; round < s->kills; round++) {
		pid_t pid;

		/* By turns: most of them parked, and each with a helper of its own. */
		param_set("helpers_max", round & 2 ? MANY_HELPERS : 64);
		param_set("user_max", round & 2 ? MANY_HELPERS : 64);
		for (unsigned int i = 0; i < VICTIM_LINKS && s->kind != LINK_FILE; i++) {
			link_drain(s->links[i]);
			link_fill(s->links[i], s->kind);
		}
		atomic_store(&victim->submitted, 0);
		pid = child_start(victim_run, victim);
		victim_wait(victim, pid, round);
		victim_disturb(s);
		begin_ms = now_ms();
		SYS(kill(pid, SIGKILL));
		status = child_reap(pid, REAP_LIMIT_MS);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		check_settled(refcnt);
		if (now_ms() - begin_ms > longest_ms)
			longest_ms = now_ms() - begin_ms;
		note("%ld kills, each over after %jd ms at most", round + 1, (intmax_t)longest_ms);
	}
}

static void exit_with_reads(void *arg)
{
	static struct victim_op vops[8];
	struct scene *s = arg;

	scene_ring(s, ARRAY_LEN(vops));
	for (unsigned int i = 0; i < ARRAY_LEN(vops); i++)
		read_start(&s->ring, &vops[i].op, s->links[0]->afd_in, vops[i].buf, sizeof(vops[i].buf));
	pause_ms((unsigned int)random_below(20));
	if (random_below(2))
		_exit(0);
}

/* What comes after the end of the submitter is for whoever reads next. */
TEST_CASE(exit_with_ops_in_flight, ON(STREAMS))
{
	struct link *link = scene_link(s);
	char buf[8];

	for (unsigned int round = 0; round < 10; round++) {
		random_below(2);
		CHECK_EQ(child_reap(child_start(exit_with_reads, s), REAP_LIMIT_MS), 0);
		pattern_fill(buf, sizeof(buf), round, 5);
		peer_write(link, buf, sizeof(buf));
		fd_read(link->in, buf, sizeof(buf));
		pattern_check(buf, sizeof(buf), round, 5);
	}
}

TEST_CASE(io_destroy_ends_ops_in_flight, ON(STREAMS))
{
	struct link *link = scene_link(s);
	struct op ops[16];
	char bytes[16];
	int64_t begin;

	for (unsigned int round = 0; round < 10; round++) {
		scene_ring(s, ARRAY_LEN(ops));
		for (unsigned int i = 0; i < ARRAY_LEN(ops); i++)
			read_start(&s->ring, &ops[i], link->afd_in, &bytes[i], 1);
		if (round & 1)
			pause_ms(5);
		begin = now_ms();
		CHECK_EQ(io_destroy(s->ring.ctx), 0);
		CHECK(now_ms() - begin < REAP_LIMIT_MS);
		s->ring = (struct ring){0};
		peer_write(link, "later", 5);
		fd_read(link->in, bytes, 5);
		CHECK_EQ(bytes[4], 'r');
	}
}
