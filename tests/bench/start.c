/* SPDX-License-Identifier: MIT */
/*
 * What it costs to start a helper: a read that is ready, without INLINE, when there is no helper, and then
 * the same again, which finds one idle. Of a pipe and of a file: a read of a TCP socket may have to
 * acknowledge what has arrived. With policy block a work item has kthreadd make the helper; with
 * policy worker io_submit(2) makes it of its caller. Whoever runs this leaves it one processor: then the time
 * until the event is what all of them spend on it.
 */
#include "bench.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NBYTES	64
#define WARM	10 /* rounds that are not counted */
#define IDLE_MS 20 /* after which a helper ends: longer than from one operation to the next */
#define GONE_MS 20000
#define CPU	0

enum when { FIRST, NEXT, WHENS };
enum part { CALL, EVENT, PARTS }; /* until io_submit(2) has returned, and until there is the event */

static const char *const when_names[WHENS] = {"first", "next"};
static const char *const part_names[PARTS] = {"call", "event"};

static struct row {
	const char *name;
	enum link_kind kind;
	enum taio_policy_id policy;
	struct scene scene;
	struct link *link;
	struct samples samples[WHENS][PARTS];
} rows[] = {
	{.name = "pipe", .kind = LINK_PIPE, .policy = TAIO_POLICY_BLOCK},
	{.name = "pipe", .kind = LINK_PIPE, .policy = TAIO_POLICY_WORKER},
	{.name = "file", .kind = LINK_FILE, .policy = TAIO_POLICY_BLOCK},
	{.name = "file", .kind = LINK_FILE, .policy = TAIO_POLICY_WORKER},
};

/* Counters of the module. */
static uint64_t started(const struct row *row)
{
	return counter_get(row->policy == TAIO_POLICY_WORKER ? "workers_started" : "helpers_started");
}

static uint64_t ended(const struct row *row)
{
	return counter_get(row->policy == TAIO_POLICY_WORKER ? "workers_ended" : "helpers_ended");
}

static void count_helper(int pid, const char *name, void *arg)
{
	*(unsigned int *)arg += !strncmp(name, "taio/", 5);
}

/* Threads of this process, the first included. */
static unsigned int threads_count(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned int n = 0;

	CHECK(dir);
	while ((entry = readdir(dir)))
		n += *entry->d_name != '.';
	closedir(dir);
	return n;
}

static bool is_without_helpers(const struct row *row)
{
	unsigned int n = 0;

	if (started(row) != ended(row) || threads_count() > 1)
		return false;
	kthreads_each(count_helper, &n);
	return !n;
}

static void helpers_wait_gone(const struct row *row)
{
	int64_t until = now_ms() + GONE_MS;

	while (!is_without_helpers(row)) {
		CHECK(now_ms() < until);
		pause_ms(IDLE_MS);
	}
}

/* One read. With @samples NULL it is not counted. */
static void read_measure(struct row *row, struct samples *samples)
{
	char there[NBYTES] = {0}, here[NBYTES];
	struct op op = {0};
	struct iocb *iocb = &op.iocb;
	struct io_event event;
	uint64_t began, called, over;

	op_read(&op, row->link->afd_in, here, NBYTES);
	if (row->kind != LINK_FILE)
		peer_write(row->link, there, NBYTES);
	began = now_ns();
	CHECK_EQ(io_submit(row->scene.ring.ctx, 1, &iocb), 1);
	called = now_ns();
	CHECK_EQ(io_getevents(row->scene.ring.ctx, 1, 1, &event, NULL), 1);
	over = now_ns();
	CHECK_EQ(event.res, NBYTES);
	if (samples) {
		samples_add(&samples[CALL], called - began);
		samples_add(&samples[EVENT], over - began);
	}
}

static void round_run(struct row *row, bool counts)
{
	uint64_t before;

	helpers_wait_gone(row);
	before = started(row);
	read_measure(row, counts ? row->samples[FIRST] : NULL);
	CHECK_EQ(started(row), before + 1);
	read_measure(row, counts ? row->samples[NEXT] : NULL);
	CHECK_EQ(started(row), before + 1);
}

static void row_open(struct row *row)
{
	static const char bytes[NBYTES];

	row->scene = (struct scene){.policy = row->policy, .kind = row->kind};
	row->link = scene_open(&row->scene, 8);
	if (row->kind == LINK_FILE)
		CHECK_EQ(pwrite(row->link->in, bytes, NBYTES, 0), NBYTES);
}

static void row_print(struct row *row, bool is_first)
{
	printf("%s{\"file\": \"%s\", \"policy\": \"%s\"", is_first ? "" : ",\n", row->name,
	       policy_names[row->policy]);
	for (int when = 0; when < WHENS; when++) {
		printf(", \"%s\": {", when_names[when]);
		for (int part = 0; part < PARTS; part++) {
			struct samples *samples = &row->samples[when][part];

			printf("%s\"%s\": [%ju, %ju, %ju]", part ? ", " : "", part_names[part],
			       (uintmax_t)samples_at(samples, 0.5), (uintmax_t)samples_at(samples, 0.01),
			       (uintmax_t)samples_at(samples, 0.99));
			samples_free(samples);
		}
		printf("}");
	}
	printf("}");
}

/* ROUNDS: of each row in turn, forwards and backwards. */
int cmd_start(int argc, char **argv)
{
	long rounds = number_of(argv[1], "ROUNDS"), idle_ms = param_set("idle_ms", IDLE_MS);
	struct row *there[ARRAY_LEN(rows)];
	unsigned int n = 0;

	CHECK_EQ(argc, 2);
	CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN), 1);
	for (unsigned int i = 0; i < ARRAY_LEN(rows); i++)
		if (policy_is_there(rows[i].policy))
			there[n++] = &rows[i];
	for (unsigned int i = 0; i < n; i++)
		row_open(there[i]);
	for (long r = -WARM; r < rounds; r++)
		for (unsigned int i = 0; i < n; i++)
			round_run(there[r % 2 ? n - 1 - i : i], r >= 0);
	printf("[");
	for (unsigned int i = 0; i < n; i++) {
		row_print(there[i], !i);
		scene_finish(&there[i]->scene);
	}
	printf("]\n");
	param_set("idle_ms", idle_ms);
	return 0;
}
