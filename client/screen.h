/* SPDX-License-Identifier: MIT */
/*
 * The terminal as a screen: its alternate screen, keys without line editing, and a way back to how it was.
 * Any terminal that knows ECMA-48 will do, as all have for decades; nothing is looked up. Keys and output go
 * over the ring.
 */
#ifndef CLIENT_SCREEN_H
#define CLIENT_SCREEN_H

#include "local.h"

#include <termios.h>

#define SCREEN_KEYS_MAX 32

struct screen {
	struct client *client;
	bool is_open;
	struct termios before;
	struct local keys, out;
	unsigned int rows, columns;
	char typed[SCREEN_KEYS_MAX]; /* what a read of keys brings */
	unsigned int escape;	     /* bytes of an escape sequence so far, up to 2 */
};

/* What screen_key() returns besides characters. */
enum { KEY_UP = 256, KEY_DOWN, KEY_HOME, KEY_END, KEY_ESCAPE };

/* Whether standard input and output are a terminal that can be one. */
bool screen_is_possible(void);

/* 0 or -errno. While it is open, fail() must not write to the terminal. */
int screen_open(struct screen *screen, struct client *client);
/* Leaves the terminal as it was before screen_open(). Nothing if it is not open. */
void screen_close(struct screen *screen);
/* Asks how large it is now. */
void screen_measure(struct screen *screen);

/*
 * Replaces what is shown by the lines of @text, cut to its size; line @inverse (from 0; -1: none) is inverse.
 * @text is printable ASCII. 0 or -errno.
 */
int screen_draw(struct screen *screen, const char *text, int inverse);

/* Never sleeps: how many keys were typed, -EAGAIN, -errno, 0 at the end. */
ssize_t screen_keys(struct screen *screen, int keys[SCREEN_KEYS_MAX]);

#endif
