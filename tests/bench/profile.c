/* SPDX-License-Identifier: MIT */
/*
 * Where a processor's time goes: the kernel's clock event, which needs no hardware, samples every call chain
 * there. Time with interrupts off is seen where they go on again.
 */
#include "bench.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PERIOD_NS  500000
#define RING_PAGES 1024
#define DEPTH_MAX  127
#define ROWS	   45

struct symbol {
	uint64_t address;
	char name[64];
	unsigned int self, within;
	unsigned int seen; /* the last sample that counted it */
};

static struct {
	struct symbol *symbols;
	size_t len, cap;
	unsigned int samples, idle, user;
} profile;

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

static void symbols_load(void)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[512];

	CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		struct symbol symbol = {0};
		unsigned long long address;
		char kind;

		if (sscanf(line, "%llx %c %63s", &address, &kind, symbol.name) != 3 || !strchr("tTwW", kind))
			continue;
		symbol.address = address;
		if (profile.len == profile.cap) {
			profile.cap = profile.cap ? 2 * profile.cap : 65536;
			profile.symbols = realloc(profile.symbols, profile.cap * sizeof(symbol));
			CHECK(profile.symbols);
		}
		profile.symbols[profile.len++] = symbol;
	}
	fclose(file);
	qsort(profile.symbols, profile.len, sizeof(struct symbol), by_address);
}

static struct symbol *symbol_at(uint64_t address)
{
	size_t low = 0, high = profile.len;

	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (profile.symbols[middle].address <= address)
			low = middle;
		else
			high = middle;
	}
	return &profile.symbols[low];
}

/* A sample of one task: pid, tid, and its chain from the innermost call on, with marks of context in it. */
static void sample_add(uint32_t pid, uint64_t depth, const uint64_t *chain)
{
	unsigned int number = ++profile.samples;
	bool is_kernel = false, is_first = true;

	if (!pid) {
		profile.idle++;
		return;
	}
	for (uint64_t i = 0; i < depth && i < DEPTH_MAX; i++) {
		struct symbol *symbol;

		if (chain[i] >= PERF_CONTEXT_MAX) {
			is_kernel = chain[i] == PERF_CONTEXT_KERNEL;
			continue;
		}
		if (!is_kernel)
			break;
		symbol = symbol_at(chain[i]);
		symbol->self += is_first;
		symbol->within += symbol->seen != number;
		symbol->seen = number;
		is_first = false;
	}
	profile.user += is_first;
}

static void ring_read(const struct perf_event_mmap_page *page, const char *data, uint64_t nbytes)
{
	static uint64_t copy[8192];
	uint64_t at = page->data_tail, head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);

	while (at < head) {
		struct perf_event_header header;

		memcpy(&header, data + at % nbytes, sizeof(header)); /* aligned to 8 bytes: never wraps */
		for (uint64_t i = 0; i < header.size && i < sizeof(copy); i += 8)
			memcpy((char *)copy + i, data + (at + i) % nbytes, 8);
		if (header.type == PERF_RECORD_SAMPLE)
			sample_add((uint32_t)copy[1], copy[2], copy + 3);
		at += header.size;
	}
}

static int by_self(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return (int)y->self - (int)x->self;
}

static int by_within(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return (int)y->within - (int)x->within;
}

static double percent(unsigned int n)
{
	unsigned int busy = profile.samples - profile.idle;

	return busy ? 100.0 * n / busy : 0;
}

static void report_print(void)
{
	printf("%u samples, idle %.1f %%; of the others: user space %.1f %%\n", profile.samples,
	       profile.samples ? 100.0 * profile.idle / profile.samples : 0, percent(profile.user));
	qsort(profile.symbols, profile.len, sizeof(struct symbol), by_self);
	printf("itself:\n");
	for (size_t i = 0; i < ROWS && i < profile.len && profile.symbols[i].self; i++)
		printf("  %5.1f %%  %s\n", percent(profile.symbols[i].self), profile.symbols[i].name);
	qsort(profile.symbols, profile.len, sizeof(struct symbol), by_within);
	printf("with what it calls:\n");
	for (size_t i = 0; i < 3 * ROWS && i < profile.len && profile.symbols[i].within; i++)
		printf("  %5.1f %%  %s\n", percent(profile.symbols[i].within), profile.symbols[i].name);
}

int cmd_profile(int argc, char **argv)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN,
		.exclude_callchain_user = 1,
	};
	uint64_t nbytes = RING_PAGES * (uint64_t)getpagesize();
	char *ring;
	int fd;

	CHECK_EQ(argc, 3);
	symbols_load();
	fd = SYS(syscall(SYS_perf_event_open, &attr, -1, (int)number_of(argv[1], "CPU"), -1,
			 PERF_FLAG_FD_CLOEXEC));
	ring = mmap(NULL, nbytes + (size_t)getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(ring != MAP_FAILED);
	pause_ms((unsigned int)number_of(argv[2], "WINDOW_MS"));
	ring_read((void *)ring, ring + getpagesize(), nbytes);
	report_print();
	return 0;
}
