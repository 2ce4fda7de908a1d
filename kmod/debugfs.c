// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/taio: "counters", a line "name value" each, and "inflight", a line for each operation. Both are for
 * people and tests; nothing in the module depends on them.
 */
#include <linux/debugfs.h>
#include <linux/jiffies.h>
#include <linux/seq_file.h>

#include "counters.h"
#include "dev.h"
#include "proxy.h"
#include "op.h"

static struct dentry *directory;

#define ROW(name) { #name, offsetof(struct taio_counters, name) }

static const struct {
	const char *name;
	size_t offset;
} rows[] = {
	ROW(attached),
	ROW(detached),
	ROW(submitted),
	ROW(completed),
	ROW(cancelled),
	ROW(inline_done),
	ROW(inline_missed),
	ROW(passed),
	ROW(handed),
	ROW(queued),
	ROW(overflowed),
	ROW(helpers_started),
	ROW(helpers_ended),
	ROW(helpers_refused),
	ROW(parked),
	ROW(woken),
	ROW(spurious_wakeups),
	ROW(task_runs),
	ROW(task_fallbacks),
	ROW(signals_sent),
	ROW(signals_flushed),
	ROW(state_mm_taken),
	ROW(state_mm_put),
	ROW(state_cred_taken),
	ROW(state_cred_put),
	ROW(state_iocontext_taken),
	ROW(state_iocontext_put),
	ROW(state_blkcg_taken),
	ROW(state_blkcg_put),
	ROW(state_fsize_taken),
	ROW(state_fsize_put),
};

static_assert(ARRAY_SIZE(rows) * sizeof(unsigned long) == sizeof(struct taio_counters));

static unsigned long sum(size_t offset)
{
	unsigned long n = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		n += READ_ONCE(*(unsigned long *)((void *)per_cpu_ptr(&taio_counters, cpu) + offset));
	return n;
}

static void add_inflight(struct taio_proxy *proxy, void *arg)
{
	unsigned long *n = arg;

	*n += READ_ONCE(proxy->nops);
}

static void add_one(struct taio_proxy *proxy, void *arg)
{
	unsigned long *n = arg;

	++*n;
}

static int counters_show(struct seq_file *seq, void *unused)
{
	unsigned long inflight = 0, proxies = 0;
	int i;

	proxy_for_each(add_one, &proxies);
	proxy_for_each(add_inflight, &inflight);
	seq_printf(seq, "proxies %lu\ninflight %lu\n", proxies, inflight);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		seq_printf(seq, "%s %lu\n", rows[i].name, sum(rows[i].offset));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

static void show_op(struct seq_file *seq, const struct taio_op *op)
{
	seq_printf(seq, "iocb %p %s %s %s submitter %d bytes %zu age_ms %u\n", op->iocb, op->policy->name,
		   op->rw == READ ? "read" : "write", op_state_name(atomic_read(&op->state)), op->pid,
		   iov_iter_count(&op->iter), jiffies_to_msecs(jiffies - op->since));
}

static void show_ops(struct taio_proxy *proxy, void *arg)
{
	struct taio_op *op;
	unsigned long flags;

	spin_lock_irqsave(&proxy->lock, flags);
	list_for_each_entry(op, &proxy->ops, link)
		show_op(arg, op);
	spin_unlock_irqrestore(&proxy->lock, flags);
}

static int inflight_show(struct seq_file *seq, void *unused)
{
	proxy_for_each(show_ops, seq);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(inflight);

void debugfs_start(void)
{
	directory = debugfs_create_dir("taio", NULL);
	debugfs_create_file("counters", 0444, directory, NULL, &counters_fops);
	debugfs_create_file("inflight", 0400, directory, NULL, &inflight_fops);
}

void debugfs_stop(void)
{
	debugfs_remove(directory);
}
