/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD shim: makes the Nth call of one site fail, once, counted from the moment it is armed. Any
 * thread of the program under test calls in; the driver (fault_test.py) writes the plan and reads the count
 * through a file that both have mapped ($FAULT_PLAN).
 *
 * Allocations are told apart by who asks: the program's own code, or libssl and libcrypto, which may ask
 * through functions of the program's. libev's are left alone: it aborts without memory by design, and so do a
 * few of libc's own.
 *
 * Invariant: unless it is armed for a call's site, the call goes through untouched.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <libaio.h>
#include <link.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The order is the driver's, too. */
enum site {
	SITE_NONE,
	SITE_MALLOC,
	SITE_MALLOC_TLS,
	SITE_ACCEPT4,
	SITE_OPENAT2,
	SITE_OPEN,
	SITE_SOCKET,
	SITE_FCNTL,
	SITE_SETSOCKOPT,
	SITE_SHUTDOWN,
	SITE_EVENTFD,
	SITE_EPOLL_CREATE,
	SITE_EPOLL_CTL,
	SITE_IO_SETUP,
	SITE_IO_SUBMIT,
	SITE_IO_CANCEL,
	SITE_PTHREAD_CREATE,
	SITE_NSITES
};

struct plan {
	uint32_t site;
	uint32_t nth; /* from 1 */
	uint32_t armed;
	uint32_t count; /* calls of the site since it was armed */
	uint32_t failed;
};

static struct plan *plan;

struct range {
	uintptr_t begin, end;
};

static struct range program, tls_libs[2];

/* OpenSSL's allocation functions if the program has set its own, and whether this thread is in one. */
static CRYPTO_malloc_fn set_malloc;
static CRYPTO_realloc_fn set_realloc;
static _Thread_local bool is_asked_by_tls __attribute__((tls_model("initial-exec")));

static bool is_within(const struct range *range, uintptr_t at)
{
	return at >= range->begin && at < range->end;
}

/* Who called, for the one who debugs; $FAULT_TRACE asks for it. */
static void trace(void)
{
	void *frames[32];

	backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
}

/* Whether this call is the one. */
static bool fails(enum site site)
{
	if (!plan || !__atomic_load_n(&plan->armed, __ATOMIC_ACQUIRE) || plan->site != site)
		return false;
	if (__atomic_add_fetch(&plan->count, 1, __ATOMIC_RELAXED) != plan->nth)
		return false;
	__atomic_store_n(&plan->failed, 1, __ATOMIC_RELEASE);
	if (getenv("FAULT_TRACE"))
		trace();
	return true;
}

static bool allocation_fails(void *caller)
{
	uintptr_t at = (uintptr_t)caller;
	bool failed = false;

	if (is_asked_by_tls || is_within(&tls_libs[0], at) || is_within(&tls_libs[1], at))
		failed = fails(SITE_MALLOC_TLS);
	else if (is_within(&program, at))
		failed = fails(SITE_MALLOC);
	if (failed)
		errno = ENOMEM;
	return failed;
}

static struct range range_of(const struct dl_phdr_info *info)
{
	struct range range = {UINTPTR_MAX, 0};

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type != PT_LOAD)
			continue;
		if (begin < range.begin)
			range.begin = begin;
		if (begin + segment->p_memsz > range.end)
			range.end = begin + segment->p_memsz;
	}
	return range;
}

static int on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	if (!*info->dlpi_name && !program.end)
		program = range_of(info);
	else if (strstr(info->dlpi_name, "libssl.so"))
		tls_libs[0] = range_of(info);
	else if (strstr(info->dlpi_name, "libcrypto.so"))
		tls_libs[1] = range_of(info);
	return 0;
}

__attribute__((constructor)) static void plan_open(void)
{
	const char *file = getenv("FAULT_PLAN");
	int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	dl_iterate_phdr(on_object, NULL);
	map = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		plan = map;
}

/* --- memory: glibc's own names, since dlsym(3) allocates --- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

/* glibc's would ask realloc() itself, and hide who asked. */
void *reallocarray(void *old, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total) || allocation_fails(__builtin_return_address(0))) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(old, total);
}

char *strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	void *copy = allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

/* The function that this one stands in front of. */
#define REAL(name)                                                                                           \
	static __typeof__(name) *real;                                                                       \
	if (!real)                                                                                           \
	real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* --- OpenSSL, which the program gives functions to allocate with --- */

static void *tls_malloc(size_t size, const char *file, int line)
{
	void *p;

	is_asked_by_tls = true;
	p = set_malloc(size, file, line);
	is_asked_by_tls = false;
	return p;
}

static void *tls_realloc(void *old, size_t size, const char *file, int line)
{
	void *p;

	is_asked_by_tls = true;
	p = set_realloc(old, size, file, line);
	is_asked_by_tls = false;
	return p;
}

