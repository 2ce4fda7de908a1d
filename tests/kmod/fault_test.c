/* SPDX-License-Identifier: MIT */
/*
 * kmod_fault_test: the first, second, ... allocation of a system call fails, until one goes through without a
 * fault. By the kernel's own fault injection (/proc/PID/fail-nth with failslab, and with it failing copies
 * from and to user memory), so it runs on a kernel built for debugging alone. Whatever fails gives a clean
 * error, nothing is lost, and nothing is left: the runner looks at the module's counters after each case, and
 * the guest's kmemleak at the end.
 */
#include "semantics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEBUGFS	   "/sys/kernel/debug/"
#define FAULTS_MAX 200 /* of one system call */
#define SEGMENTS   1024

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	if (!file || fputs(text, file) < 0 || fclose(file))
		fail_at(THERE(), "%s: %m", path);
}

/*
 * Allocations that may sleep fail as well. Each fault leaves a line in the kernel's log, whatever the rate:
 * who reads that knows by it which complaint was asked for.
 */
static void faults_prepare(void)
{
	put(DEBUGFS "failslab/ignore-gfp-wait", "N");
	put(DEBUGFS "failslab/verbose", "1");
	put(DEBUGFS "failslab/verbose_ratelimit_interval_ms", "0");
	put(DEBUGFS "fail_usercopy/verbose", "0");
}

/* fail-nth of a task. */
static int nth_open(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fail-nth", (int)pid);
	return SYS(open(path, O_RDWR | O_CLOEXEC));
}

static void nth_arm(int nth, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	CHECK_EQ(write(nth, text, (size_t)len), len);
}

