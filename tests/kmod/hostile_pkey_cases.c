/* SPDX-License-Identifier: MIT */
/*
 * Memory under a protection key. Its rights are a register of each thread's: where the submitter transfers,
 * they are those of read(2) and write(2). A helper has those of new processes, which deny it every key but
 * the first.
 */
#include "hostile.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* Of a plain system call: bytes or -errno. */
static long plain(const struct link *link, char *page, bool writes)
{
	ssize_t n = writes ? write(link->out, page, 1) : read(link->in, page, 1);

	return n < 0 ? -errno : n;
}

static long ours(struct scene *s, const struct link *link, char *page, bool writes)
{
	struct op op;
	int ret;

	if (writes)
		op_write(&op, link->afd_out, page, 1);
	else
		op_read(&op, link->afd_in, page, 1);
	ret = op_try(&s->ring, &op);
	return ret == 1 ? await(&s->ring, &op) : ret;
}

/* Bytes that a failed transfer has left. */
static void link_clear(struct link *link)
{
	char buf[8];

	fd_read_some(link->in, buf, sizeof(buf));
	fd_read_some(link->peer_in, buf, sizeof(buf));
}

static void under_key(struct scene *s, struct link *link, char *page, unsigned int rights)
{
	for (unsigned int writes = 0; writes < 2; writes++) {
		long got, want;

		peer_write(link, "x", 1);
		want = plain(link, page, writes);
		link_clear(link);
		peer_write(link, "x", 1);
		got = ours(s, link, page, writes);
		link_clear(link);
		if (!is_in_submitter(s)) /* a worker has the rights with which it was made */
			want = s->policy == TAIO_POLICY_WORKER ? 1 : -EFAULT;
		if (got != want)
			fail_at(HERE(), "rights %u, %s: %ld, not %ld", rights, writes ? "write" : "read", got,
				want);
	}
}

TEST_CASE(buffer_under_a_protection_key, ON(PARKABLE))
{
	static const unsigned int rights[] = {0, PKEY_DISABLE_WRITE, PKEY_DISABLE_ACCESS};
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct link *link = scene_open(s, 1);
	int key = pkey_alloc(0, 0);

	CHECK(page != MAP_FAILED);
	if (key < 0)
		skip("pkey_alloc: %m");
	*(volatile char *)page = 1;
	SYS(pkey_mprotect(page, PAGE, PROT_READ | PROT_WRITE, key));
	for (unsigned int i = 0; i < ARRAY_LEN(rights); i++) {
		SYS(pkey_set(key, rights[i]));
		under_key(s, link, page, rights[i]);
	}
	SYS(munmap(page, PAGE));
	SYS(pkey_free(key));
}