/*
 * From 3.1 on, OpenSSL waits for itself for ever when an allocation fails while it is being initialised: it
 * reports the failure, and to report is to initialise (openssl issues 19334 and 32894). No program can help
 * that, so it is initialised before anything fails, and after the program has had the one chance to set
 * functions.
 */
static void openssl_init(void)
{
	unsigned long (*version)(void) = (unsigned long (*)(void))dlsym(RTLD_DEFAULT, "OpenSSL_version_num");
	int (*init)(uint64_t, const void *) =
		(int (*)(uint64_t, const void *))dlsym(RTLD_DEFAULT, "OPENSSL_init_ssl");

	struct plan *armed = plan;

	if (!version || !init || version() < 0x30100000UL)
		return;
	plan = NULL;
	init(0, NULL);
	plan = armed;
}

int CRYPTO_set_mem_functions(CRYPTO_malloc_fn malloc_fn, CRYPTO_realloc_fn realloc_fn, CRYPTO_free_fn free_fn)
{
	int is_set;

	REAL(CRYPTO_set_mem_functions);
	set_malloc = malloc_fn;
	set_realloc = realloc_fn;
	is_set = real(tls_malloc, tls_realloc, free_fn);
	openssl_init();
	return is_set;
}

/* --- system calls --- */

/* A wrapper that on failure is -1 and errno. */
#define FAULT(site, err, name, parameters, ...)                                                              \
	int name parameters                                                                                  \
	{                                                                                                    \
		REAL(name);                                                                                  \
		if (fails(site)) {                                                                           \
			errno = err;                                                                         \
			return -1;                                                                           \
		}                                                                                            \
		return real(__VA_ARGS__);                                                                    \
	}

FAULT(SITE_ACCEPT4, ENFILE, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags), fd, addr,
      len, flags)
FAULT(SITE_SOCKET, EMFILE, socket, (int family, int type, int protocol), family, type, protocol)
FAULT(SITE_SETSOCKOPT, ENOBUFS, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
      fd, level, name, value, len)
FAULT(SITE_SHUTDOWN, ENOTCONN, shutdown, (int fd, int how), fd, how)
FAULT(SITE_EVENTFD, EMFILE, eventfd, (unsigned int count, int flags), count, flags)
FAULT(SITE_EPOLL_CREATE, EMFILE, epoll_create1, (int flags), flags)

static bool is_listening(int fd)
{
	int is = 0;
	socklen_t len = sizeof(is);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is, &len) == 0 && is;
}

/*
 * The program's own, and libev's for listeners. Of its other watchers libev says nothing but EV_ERROR, and
 * of the one that wakes it up nothing at all: without that no signal comes through, and nobody can help it.
 */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	uintptr_t caller = (uintptr_t)__builtin_return_address(0);

	REAL(epoll_ctl);
	if ((is_within(&program, caller) || is_listening(fd)) && fails(SITE_EPOLL_CTL)) {
		errno = ENOMEM;
		return -1;
	}
	return real(epfd, op, fd, event);
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	REAL(open);
	if (flags & (O_CREAT | O_TMPFILE)) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (fails(SITE_OPEN)) {
		errno = EMFILE;
		return -1;
	}
	return real(path, flags, mode);
}

int fcntl(int fd, int cmd, ...)
{
	va_list args;
	void *arg;

	REAL(fcntl);
	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	if (fails(SITE_FCNTL)) {
		errno = EMFILE;
		return -1;
	}
	return real(fd, cmd, arg);
}

long syscall(long number, ...)
{
	long a[6];
	va_list args;

	REAL(syscall);
	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 && fails(SITE_OPENAT2)) {
		errno = ENFILE;
		return -1;
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- libaio and threads return their error --- */

int io_setup(int entries, io_context_t *ctx)
{
	REAL(io_setup);
	return fails(SITE_IO_SETUP) ? -EAGAIN : real(entries, ctx);
}

int io_submit(io_context_t ctx, long n, struct iocb **iocbs)
{
	REAL(io_submit);
	return fails(SITE_IO_SUBMIT) ? -EAGAIN : real(ctx, n, iocbs);
}

/* The kernel's one way to fail: the operation completes by itself, and nothing is left to be cancelled. */
int io_cancel(io_context_t ctx, struct iocb *iocb, struct io_event *event)
{
	int ret;

	REAL(io_cancel);
	ret = real(ctx, iocb, event);
	return fails(SITE_IO_CANCEL) ? -EINVAL : ret;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	REAL(pthread_create);
	return fails(SITE_PTHREAD_CREATE) ? EAGAIN : real(thread, attr, run, arg);
}
