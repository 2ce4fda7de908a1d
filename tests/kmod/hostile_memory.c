/* SPDX-License-Identifier: MIT */
/* Memory that does not arrive: a userfaultfd that nobody serves, and a FUSE server that sends no data. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE	 4096
#define SYSCTL	 "/proc/sys/vm/unprivileged_userfaultfd"
#define AWAIT_MS 20000

/* --- userfaultfd --- */

long uffd_allow(long allowed)
{
	FILE *file = fopen(SYSCTL, "re");
	long before;

	CHECK(file && fscanf(file, "%ld", &before) == 1);
	fclose(file);
	put_text(SYSCTL, "%ld", allowed);
	return before;
}

char *uffd_pages(size_t npages, int *uffd)
{
	char *pages = mmap(NULL, npages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register range = {.range = {(uintptr_t)pages, npages * PAGE},
					.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_api api = {.api = UFFD_API};

	CHECK(pages != MAP_FAILED);
	*uffd = SYS(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
	SYS(ioctl(*uffd, UFFDIO_API, &api));
	SYS(ioctl(*uffd, UFFDIO_REGISTER, &range));
	return pages;
}

void uffd_await(int uffd, unsigned int n)
{
	struct uffd_msg msg;

	while (n) {
		CHECK(is_readable(uffd, AWAIT_MS));
		n -= read(uffd, &msg, sizeof(msg)) == sizeof(msg) && msg.event == UFFD_EVENT_PAGEFAULT;
	}
}

/* --- FUSE --- */

enum { NODE_FILE = 2, FILE_SIZE = 1 << 26 };

struct reply {
	struct fuse_out_header header;
	union {
		struct fuse_init_out init;
		struct fuse_entry_out entry;
		struct fuse_attr_out attr;
		struct fuse_open_out open;
		struct fuse_statfs_out statfs;
	};
};

static struct fuse_attr attr_of(uint64_t node)
{
	struct fuse_attr attr = {.ino = node, .nlink = 1, .mode = S_IFDIR | 0755};

	if (node == NODE_FILE) {
		attr.mode = S_IFREG | 0644;
		attr.size = FILE_SIZE;
	}
	return attr;
}

static size_t answer_init(struct reply *reply, const struct fuse_init_in *in, enum fuse_mode mode)
{
	reply->init = (struct fuse_init_out){
		.major = FUSE_KERNEL_VERSION,
		.minor = 31,
		.max_readahead = in->max_readahead,
		.flags = mode == FUSE_BACKGROUND ? FUSE_ASYNC_READ : 0,
		.max_background = 1024,
		.congestion_threshold = 1024,
		.max_write = PAGE,
	};
	return sizeof(reply->init);
}

/* The size of what follows the header, or -errno. */
static long answer(struct reply *reply, const struct fuse_in_header *in, enum fuse_mode mode)
{
	switch (in->opcode) {
	case FUSE_INIT:
		return (long)answer_init(reply, (const struct fuse_init_in *)(in + 1), mode);
	case FUSE_LOOKUP:
		reply->entry = (struct fuse_entry_out){.nodeid = NODE_FILE,
						       .entry_valid = 1000,
						       .attr_valid = 1000,
						       .attr = attr_of(NODE_FILE)};
		return sizeof(reply->entry);
	case FUSE_GETATTR:
		reply->attr = (struct fuse_attr_out){.attr_valid = 1000, .attr = attr_of(in->nodeid)};
		return sizeof(reply->attr);
	case FUSE_OPEN:
		reply->open = (struct fuse_open_out){.fh = 1};
		return sizeof(reply->open);
	case FUSE_STATFS:
		reply->statfs.st = (struct fuse_kstatfs){.bsize = PAGE, .namelen = 255};
		return sizeof(reply->statfs);
	case FUSE_RELEASE:
		return 0;
	default:
		return -ENOSYS;
	}
}

static bool wants_no_answer(uint32_t opcode)
{
	return opcode == FUSE_READ || opcode == FUSE_INTERRUPT || opcode == FUSE_FORGET ||
	       opcode == FUSE_BATCH_FORGET;
}

_Noreturn static void serve(int device, struct fuse *fuse, enum fuse_mode mode)
{
	static char request[FUSE_MIN_READ_BUFFER + (1 << 17)];
	const struct fuse_in_header *in = (const void *)request;

	prctl(PR_SET_PDEATHSIG, 0);
	for (;;) {
		struct reply reply = {0};
		long size;

		if (read(device, request, sizeof(request)) < 0) {
			if (errno == ENODEV) /* unmounted */
				_exit(0);
			continue;
		}
		if (in->opcode == FUSE_READ)
			atomic_fetch_add(&fuse->reads, 1);
		if (wants_no_answer(in->opcode))
			continue;
		size = answer(&reply, in, mode);
		reply.header.unique = in->unique;
		reply.header.error = size < 0 ? (int32_t)size : 0;
		reply.header.len = (uint32_t)(sizeof(reply.header) + (size > 0 ? (size_t)size : 0));
		if (write(device, &reply, reply.header.len) < 0 && errno != ENOENT)
			_exit(1);
	}
}

void fuse_allow(void)
{
	if (access("/dev/fuse", F_OK) && system("modprobe fuse"))
		fail_at(THERE(), "there is no FUSE");
	SYS(chmod("/dev/fuse", 0666));
}

char *fuse_pages(struct fuse *fuse, enum fuse_mode mode, size_t npages)
{
	int device = SYS(open("/dev/fuse", O_RDWR | O_CLOEXEC)), file;
	char options[128], *pages;
	pid_t server;

	CHECK(npages * PAGE <= FILE_SIZE);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	SYS(mount("hostile", "/mnt", "fuse", MS_NOSUID | MS_NODEV, options));
	server = fork();
	CHECK(server >= 0);
	if (!server)
		serve(device, fuse, mode);
	fuse->server = server;
	close(device);
	file = SYS(open("/mnt/file", O_RDWR | O_CLOEXEC));
	pages = mmap(NULL, npages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	CHECK(pages != MAP_FAILED);
	close(file); /* the server says that it knows no FLUSH: the next one is not sent */
	return pages;
}
