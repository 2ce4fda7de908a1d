/* SPDX-License-Identifier: MIT */
/* taio run: a program that knows nothing of taio, with the library that puts what it submits behind proxies.
 */
#include "client.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LIBRARY "libtaio-preload.so"

/* As env(1) and the shell. */
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND	127

/* In @path[PATH_MAX]: beside this program, as it is built, or where it is installed. */
static bool find_library(char *path)
{
	static const char *const places[] = {"", TAIO_LIBDIR_FROM_BINDIR "/"};
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *name;

	if (len < 0)
		return false;
	path[len] = '\0';
	name = strrchr(path, '/') + 1;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		size_t room = (size_t)(path + PATH_MAX - name);

		if (snprintf(name, room, "%s" LIBRARY, places[i]) < (int)room && !access(path, R_OK))
			return true;
	}
	return false;
}

/* --- will the program see the library? --- */

/* In @path[PATH_MAX]: the file that execvp(3) will take. */
static bool find_program(const char *name, char *path)
{
	const char *dirs = getenv("PATH"), *end;

	if (strchr(name, '/'))
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX && !access(path, F_OK);
	for (; dirs; dirs = *end ? end + 1 : NULL) {
		end = strchrnul(dirs, ':');
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - dirs), dirs, end > dirs ? "/" : "",
			     name) < PATH_MAX &&
		    !access(path, X_OK))
			return true;
	}
	return false;
}

static bool gains_privileges(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	return (st.st_mode & S_ISUID && st.st_uid != geteuid()) ||
	       (st.st_mode & S_ISGID && st.st_gid != getegid()) ||
	       (geteuid() && getxattr(path, "security.capability", NULL, 0) > 0);
}

/* An ELF program that names no loader. Anything else, such as a script, is left to its interpreter. */
static bool is_static(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be a FIFO */
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	bool found = false, is_elf;
	Elf64_Ehdr head;
	Elf64_Phdr segment;

	if (!file) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	is_elf = fread(&head, sizeof(head), 1, file) == 1 && !memcmp(head.e_ident, ELFMAG, SELFMAG) &&
		 head.e_ident[EI_CLASS] == ELFCLASS64 && !fseek(file, (long)head.e_phoff, SEEK_SET);
	for (int i = 0; is_elf && i < head.e_phnum && fread(&segment, sizeof(segment), 1, file) == 1; i++)
		found |= segment.p_type == PT_INTERP;
	fclose(file);
	return is_elf && !found;
}

/* --- the module --- */

/* By doing, as everywhere: why[TAIO_WHY_LEN] tells what is missing. */
static bool module_works(const char *policy, char *why)
{
	struct taio_params params = {.entries = 1};
	char engine[64];
	struct taio *ring;

	snprintf(engine, sizeof(engine), "kmod:%s", policy);
	params.engine = engine;
	if (taio_open(&ring, &params, why))
		return false;
	taio_close(ring);
	return true;
}

static bool is_possible(const char *program, const char *policy, const char *library, char *why)
{
	char path[PATH_MAX];

	if (!module_works(policy, why))
		return false;
	if (!*library)
		snprintf(why, TAIO_WHY_LEN,
			 LIBRARY " is neither beside taio nor in its " TAIO_LIBDIR_FROM_BINDIR);
	else if (strpbrk(library, ": "))
		snprintf(why, TAIO_WHY_LEN, "the loader cannot take " LIBRARY " from a path with ':' or ' '");
	else if (find_program(program, path) && gains_privileges(path))
		snprintf(why, TAIO_WHY_LEN, "it gains privileges, and the loader preloads nothing then");
	else if (find_program(program, path) && is_static(path))
		snprintf(why, TAIO_WHY_LEN, "it is linked statically, and nothing can be preloaded");
	else
		return true;
	return false;
}

static int preload(const char *library, const char *policy)
{
	const char *others = getenv("LD_PRELOAD");
	char *all;
	int ret;

	if (asprintf(&all, "%s%s%s", library, others && *others ? ":" : "", others ? others : "") < 0)
		return -1;
	ret = setenv("LD_PRELOAD", all, 1) || setenv("TAIO_POLICY", policy, 1) ? -1 : 0;
	free(all);
	return ret;
}

int run_run(const struct settings *settings, const char *operand)
{
	const char *policy = policy_names[settings->policy];
	char library[PATH_MAX] = "", why[TAIO_WHY_LEN];
	int err;

	if (!find_library(library))
		*library = '\0';
	if (!is_possible(operand, policy, library, why))
		fail("running %s as it is: %s", operand, why);
	else if (preload(library, policy))
		return fail("out of memory");
	execvp(operand, settings->program);
	err = errno;
	fail("cannot run %s: %s", operand, strerror(err));
	return err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
