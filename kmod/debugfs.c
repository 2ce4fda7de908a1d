// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/taio: "counters" with one "name value" per line, and "inflight" with one operation per line. Both
 * are for people and tests; nothing in the module depends on them.
 */
#include <linux/debugfs.h>
#include <linux/jiffies.h>
#include <linux/seq_file.h>

#include "counters.h"
#include "debugfs.h"
#include "op.h"
#include "op_state.h"
#include "policy.h"
#include "proxy.h"

static struct dentry *directory;

struct totals {
	unsigned long proxies;
	unsigned long inflight;
};

static void add_proxy(struct taio_proxy *proxy, void *arg)
{
	struct totals *totals = arg;

	totals->proxies++;
	totals->inflight += READ_ONCE(proxy->nops);
}

static void show_counter(const char *name, unsigned long sum, void *arg)
{
	seq_printf(arg, "%s %lu\n", name, sum);
}

static int counters_show(struct seq_file *seq, void *unused)
{
	struct totals totals = {};

	proxy_for_each(add_proxy, &totals);
	seq_printf(seq, "proxies %lu\ninflight %lu\n", totals.proxies, totals.inflight);
	counters_for_each(show_counter, seq);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

static void show_op(struct seq_file *seq, const struct taio_op *op)
{
	seq_printf(seq, "iocb %p %s %s %s submitter %d bytes %zu age_ms %u\n", op->iocb, op->proxy->policy->name,
		   op->rw == READ ? "read" : "write", op_state_name(atomic_read(&op->state)), op->pid,
		   iov_iter_count(&op->iter), jiffies_to_msecs(jiffies - op->since));
}

/* Of one proxy; interrupts are off meanwhile. */
#define SHOWN_MAX 256

static void show_ops(struct taio_proxy *proxy, void *arg)
{
	unsigned int shown = 0;
	struct taio_op *op;
	unsigned long flags;

	spin_lock_irqsave(&proxy->lock, flags);
	list_for_each_entry(op, &proxy->ops, link) {
		if (shown++ == SHOWN_MAX) {
			seq_printf(arg, "and %u more\n", proxy->nops - SHOWN_MAX);
			break;
		}
		show_op(arg, op);
	}
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
