/* SPDX-License-Identifier: MIT */
/* What an operation takes along and what the module tells of it, as the kernel's own tracing and accounts
 * show it. */
#include "observe.h"
#include "semantics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INFLIGHT "/sys/kernel/debug/taio/inflight"

/* linux/ioprio.h */
#define IOPRIO_WHO_PROCESS  1
#define IOPRIO(class, data) ((class) << 13 | (data))
#define IOPRIO_BE	    2
#define IOCB_FLAG_IOPRIO    (1 << 1) /* linux/aio_abi.h; that header and that of libaio exclude one another */

static const char *const taio_events[] = {"taio:taio_submit", "taio:taio_queue",    "taio:taio_start",
					  "taio:taio_cancel", "taio:taio_complete", NULL};

static long read_at(struct scene *s, int proxy, void *buf, size_t nbytes, long long offset)
{
	struct op op;

	op_read(&op, proxy, buf, nbytes);
	op.iocb.u.c.offset = offset;
	op_start(&s->ring, &op);
	return await(&s->ring, &op);
}

/* The line that has both, up to its end; NULL if there is none. */
static const char *find_line(const char *text, const char *one, const char *other)
{
	static char line[512];

	for (const char *at = text; (at = strstr(at, one)); at++) {
		const char *begin = at;

		while (begin > text && begin[-1] != '\n')
			begin--;
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(begin, "\n"), begin);
		if (strstr(line, other))
			return line;
	}
	return NULL;
}

/* --- ioprio --- */

static void ioprio_set(int value)
{
	SYS(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value));
}

/* "   <...>-1234   [000] ..." */
static bool is_of_a_helper(const char *line)
{
	const char *dash = strchr(line, '-');
	char path[64], *comm;
	bool is;

	CHECK(dash);
	snprintf(path, sizeof(path), "/proc/%d/comm", atoi(dash + 1));
	comm = file_text(path);
	is = !strncmp(comm, "taio/", 5);
	free(comm);
	return is;
}

static const char *start_line(struct scene *s, int proxy)
{
	static const char *const events[] = {"taio:taio_start", NULL};
	const char *line;
	char byte, *text;

	trace_start(events);
	CHECK_EQ(read_at(s, proxy, &byte, 1, 0), 1);
	text = trace_stop();
	line = find_line(text, "taio_start:", "policy=block");
	if (!line)
		fail_at(HERE(), "no event taio_start of policy block in: %s", text);
	CHECK(is_of_a_helper(line));
	free(text);
	return line;
}

TEST_CASE(ioprio_of_the_submitter_reaches_file_ops, ON(NONE), AS(CASE_ONCE))
{
	int file = scratch_file(100), all = proxy_make(s, file);
	int without = wrap_state(file, s->policy, s->flags, TAIO_STATE_FILE & ~TAIO_STATE_IOCONTEXT);

	scene_ring(s, 4);
	ioprio_set(IOPRIO(IOPRIO_BE, 3));
	CHECK(strstr(start_line(s, all), "ioprio=2/3"));
	CHECK(!strstr(start_line(s, without), "ioprio=2/3"));
	ioprio_set(IOPRIO(IOPRIO_BE, 6));
	CHECK(strstr(start_line(s, all), "ioprio=2/6"));
	CHECK(!strstr(start_line(s, without), "ioprio=2/6"));
	/* The helper keeps nothing of it. */
	CHECK(!strstr(start_line(s, without), "ioprio=2/3"));
}

/* A read that the block layer sees: at an offset, with IOCB_FLAG_IOPRIO if @own is not 0. */
static void read_block(struct scene *s, int proxy, void *buf, int own)
{
	struct op op;

	op_read(&op, proxy, buf, 4096);
	op.iocb.u.c.offset = 4096;
	op.iocb.aio_reqprio = (short)own;
	op.iocb.u.c.flags = own ? IOCB_FLAG_IOPRIO : 0;
	op_start(&s->ring, &op);
	CHECK_EQ(await(&s->ring, &op), 4096);
}

