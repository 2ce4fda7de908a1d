/* SPDX-License-Identifier: MIT */
/*
 * A plugin of QEMU's emulator: counts the instructions that each of a guest's processors executes, by
 * address, between two marks that the guest makes (insns_mark.h, kmod_bench insns). Time means nothing in
 * an emulated guest; this is exact, with no noise of the machine in it.
 *
 *	-plugin insns.so,out=FILE
 *
 * FILE gets, for each window, a line "window" and lines "ADDRESS INSTRUCTIONS TIMES..." of the blocks that
 * were executed: where a block begins, how many instructions it has, how often each processor ran it. A
 * block is straight code: the count of one at a function's beginning tells how often it was called.
 *
 * The emulator calls from its processors' threads. A counter belongs to one processor; the table is under
 * the lock.
 */
#include "insns_mark.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* QEMU's plugin interface, version 1 (docs/devel/tcg-plugins.rst): Debian 12 has no package of its header. */
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void qemu_plugin_vcpu_tb_trans_cb_t(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void qemu_plugin_vcpu_udata_cb_t(unsigned int cpu, void *userdata);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_tb_trans_cb_t *cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, qemu_plugin_vcpu_udata_cb_t *cb,
					  enum qemu_plugin_cb_flags flags, void *userdata);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

#define CPUS   2
#define BLOCKS (1u << 20) /* a guest that is up and loaded uses some 100,000 */

struct block {
	uint64_t address;
	uint32_t ninsns; /* 0: no block */
	uint64_t times[CPUS];
};

static struct block blocks[BLOCKS];
static unsigned int nblocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool counting;
static FILE *out;

static void die(const char *why)
{
	fprintf(stderr, "insns: %s\n", why);
	exit(1);
}

static void on_block(unsigned int cpu, void *userdata)
{
	struct block *block = userdata;

	if (atomic_load_explicit(&counting, memory_order_relaxed) && cpu < CPUS)
		block->times[cpu]++;
}

static void window_write(void)
{
	fprintf(out, "window\n");
	for (unsigned int i = 0; i < BLOCKS; i++) {
		struct block *block = &blocks[i];

		if (block->times[0] || block->times[1])
			fprintf(out, "%jx %u %ju %ju\n", (uintmax_t)block->address, block->ninsns,
				(uintmax_t)block->times[0], (uintmax_t)block->times[1]);
		memset(block->times, 0, sizeof(block->times));
	}
	if (fflush(out) != 0 || ferror(out))
		die("cannot write what was counted");
}

/* Begins a window, or ends it; a block that another processor is in just now may count in the wrong one. */
static void on_mark(unsigned int cpu, void *userdata)
{
	pthread_mutex_lock(&lock);
	if (atomic_load(&counting)) {
		atomic_store(&counting, false);
		window_write();
	} else {
		atomic_store(&counting, true);
	}
	pthread_mutex_unlock(&lock);
}

static bool has_mark(const struct qemu_plugin_tb *tb)
{
	static const uint8_t mark[] = {INSNS_MARK};

	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_size(insn) == sizeof(mark) &&
		    !memcmp(qemu_plugin_insn_data(insn), mark, sizeof(mark)))
			return true;
	}
	return false;
}

/* The same code is translated again when the emulator has thrown it away, and keeps its counters. */
static struct block *block_at(uint64_t address, uint32_t ninsns)
{
	uint32_t at = (uint32_t)(address * 0x9e3779b97f4a7c15ull >> 44) ^ ninsns;
	struct block *block;

	pthread_mutex_lock(&lock);
	for (;; at++) {
		block = &blocks[at % BLOCKS];
		if (!block->ninsns || (block->address == address && block->ninsns == ninsns))
			break;
	}
	if (!block->ninsns && ++nblocks > BLOCKS / 2)
		die("more blocks than there is room for");
	block->address = address;
	block->ninsns = ninsns;
	pthread_mutex_unlock(&lock);
	return block;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint32_t ninsns = (uint32_t)qemu_plugin_tb_n_insns(tb);
	struct block *block = block_at(qemu_plugin_tb_vaddr(tb), ninsns);

	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
	if (has_mark(tb))
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_mark, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
		fprintf(stderr, "insns: usage: -plugin insns.so,out=FILE\n");
		return -1;
	}
	out = fopen(argv[0] + 4, "we");
	if (!out) {
		fprintf(stderr, "insns: %s: %m\n", argv[0] + 4);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	return 0;
}
