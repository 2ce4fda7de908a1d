/* SPDX-License-Identifier: MIT */
#include "upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* How long the new process may take to serve; less than the service manager waits for a reload. */
#define START_MAX_S 60.
/* How long it waits for the reply, of a loop that has nothing else to do. */
#define REPLY_MAX_MS 10000

/* The descriptor of the new process's end of the link, in its environment. */
#define LINK_NAME "TAIOD_UPGRADE_LINK"

extern char **environ;

void upgrade_init(struct upgrade *upgrade, char **argv)
{
	char path[PATH_MAX];
	ssize_t n;

	*upgrade = (struct upgrade){.argv = argv, .link = -1};
	/* As it was named, if that is a path from the root: what a symbolic link leads to may change. */
	if (argv[0][0] == '/') {
		upgrade->program = strdup(argv[0]);
		return;
	}
	n = readlink("/proc/self/exe", path, sizeof(path));
	if (n > 0 && n < (ssize_t)sizeof(path))
		upgrade->program = strndup(path, (size_t)n);
}

void upgrade_fini(struct upgrade *upgrade)
{
	free(upgrade->program);
	upgrade->program = NULL;
}

bool upgrade_is_due(const struct upgrade *upgrade)
{
	struct stat now, there;

	return upgrade->program && stat("/proc/self/exe", &now) == 0 && stat(upgrade->program, &there) == 0 &&
	       (now.st_dev != there.st_dev || now.st_ino != there.st_ino);
}

/* --- the environment of the new process --- */

struct image {
	char **env;
	char pid[32]; /* LISTEN_PID=, which only the new process can complete */
	char count[32], link[48], *names;
};

/* What the process is told anew, or, of WATCHDOG_PID, not at all: its absence means every process. */
static bool is_replaced(const char *assignment)
{
	static const char *const names[] = {
		"LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_PID=", LINK_NAME "="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(assignment, names[i], strlen(names[i])))
			return true;
	return false;
}

static char *join_names(const struct handover *sockets)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	fputs("LISTEN_FDNAMES=", to);
	for (unsigned int i = 0; i < sockets->n; i++)
		fprintf(to, "%s%s", i ? ":" : "", sockets->names[i]);
	if (!fclose(to))
		return text;
	free(text);
	return NULL;
}

static int image_make(struct image *image, const struct handover *sockets)
{
	size_t n = 0, at = 0;

	while (environ[n])
		n++;
	image->names = join_names(sockets);
	image->env = calloc(n + 5, sizeof(char *));
	if (!image->names || !image->env)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!is_replaced(environ[i]))
			image->env[at++] = environ[i];
	snprintf(image->count, sizeof(image->count), "LISTEN_FDS=%u", sockets->n);
	snprintf(image->link, sizeof(image->link), LINK_NAME "=%u", SD_LISTEN_FDS_START + sockets->n);
	strcpy(image->pid, "LISTEN_PID=");
	image->env[at++] = image->pid;
	image->env[at++] = image->count;
	image->env[at++] = image->names;
	image->env[at] = image->link;
	return 0;
}

static void image_free(struct image *image)
{
	free(image->names);
	free(image->env);
}

/* --- between fork(2) and execve(2): only what signal-safety(7) allows --- */