/* Whether the block layer's own event says @ioprio ("be,0,3"); -1: this kernel's does not tell. */
static int is_issued_with(struct scene *s, int proxy, int own, const char *ioprio)
{
	static const char *const events[] = {"block:block_rq_issue", NULL};
	char *buf = aligned_alloc(4096, 4096), *text;
	const char *line;

	CHECK(buf);
	trace_start(events);
	read_block(s, proxy, buf, own);
	text = trace_stop();
	line = find_line(text, "block_rq_issue:", " R");
	if (!line)
		fail_at(HERE(), "no read was issued: %s", text);
	free(text);
	free(buf);
	return strstr(line, ",0,") ? strstr(line, ioprio) != NULL : -1;
}

static void check_block_ioprio(struct scene *s, int file, uint32_t state, int own, const char *ioprio,
			       int want)
{
	int proxy = wrap_state(file, s->policy, s->flags, state), got;

	SYS(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED));
	got = is_issued_with(s, proxy, own, ioprio);
	if (got < 0)
		note("block_rq_issue of this kernel does not tell the ioprio");
	else
		CHECK_EQ(got, want);
	close(proxy);
}

/* The submitter's, and for O_DIRECT an operation's own as well; reads into the page cache have the former. */
TEST_CASE(ioprio_reaches_the_block_layer, ON(NONE), AS(CASE_ONCE))
{
	const uint32_t without = TAIO_STATE_FILE & ~TAIO_STATE_IOCONTEXT;
	int file = scratch_disk_file(65536), own = IOPRIO(IOPRIO_BE, 5);

	scene_ring(s, 4);
	ioprio_set(IOPRIO(IOPRIO_BE, 3));
	check_block_ioprio(s, file, TAIO_STATE_FILE, 0, "be,0,3", 1);
	check_block_ioprio(s, file, without, 0, "be,0,3", 0);
	SYS(fcntl(file, F_SETFL, O_DIRECT));
	check_block_ioprio(s, file, TAIO_STATE_FILE, 0, "be,0,3", 1);
	check_block_ioprio(s, file, without, 0, "be,0,3", 0);
	check_block_ioprio(s, file, TAIO_STATE_FILE, own, "be,0,5", 1);
	check_block_ioprio(s, file, without, own, "be,0,5", 0);
}

/* --- block cgroup --- */

#define CGROUPS "/sys/fs/cgroup"
#define GROUP	CGROUPS "/taio-test"

static void group_make(void)
{
	if (access(CGROUPS "/cgroup.controllers", F_OK) && mount("cgroup2", CGROUPS, "cgroup2", 0, NULL))
		fail_at(HERE(), CGROUPS ": %m");
	CHECK(file_put(CGROUPS "/cgroup.subtree_control", "+io"));
	CHECK(mkdir(GROUP, 0755) == 0 || errno == EEXIST);
}

/* Bytes read by the group, of all devices. */
static unsigned long group_rbytes(void)
{
	char *text = file_text(GROUP "/io.stat");
	unsigned long sum = 0;

	for (const char *at = text; (at = strstr(at, "rbytes=")); at++)
		sum += strtoul(at + strlen("rbytes="), NULL, 10);
	free(text);
	return sum;
}

static void read_in_group(void *arg)
{
	const uint32_t without = TAIO_STATE_FILE & ~TAIO_STATE_BLKCG;
	int file = scratch_disk_file(65536), charged, uncharged;
	struct scene *s = arg;
	char *buf = aligned_alloc(4096, 65536);
	unsigned long before;

	CHECK(buf);
	SYS(fcntl(file, F_SETFL, O_DIRECT));
	charged = proxy_make(s, file);
	uncharged = wrap_state(file, s->policy, s->flags & ~TAIO_ATTACH_INLINE, without);
	CHECK(file_put(GROUP "/cgroup.procs", "0"));
	before = group_rbytes();
	CHECK_EQ(read_at(s, uncharged, buf, 65536, 0), 65536);
	CHECK_EQ(group_rbytes(), before);
	CHECK_EQ(read_at(s, charged, buf, 65536, 0), 65536);
	CHECK_EQ(group_rbytes(), before + 65536);
	pattern_check(buf, 65536, 0, 0);
	free(buf);
}