/* True if the fault was injected. Reading and writing copy too, and may be what fails. */
static bool nth_disarm(int nth)
{
	char text[16] = "";
	bool hit = pread(nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;

	while (write(nth, "0", 1) != 1)
		;
	return hit;
}

static bool is_clean(long res)
{
	return res == -ENOMEM || res == -EFAULT || res == -EAGAIN || res == -ENOBUFS || res == -ENFILE;
}

static void check_clean(long res, unsigned int n)
{
	if (!is_clean(res))
		fail_at(THERE(), "fault %u: result %ld", n, res);
}

/* One round of what is tested: with the fault armed around its system call. */
struct trial {
	int nth;
	unsigned int n;
	bool hit;
};

typedef void trial_fn(struct scene *s, struct trial *trial, void *arg);

/* Until a round meets no fault. At least @least were met, or the test has tested nothing. */
static void trials_run(struct scene *s, pid_t pid, unsigned int least, trial_fn *run, void *arg)
{
	struct trial trial = {.nth = nth_open(pid), .n = 1, .hit = true};

	faults_prepare();
	for (; trial.hit; trial.n++) {
		CHECK(trial.n < FAULTS_MAX);
		trial.hit = false;
		run(s, &trial, arg);
	}
	close(trial.nth);
	note("%u faults", trial.n - 2);
	CHECK(trial.n - 2 >= least);
}

#define FAULTY(trial, call)                                                                                  \
	({                                                                                                   \
		long ret_;                                                                                   \
		nth_arm((trial)->nth, (trial)->n);                                                           \
		ret_ = (call);                                                                               \
		ret_ = ret_ < 0 ? -errno : ret_;                                                             \
		(trial)->hit = nth_disarm((trial)->nth);                                                     \
		ret_;                                                                                        \
	})

/* --- attach, and the other ioctls --- */

/* A user whom the module has no account of: it keeps one for a while. */
static uid_t stranger(unsigned int n)
{
	return 100000 + (uid_t)getpid() * FAULTS_MAX + n;
}

static void try_attach(struct scene *s, struct trial *trial, void *arg)
{
	const int *device = arg;
	uint64_t proxies = counter_get("proxies");
	struct taio_ioc_attach attach = {.policy = s->policy, .flags = s->flags};
	struct link link;
	long fd;

	link_make(&link, s->kind);
	attach.fd = link.in;
	SYS(setresuid(stranger(trial->n), -1, -1));
	fd = FAULTY(trial, ioctl(*device, TAIO_IOC_ATTACH, &attach));
	SYS(setresuid(0, -1, -1));
	if (fd < 0) {
		check_clean(fd, trial->n);
		CHECK_EQ(counter_get("proxies"), proxies);
	} else {
		CHECK_EQ(counter_get("proxies"), proxies + 1);
		close((int)fd);
	}
	if (s->kind == LINK_PIPE && fd < 0) { /* nobody else holds the end */
		fd_close(&link.in);
		CHECK(write(link.peer_out, "", 1) == -1 && errno == EPIPE);
		link.in = -1;
	}
	link_destroy(&link);
}

TEST_CASE(attach_meets_every_fault, ON(STREAMS) | LINK_FILE)
{
	int device = SYS(open(TAIO_DEVICE, O_RDWR | O_CLOEXEC));

	trials_run(s, getpid(), 3, try_attach, &device);
	close(device);
}

static void try_close(struct scene *s, struct trial *trial, void *arg)
{
	uint64_t proxies = counter_get("proxies");
	int proxy = proxy_make(s, ((struct link *)arg)->in);

	CHECK_EQ(FAULTY(trial, close(proxy)), 0);
	CHECK_EQ(counter_get("proxies"), proxies);
}

TEST_CASE(close_meets_every_fault, ON(STREAMS) | LINK_FILE)
{
	trials_run(s, getpid(), 0, try_close, scene_link(s));
}

/* --- submit --- */

/* The system call itself: the library's wrapper answers otherwise. */
static long submit(struct ring *ring, struct op *op)
{
	struct iocb *iocb = &op->iocb;
	long ret;

	op->seq++;
	op->events = 0;
	op->iocb.data = (void *)op->seq;
	ret = syscall(SYS_io_submit, ring->ctx, 1, &iocb);
	ring->inflight += ret == 1;
	return ret;
}

/* What became of the operation: bytes, or a clean error. */
static long outcome(struct scene *s, struct trial *trial, struct op *op, long submitted)
{
	if (submitted != 1) {
		check_clean(submitted, trial->n);
		return submitted;
	}
	if (await(&s->ring, op) <= 0)
		check_clean(op->res, trial->n);
	return op->res;
}

static struct iovec *segments(char *byte)
{
	static struct iovec iov[SEGMENTS];

	for (unsigned int i = 0; i < SEGMENTS; i++)
		iov[i] = (struct iovec){byte, i == 77};
	return iov;
}

static void try_read(struct scene *s, struct trial *trial, void *arg)
{
	static char byte;
	static struct op op;
	struct link *link = arg;
	long ret;

	op_readv(&op, link->afd_in, segments(&byte), SEGMENTS);
	ret = FAULTY(trial, submit(&s->ring, &op));
	if (s->kind != LINK_FILE)
		peer_write(link, "x", 1);
	if (outcome(s, trial, &op, ret) != 1 && s->kind != LINK_FILE)
		fd_read(link->in, &byte, 1);
	if (s->kind != LINK_FILE || op.res == 1)
		CHECK_EQ(byte, 'x');
	byte = 0;
}

TEST_CASE(submit_of_a_read_meets_every_fault, ON(STREAMS) | LINK_FILE)
{
	struct link *link = scene_open(s, 4);

	if (s->kind == LINK_FILE)
		CHECK_EQ(pwrite(link->in, "x", 1, 0), 1);
	trials_run(s, getpid(), 3, try_read, link);
}

/* Not by poll(2): a pipe that could not copy a writer's bytes is readable and gives nothing, proxy or not. */
static bool is_empty(int fd)
{
	char byte;
	bool is;

	SYS(fcntl(fd, F_SETFL, O_NONBLOCK));
	is = read(fd, &byte, 1) == -1 && errno == EAGAIN;
	SYS(fcntl(fd, F_SETFL, 0));
	return is;
}

static void try_write(struct scene *s, struct trial *trial, void *arg)
{
	static struct op op;
	struct link *link = arg;
	char byte = 'w', got = 0;
	long ret;

	op_writev(&op, link->afd_out, segments(&byte), SEGMENTS);
	ret = FAULTY(trial, submit(&s->ring, &op));
	if (outcome(s, trial, &op, ret) == 1 && s->kind != LINK_FILE) {
		peer_read(link, &got, 1);
		CHECK_EQ(got, 'w');
	}
	if (s->kind != LINK_FILE)
		CHECK(is_empty(link->peer_in));
}

TEST_CASE(submit_of_a_write_meets_every_fault, ON(STREAMS) | LINK_FILE)
{
	struct link *link = scene_open(s, 4);

	trials_run(s, getpid(), 3, try_write, link);
}

/* --- cancel: allocates nothing, so there is nothing to fail --- */

static void try_cancel(struct scene *s, struct trial *trial, void *arg)
{
	struct link *link = arg;
	struct io_event unused;
	struct op op;
	char byte;

	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	if (trial->n % 2)
		stay_quiet(&s->ring);
	CHECK_EQ(FAULTY(trial, syscall(SYS_io_cancel, s->ring.ctx, &op.iocb, &unused)), -EINPROGRESS);
	CHECK_EQ(await(&s->ring, &op), -ECANCELED);
	op_start(&s->ring, &op);
	trial->hit = false;
	op.events = 0;
	CHECK_EQ(FAULTY(trial, ioctl(link->afd_in, TAIO_IOC_CANCEL)), 1);
	CHECK_EQ(await(&s->ring, &op), -ECANCELED);
}

TEST_CASE(cancel_needs_no_memory, ON(STREAMS))
{
	struct link *link = scene_open(s, 4);

	trials_run(s, getpid(), 0, try_cancel, link);
}

/* --- in the helper, and in the making of one --- */

static void helper_transfer(struct scene *s, struct trial *trial, struct link *link)
{
	static char byte;
	static struct op op;
	long ret;

	op_read(&op, link->afd_in, &byte, 1);
	nth_arm(trial->nth, trial->n);
	ret = submit(&s->ring, &op);
	peer_write(link, "x", 1);
	if (outcome(s, trial, &op, ret) != 1)
		fd_read(link->in, &byte, 1);
	CHECK_EQ(byte, 'x');
	byte = 0;
	trial->hit = nth_disarm(trial->nth);
}

static void try_helper(struct scene *s, struct trial *trial, void *arg)
{
	helper_transfer(s, trial, arg);
}

/* The one helper that there is: of a pool that had no other user and in which nothing ends. */
TEST_CASE(transfer_meets_every_fault, ON(PARKABLE), AS(CASE_ONCE))
{
	long idle_ms = param_set("idle_ms", 1000000);
	struct link *link = scene_open(s, 4);
	pid_t helpers[HELPERS_MAX];
	struct op op;
	char byte;

	read_start(&s->ring, &op, link->afd_in, &byte, 1);
	peer_write(link, "x", 1);
	CHECK_EQ(await(&s->ring, &op), 1);
	CHECK_EQ(helpers_find(helpers), 1);
	trials_run(s, helpers[0], 0, try_helper, link);
	param_set("idle_ms", idle_ms);
}

/* kthreadd makes the helpers: pid 2. */
static void try_growth(struct scene *s, struct trial *trial, void *arg)
{
	pid_t helpers[HELPERS_MAX];

	(void)arg;
	helper_transfer(s, trial, arg);
	for (int64_t until = now_ms() + 20000; helpers_find(helpers) && now_ms() < until;)
		pause_ms(1);
	CHECK_EQ(helpers_find(helpers), 0);
}

TEST_CASE(refused_helper_is_asked_for_again, ON(PARKABLE), AS(CASE_ONCE))
{
	long idle_ms = param_set("idle_ms", 1);
	uint64_t refused = counter_get("helpers_refused");
	struct link *link = scene_open(s, 4);
	pid_t helpers[HELPERS_MAX];

	for (int64_t until = now_ms() + 20000; helpers_find(helpers) && now_ms() < until;)
		pause_ms(1);
	trials_run(s, 2, 3, try_growth, link);
	CHECK(counter_get("helpers_refused") > refused);
	param_set("idle_ms", idle_ms);
}

int main(int argc, char **argv)
{
	if (access("/proc/self/fail-nth", W_OK)) {
		fprintf(stderr,
			"kmod_fault_test: skipped: this kernel injects no faults (CONFIG_FAILSLAB)\n");
		return EXIT_SKIP;
	}
	return kmod_main(argc, argv, scene_finish);
}
