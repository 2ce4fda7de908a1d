/* SPDX-License-Identifier: MIT */
#include "screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l\033[2J" /* the alternate screen, no cursor, nothing on it */
#define LEAVE "\033[0m\033[?25h\033[?1049l"

#define ROWS_MAX    1000
#define COLUMNS_MAX 1000

bool screen_is_possible(void)
{
	const char *term = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

void screen_measure(struct screen *screen)
{
	struct winsize size = {0};

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	screen->rows = size.ws_row && size.ws_row < ROWS_MAX ? size.ws_row : 24;
	screen->columns = size.ws_col && size.ws_col < COLUMNS_MAX ? size.ws_col : 80;
}

/* ^C, ^Z and the like go on to be signals, but for ^\, which would leave the screen as it is. */
static int take_keys(struct screen *screen)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &screen->before) < 0)
		return -errno;
	raw = screen->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	raw.c_cc[VQUIT] = _POSIX_VDISABLE;
	return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0 ? -errno : 0;
}

/* Whatever signal comes that is no end. */
static int put(struct screen *screen, const char *text, size_t len)
{
	ssize_t n;

	while (len) {
		n = local_write_some(&screen->out, text, len);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
			continue;
		}
		if (n == -EAGAIN)
			n = client_wait(screen->client, NEVER_NS);
		if (n == -EINTR && !client_signal())
			n = 0;
		if (n < 0) {
			op_end(screen->client, &screen->out.op);
			return (int)n;
		}
	}
	return 0;
}

int screen_open(struct screen *screen, struct client *client)
{
	int err = take_keys(screen);

	if (err)
		return err;
	screen->client = client;
	screen->escape = 0;
	screen_measure(screen);
	err = local_open(&screen->keys, client, STDIN_FILENO);
	if (err)
		goto restore;
	err = local_open(&screen->out, client, STDOUT_FILENO);
	if (err)
		goto close_keys;
	screen->is_open = true;
	err = put(screen, ENTER, strlen(ENTER));
	if (err)
		screen_close(screen);
	return err;
close_keys:
	local_close(&screen->keys);
restore:
	tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
	return err;
}

/* By plain calls: a signal may have come, which ends every wait on the ring. */
void screen_close(struct screen *screen)
{
	const char *text = LEAVE;
	ssize_t n;

	if (!screen->is_open)
		return;
	screen->is_open = false;
	local_close(&screen->out);
	local_close(&screen->keys);
	for (size_t left = strlen(text); left; left -= (size_t)n, text += n) {
		n = write(STDOUT_FILENO, text, left);
		if (n < 0)
			break;
	}
	tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->before);
}

int screen_draw(struct screen *screen, const char *text, int inverse)
{
	size_t size = 0;
	char *all = NULL;
	FILE *to = open_memstream(&all, &size);
	int err;

	if (!to)
		return -ENOMEM;
	fputs("\033[H", to);
	for (unsigned int row = 0; row < screen->rows; row++) {
		size_t len = strcspn(text, "\n");

		fprintf(to, "%s%s%.*s\033[K%s", row ? "\r\n" : "", (int)row == inverse ? "\033[7m" : "",
			(int)(len < screen->columns ? len : screen->columns), text,
			(int)row == inverse ? "\033[0m" : "");
		text += len + (text[len] == '\n');
	}
	err = fclose(to) ? -ENOMEM : put(screen, all, size);
	free(all);
	return err;
}

/* --- keys --- */

/* The key that ends with byte @c, or 0: it is the beginning of one, or none that is known. */
static int key_of(struct screen *screen, char c)
{
	unsigned int before = screen->escape;

	screen->escape = 0;
	switch (before) {
	case 0:
		screen->escape = c == '\033';
		return screen->escape ? 0 : (unsigned char)c;
	case 1:
		if (c != '[' && c != 'O')
			return (unsigned char)c;
		screen->escape = 2;
		return 0;
	default:
		if ((unsigned char)c < '@' || c == '\x7f') { /* a parameter */
			screen->escape = 2;
			return 0;
		}
		return c == 'A' ? KEY_UP : c == 'B' ? KEY_DOWN : c == 'H' ? KEY_HOME : c == 'F' ? KEY_END : 0;
	}
}

/* Of @n bytes, none of which makes more than one. */
static size_t take_typed(struct screen *screen, ssize_t n, int *keys)
{
	size_t nkeys = 0;

	for (ssize_t i = 0; i < n; i++) {
		keys[nkeys] = key_of(screen, screen->typed[i]);
		nkeys += keys[nkeys] != 0;
	}
	if (screen->escape == 1) { /* nothing came with it: the key Escape */
		screen->escape = 0;
		keys[nkeys++] = KEY_ESCAPE;
	}
	return nkeys;
}

ssize_t screen_keys(struct screen *screen, int keys[SCREEN_KEYS_MAX])
{
	size_t nkeys = 0;
	ssize_t n;

	while (!nkeys) {
		n = local_read_some(&screen->keys, screen->typed, sizeof(screen->typed));
		if (n <= 0)
			return n;
		nkeys = take_typed(screen, n, keys);
	}
	return (ssize_t)nkeys;
}