static void read_in_group_with_a_ring(void *arg)
{
	struct scene *s = arg, own = *s;

	scene_ring(&own, 4);
	read_in_group(&own);
}

TEST_CASE(file_io_is_charged_to_the_cgroup, ON(NONE), AS(CASE_ONCE))
{
	group_make();
	CHECK_EQ(child_reap(child_start(read_in_group_with_a_ring, s), 20000), 0);
	for (int64_t until = now_ms() + 10000; rmdir(GROUP) && now_ms() < until;)
		pause_ms(10);
	CHECK(access(GROUP, F_OK));
}

/* --- what the module tells --- */

TEST_CASE(streams_take_no_io_context, ON(STREAMS))
{
	uint64_t iocontext = counter_get("state_iocontext_taken"), blkcg = counter_get("state_blkcg_taken"),
		 cred = counter_get("state_cred_taken");
	struct link *link = scene_link(s);
	struct op op;
	char byte;

	ioprio_set(IOPRIO(IOPRIO_BE, 3)); /* there is one to take */
	scene_ring(s, 4);
	for (unsigned int i = 0; i < 100; i++) {
		read_start(&s->ring, &op, link->afd_in, &byte, 1);
		peer_write(link, "x", 1);
		CHECK_EQ(await(&s->ring, &op), 1);
		write_start(&s->ring, &op, link->afd_out, &byte, 1);
		CHECK_EQ(await(&s->ring, &op), 1);
		peer_read(link, &byte, 1);
	}
	CHECK_EQ(counter_get("state_iocontext_taken"), iocontext);
	CHECK_EQ(counter_get("state_blkcg_taken"), blkcg);
	CHECK(counter_get("state_cred_taken") >= cred + 100);
}

static const char *policy_in_force(int proxy)
{
	static const char *const names[] = {"block", "park", "task", "worker"};
	struct taio_ioc_info info;

	proxy_info(proxy, &info);
	return names[info.policy];
}

/* What waits has somebody who has begun with it. */
static bool is_blocking(const char *policy)
{
	return !strcmp(policy, "block") || !strcmp(policy, "worker");
}

TEST_CASE(inflight_list_shows_the_op, ON(STREAMS))
{
	struct link *link = scene_link(s);
	const char *policy = policy_in_force(link->afd_in), *line = NULL;
	char mine[64], shown[64], byte, *text;
	struct op op;

	snprintf(mine, sizeof(mine), " submitter %d bytes 1 ", (int)getpid());
	snprintf(shown, sizeof(shown), " %s read %s ", policy,
		 is_blocking(policy) ? "running" : "waiting");
	scene_ring(s, 4);
	text = file_text(INFLIGHT);
	CHECK(!strstr(text, mine));
	free(text);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	for (int64_t until = now_ms() + 10000; !line; pause_ms(1)) {
		text = file_text(INFLIGHT);
		line = find_line(text, mine, shown);
		if (!line && now_ms() > until)
			fail_at(HERE(), "no \"%s\" of%sin: %s", shown, mine, text);
		free(text);
	}
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	text = file_text(INFLIGHT);
	CHECK(!strstr(text, mine));
	free(text);
}

