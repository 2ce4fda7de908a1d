/* SPDX-License-Identifier: MIT */
/*
 * Buffers that are gone when the transfer comes. The measure is the stock kernel: the same system call on the
 * same kind of file with the same buffer, its result and what it leaves in the file.
 */
#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
/* More than one page: a buffer that ends after the first one cannot take it. */
#define MESSAGE 6000

static char *pages_make(void)
{
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(pages != MAP_FAILED);
	return pages;
}

/* One end of a comparison. */
struct outcome {
	long res;
	size_t nleft; /* what is in the file afterwards */
	char left[2 * MESSAGE];
};

static void left_take(int fd, struct outcome *outcome)
{
	size_t n;

	while (is_readable(fd, 50) &&
	       (n = fd_read_some(fd, outcome->left + outcome->nleft, sizeof(outcome->left) - outcome->nleft)))
		outcome->nleft += n;
}

static void outcomes_compare(const struct outcome *stock, const struct outcome *ours)
{
	note("stock kernel: %ld, %zu bytes left", stock->res, stock->nleft);
	CHECK_EQ(ours->res, stock->res);
	CHECK_EQ(ours->nleft, stock->nleft);
	CHECK(!memcmp(ours->left, stock->left, stock->nleft));
}

/* Reads into two pages of which those from @gone on are unmapped when @nbytes come. */
static void read_unmapped(struct scene *s, unsigned int gone, size_t nbytes)
{
	static struct outcome stock, ours;
	char message[MESSAGE], *buf = pages_make();
	struct link *by_stock, *by_us;
	struct op op;

	by_stock = scene_open(s, 1);
	by_us = scene_link(s);
	pattern_fill(message, nbytes, 0, 12);
	read_start(&s->ring, &op, by_us->afd_in, buf, sizeof(message));
	stay_quiet(&s->ring);
	SYS(munmap(buf + gone * PAGE, (2 - gone) * PAGE));
	peer_write(by_us, message, nbytes);
	peer_write(by_stock, message, nbytes);
	ours.res = await(&s->ring, &op);
	if (ours.res > 0)
		pattern_check(buf, (size_t)ours.res, 0, 12);
	CHECK(is_readable(by_stock->in, 1000));
	stock.res = read(by_stock->in, buf, sizeof(message));
	if (stock.res < 0)
		stock.res = -errno;
	left_take(by_us->in, &ours);
	left_take(by_stock->in, &stock);
	outcomes_compare(&stock, &ours);
	if (gone)
		SYS(munmap(buf, gone * PAGE));
}

TEST_CASE(unmapped_read_buffer_behaves_as_stock, ON(STREAMS))
{
	read_unmapped(s, 0, 100);
}

TEST_CASE(half_unmapped_read_buffer_behaves_as_stock, ON(PARKABLE))
{
	read_unmapped(s, 1, MESSAGE);
}

/* What follows the @nbytes with which the link was filled. */
static void rest_take(struct link *link, size_t nbytes, struct outcome *outcome)
{
	static char buf[1 << 20];

	CHECK(nbytes <= sizeof(buf));
	peer_read(link, buf, nbytes);
	left_take(link->peer_in, outcome);
}

/* TCP has a little room again when its first window probe is answered, after 200 ms. */
static size_t fill_for_good(struct link *link, enum link_kind kind)
{
	size_t total = link_fill(link, kind), more;

	if (kind != LINK_TCP)
		return total;
	do {
		pause_ms(300);
		more = link_fill(link, kind);
		total += more;
	} while (more);
	return total;
}

/* A write waits for room; when there is room the buffer is gone. */
TEST_CASE(unmapped_write_buffer_behaves_as_stock, ON(PARKABLE))
{
	static struct outcome stock, ours;
	char *buf = pages_make();
	struct link *by_stock, *by_us;
	size_t nbytes;
	struct op op;

	by_stock = scene_open(s, 1);
	by_us = scene_link(s);
	memset(buf, 'w', 2 * PAGE);
	nbytes = fill_for_good(by_us, s->kind);
	write_start(&s->ring, &op, by_us->afd_out, buf, PAGE);
	stay_quiet(&s->ring);
	SYS(munmap(buf, 2 * PAGE));
	rest_take(by_us, nbytes, &ours);
	ours.res = await(&s->ring, &op);
	stock.res = write(by_stock->out, buf, PAGE);
	if (stock.res < 0)
		stock.res = -errno;
	rest_take(by_stock, 0, &stock);
	outcomes_compare(&stock, &ours);
}

/* The address counts, not the page that was there at submit. */
TEST_CASE(remapped_buffer_takes_the_bytes, ON(STREAMS))
{
	char *buf = pages_make(), message[100];
	struct link *link = scene_open(s, 1);
	struct op op;

	read_start(&s->ring, &op, link->afd_in, buf, sizeof(message));
	stay_quiet(&s->ring);
	CHECK(mmap(buf, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	      buf);
	pattern_fill(message, sizeof(message), 0, 13);
	peer_write(link, message, sizeof(message));
	CHECK_EQ(await(&s->ring, &op), sizeof(message));
	pattern_check(buf, sizeof(message), 0, 13);
	SYS(munmap(buf, 2 * PAGE));
}