static void append_number(char *text, unsigned long n)
{
	char digits[24];
	size_t len = 0, at = strlen(text);

	do {
		digits[len++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	while (len)
		text[at++] = digits[--len];
	text[at] = '\0';
}

/* Puts the sockets, and the link behind them, where sd_listen_fds(3) looks. Their places may be those of
 * others, so all are moved out of the way first. */
static int place(const struct handover *sockets, int link)
{
	unsigned int n = sockets->n + 1;
	int first = SD_LISTEN_FDS_START, high;

	for (unsigned int i = 0; i < n; i++) {
		high = fcntl(i < sockets->n ? sockets->fds[i] : link, F_DUPFD_CLOEXEC,
			     first + (int)n + (int)i);
		if (high < 0)
			return -errno;
		sockets->fds[i] = high;
	}
	for (unsigned int i = 0; i < n; i++)
		if (dup2(sockets->fds[i], first + (int)i) < 0)
			return -errno;
	return 0;
}

/* Those that are to end nothing wait until the new process has handlers for them. */
static void signals_reset(const sigset_t *mask)
{
	static const int handled[] = {SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2}, nheld = 3;
	static const int n = sizeof(handled) / sizeof(handled[0]);
	sigset_t set = *mask;

	for (int i = 0; i < n; i++)
		signal(handled[i], SIG_DFL);
	for (int i = n - nheld; i < n; i++)
		sigaddset(&set, handled[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

/* What is said on the link: that it serves, or that execve(2) has failed and why. */
enum { SAYS_SERVING = 's', SAYS_FAILED = 'f' };

static void become(const struct upgrade *upgrade, const struct handover *sockets, struct image *image,
		   int link, const sigset_t *mask)
{
	unsigned char said[2] = {SAYS_FAILED};
	int ret = place(sockets, link);

	append_number(image->pid, (unsigned long)getpid());
	signals_reset(mask);
	if (!ret) {
		link = SD_LISTEN_FDS_START + (int)sockets->n; /* a socket may have its place now */
		execve(upgrade->program, upgrade->argv, image->env);
		ret = -errno;
	}
	said[1] = (unsigned char)-ret;
	if (write(link, said, sizeof(said)) < 0)
		_exit(127);
	_exit(126);
}

/* --- the process before --- */

static void watchers_stop(struct upgrade *upgrade)
{
	ev_io_stop(upgrade->loop, &upgrade->said);
	ev_child_stop(upgrade->loop, &upgrade->ended);
	ev_timer_stop(upgrade->loop, &upgrade->late);
	close(upgrade->link);
	upgrade->link = -1;
	upgrade->pid = 0;
}

static void fail(struct upgrade *upgrade, const char *why)
{
	watchers_stop(upgrade);
	upgrade->on_end(upgrade->arg, why);
}

static void on_said(struct ev_loop *loop, ev_io *io, int revents)
{
	struct upgrade *upgrade = io->data;
	unsigned char said[2] = {0};
	ssize_t n = read(upgrade->link, said, sizeof(said));

	/* It has ended and left the secret unread, which is told before what it has said. */
	if (n < 0 && errno == ECONNRESET)
		n = read(upgrade->link, said, sizeof(said));
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0 && said[0] == SAYS_SERVING) {
		ev_child_stop(loop, &upgrade->ended);
		upgrade->on_end(upgrade->arg, NULL);
		watchers_stop(upgrade); /* which is the reply */
		return;
	}
	if (n == 2 && said[0] == SAYS_FAILED)
		upgrade->exec_err = said[1];
	ev_io_stop(loop, io); /* it has ended, or does: on_ended() */
}

static void on_ended(struct ev_loop *loop, ev_child *child, int revents)
{
	struct upgrade *upgrade = child->data;
	char why[UPGRADE_WHY_LEN];
	int status = child->rstatus;

	/* What it has said may still be to be read. */
	if (ev_is_active(&upgrade->said))
		on_said(loop, &upgrade->said, EV_READ);
	if (!upgrade->pid) /* that it served: another is the main process, and now has ended */
		return;
	if (upgrade->exec_err)
		snprintf(why, sizeof(why), "cannot run %.200s: %s", upgrade->program,
			 strerror(upgrade->exec_err));
	else if (WIFEXITED(status))
		snprintf(why, sizeof(why), "%.200s ended with status %d before it served", upgrade->program,
			 WEXITSTATUS(status));
	else
		snprintf(why, sizeof(why), "%.200s was ended by signal %d before it served", upgrade->program,
			 WTERMSIG(status));
	fail(upgrade, why);
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct upgrade *upgrade = timer->data;
	char why[UPGRADE_WHY_LEN];

	kill(upgrade->pid, SIGKILL);
	snprintf(why, sizeof(why), "%.200s did not serve within %.0f s", upgrade->program, START_MAX_S);
	fail(upgrade, why);
}

static void watchers_start(struct upgrade *upgrade)
{
	ev_io_init(&upgrade->said, on_said, upgrade->link, EV_READ);
	ev_child_init(&upgrade->ended, on_ended, upgrade->pid, 0);
	ev_timer_init(&upgrade->late, on_late, START_MAX_S, 0.);
	upgrade->said.data = upgrade->ended.data = upgrade->late.data = upgrade;
	ev_io_start(upgrade->loop, &upgrade->said);
	ev_child_start(upgrade->loop, &upgrade->ended);
	ev_timer_start(upgrade->loop, &upgrade->late);
}

/* A handler that ran in the child would wake the loop of this process: no signal comes until they are reset
 * there. */
static int fork_off(struct upgrade *upgrade, const struct handover *sockets, struct image *image, int link)
{
	sigset_t all, mask;
	pid_t pid;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	pid = fork();
	if (!pid)
		become(upgrade, sockets, image, link, &mask);
	err = errno;
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (pid < 0)
		return -err;
	upgrade->pid = pid;
	return 0;
}

int upgrade_start(struct upgrade *upgrade, struct ev_loop *loop, const struct handover *sockets,
		  const void *secret, size_t len, void (*on_end)(void *arg, const char *why), void *arg,
		  char *why)
{
	/* One more, for the link; written to between fork() and execve(). */
	struct handover copy = {
		.fds = calloc(sockets->n + 1, sizeof(int)), .names = sockets->names, .n = sockets->n};
	struct image image = {0};
	int link[2], ret = copy.fds ? image_make(&image, sockets) : -ENOMEM;

	if (!ret && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0)
		ret = -errno;
	if (ret)
		goto free_image;
	memcpy(copy.fds, sockets->fds, sockets->n * sizeof(int));
	fcntl(link[0], F_SETFL, O_NONBLOCK);
	ret = write(link[0], secret, len) == (ssize_t)len ? fork_off(upgrade, &copy, &image, link[1])
							  : -errno;
	close(link[1]);
	if (ret) {
		close(link[0]);
		goto free_image;
	}
	upgrade->loop = loop;
	upgrade->exec_err = 0;
	upgrade->link = link[0];
	upgrade->on_end = on_end;
	upgrade->arg = arg;
	watchers_start(upgrade);
free_image:
	if (ret)
		snprintf(why, UPGRADE_WHY_LEN, "cannot start %.200s: %s", upgrade->program, strerror(-ret));
	image_free(&image);
	free(copy.fds);
	return ret;
}

void upgrade_stop(struct upgrade *upgrade)
{
	if (!upgrade->pid)
		return;
	kill(upgrade->pid, SIGKILL);
	watchers_stop(upgrade);
}

/* --- the new process --- */

/* Or -1. */
static int link_fd(void)
{
	const char *number = getenv(LINK_NAME);
	int link = number ? atoi(number) : -1;

	if (link < SD_LISTEN_FDS_START || sd_is_socket_unix(link, SOCK_SEQPACKET, 0, NULL, 0) <= 0)
		return -1;
	fcntl(link, F_SETFD, FD_CLOEXEC);
	return link;
}

bool upgrade_secret(void *secret, size_t len)
{
	unsigned char data[UPGRADE_SECRET_MAX];
	int link = link_fd();
	bool is_whole = link >= 0 && recv(link, data, sizeof(data), MSG_DONTWAIT) == (ssize_t)len;

	if (is_whole)
		memcpy(secret, data, len);
	explicit_bzero(data, sizeof(data));
	return is_whole;
}

void upgrade_tell_parent(void)
{
	int link = link_fd();
	struct pollfd reply = {.fd = link}; /* its end: POLLHUP */
	char said = SAYS_SERVING;

	if (link < 0)
		return;
	unsetenv(LINK_NAME);
	if (write(link, &said, 1) == 1)
		while (poll(&reply, 1, REPLY_MAX_MS) < 0 && errno == EINTR)
			;
	close(link);
}