/* The module's events of @iocb, by their names, in order. */
static void events_of(const char *text, const char *iocb, char *names, size_t room)
{
	*names = '\0';
	for (const char *at = text; (at = strstr(at, iocb)); at++) {
		const char *begin = at, *name;

		while (begin > text && begin[-1] != '\n')
			begin--;
		name = strstr(begin, " taio_");
		CHECK(name && name < at);
		snprintf(names + strlen(names), room - strlen(names), "%.*s", (int)strcspn(name, ":"), name);
	}
}

static void expect_events(struct scene *s, char *text, const char *want, const char *last)
{
	char mine[64], iocb[64], got[512];
	const char *line;

	(void)s;
	snprintf(mine, sizeof(mine), " submitter=%d ", (int)getpid());
	line = find_line(text, "taio_submit:", mine);
	if (!line || sscanf(strstr(line, "iocb="), "%63s", iocb) != 1)
		fail_at(THERE(), "no event taio_submit of ours in: %s", text);
	strcat(iocb, " ");
	events_of(text, iocb, got, sizeof(got));
	if (strcmp(got, want) != 0)
		fail_at(THERE(), "events are%s, not%s", got, want);
	if (!find_line(text, iocb, last))
		fail_at(THERE(), "no event with %s in: %s", last, text);
	free(text);
}

TEST_CASE(tracepoints_come_in_order, ON(STREAMS))
{
	struct link *link = scene_open(s, 4);
	bool blocks = is_blocking(policy_in_force(link->afd_in));
	struct op op;
	char byte;

	trace_start(taio_events);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	stay_quiet(&s->ring);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	expect_events(s, trace_stop(), " taio_submit taio_queue taio_start taio_complete", "res=1");

	trace_start(taio_events);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	stay_quiet(&s->ring);
	CHECK_EQ(op_cancel(&s->ring, &op), 0);
	CHECK_EQ(await(&s->ring, &op), -ECANCELED);
	expect_events(s, trace_stop(),
		      blocks ? " taio_submit taio_queue taio_start taio_cancel taio_complete"
			     : " taio_submit taio_queue taio_cancel taio_complete",
		      "res=-125");
}

/* --- unloading --- */

static int module_remove(void)
{
	return syscall(SYS_delete_module, "taio", O_NONBLOCK) ? -errno : 0;
}

static void module_load(void)
{
	const char *path = getenv("KMOD_MODULE");
	int fd = SYS(open(path ? path : "kmod/taio.ko", O_RDONLY | O_CLOEXEC));
	SYS(syscall(SYS_finit_module, fd, "", 0));
	close(fd);
}

/* A device that is open, a proxy, an operation in flight whose proxy is closed: each keeps it. */
TEST_CASE(module_stays_while_it_is_used, ON(TCP))
{
	struct link *link;
	struct stat mode;
	struct op op;
	char byte;
	int device;

	SYS(stat(TAIO_DEVICE, &mode));
	scene_ring(s, 4);
	device = SYS(open(TAIO_DEVICE, O_RDWR | O_CLOEXEC));
	CHECK_EQ(module_remove(), -EWOULDBLOCK);
	link = scene_link(s);
	close(device);
	CHECK_EQ(module_remove(), -EWOULDBLOCK);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	stay_quiet(&s->ring);
	link_detach(link);
	CHECK_EQ(module_remove(), -EWOULDBLOCK);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	/* The last put of the file may be a helper's, a moment after the event. */
	for (int64_t until = now_ms() + 10000; module_refcnt() && now_ms() < until;)
		pause_ms(1);
	CHECK_EQ(module_remove(), 0);
	CHECK(access(TAIO_DEVICE, F_OK) && errno == ENOENT);
	module_load();
	for (int64_t until = now_ms() + 10000; access(TAIO_DEVICE, F_OK) && now_ms() < until;)
		pause_ms(1);
	SYS(chown(TAIO_DEVICE, mode.st_uid, mode.st_gid)); /* as its administrator had it */
	SYS(chmod(TAIO_DEVICE, mode.st_mode & 07777));
	link_attach(s, link);
	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
}
