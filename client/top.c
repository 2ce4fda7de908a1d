/* SPDX-License-Identifier: MIT */
/*
 * taio top: one request at a time (a sample, or the end of a connection), keys, and a screen that is drawn
 * anew when either has brought something. What the server sends decides nothing but what is shown.
 */
#include "report.h"
#include "screen.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define ID_LEN	    32
#define LINE_LEN    256
#define SMALL_ROWS  20 /* on a screen of fewer the figures have no room */
#define SMALL_LINES 2

enum doing { DOING_NOTHING, DOING_SAMPLE, DOING_END };

struct top {
	const struct settings *settings;
	struct client *client;
	struct screen screen;
	struct sampling sampling;
	enum doing doing;
	struct sample *now, *before, *next; /* at_ns 0: there is none */
	uint64_t next_ns;		    /* when the next is begun */
	char said[LINE_LEN];		    /* by fail() */
	char message[LINE_LEN];
	char selected[ID_LEN]; /* "": the row, whatever it is */
	size_t row;	       /* of what is selected */
	char ends[ID_LEN];     /* is to end: once y has been typed, or as soon as nothing else is asked */
	bool is_confirming, is_paused, has_help, is_gone, quits;
	bool is_stale; /* the screen */
	int status;
};

/* --- what is shown --- */

static size_t head_lines(const struct top *top)
{
	return top->screen.rows < SMALL_ROWS ? SMALL_LINES : REPORT_HEAD_LINES;
}

/* How many connections have room between the titles and the last line. */
static size_t room(const struct top *top)
{
	size_t taken = head_lines(top) + 2;

	return top->screen.rows > taken ? top->screen.rows - taken : 0;
}

static size_t shown(const struct top *top)
{
	return top->now->conns.n < room(top) ? top->now->conns.n : room(top);
}

/* Finds the selected connection, which may be in another row by now, or gone. */
static void find_selected(struct top *top)
{
	size_t n = shown(top);

	for (size_t i = 0; i < n && *top->selected; i++) {
		if (strcmp(top->now->conns.rows[i].id, top->selected) != 0)
			continue;
		top->row = i;
		return;
	}
	*top->selected = '\0';
	if (top->row >= n)
		top->row = n ? n - 1 : 0;
}

static void draw_head(const struct top *top, FILE *to)
{
	struct report report = {
		.where = top->settings->admin,
		.now = top->now,
		.before = top->before->at_ns ? top->before : NULL,
		.is_recent = true,
	};
	size_t size, lines = head_lines(top);
	char *text = NULL, *at;
	FILE *head = open_memstream(&text, &size);

	if (!head)
		return;
	report_head(head, &report);
	if (!fclose(head)) {
		for (at = text; lines && *at; lines--)
			at += strcspn(at, "\n") + 1;
		fwrite(text, 1, (size_t)(at - text), to);
	}
	free(text);
}

/* In the place of the connections; how many lines. */
static size_t draw_help(FILE *to)
{
	static const char *const lines[] = {
		"w i a b n    sort by: how long output waits, idle time, age, bytes, newest",
		"up down      select a connection",
		"k x          end it by io_cancel; y confirms",
		"p space      pause, and go on",
		"q            quit",
	};
	size_t n = sizeof(lines) / sizeof(lines[0]);

	fputs("any key: back\n", to);
	for (size_t i = 0; i < n; i++)
		fprintf(to, "%s\n", lines[i]);
	return n;
}

static size_t draw_conns(const struct top *top, FILE *to)
{
	size_t n = shown(top);

	report_titles(to, top->sampling.sort);
	for (size_t i = 0; i < n; i++)
		report_conn(to, &top->now->conns.rows[i]);
	return n;
}

static void draw_last(const struct top *top, FILE *to)
{
	if (top->is_confirming)
		fprintf(to, "end connection %s? y n", top->ends);
	else if (*top->message)
		fputs(top->message, to);
	else
		fprintf(to, "q quit   ? help   k end   p %s   sort: w i a b n",
			top->is_paused ? "go on (paused)" : "pause");
}

static int draw(struct top *top)
{
	char *text = NULL;
	size_t size, n;
	FILE *to = open_memstream(&text, &size);
	int err, inverse = -1;

	if (!to)
		return -ENOMEM;
	find_selected(top);
	draw_head(top, to);
	n = top->has_help ? draw_help(to) : draw_conns(top, to);
	if (!top->has_help && n)
		inverse = (int)(head_lines(top) + 1 + top->row);
	for (; n < room(top); n++)
		fputc('\n', to);
	draw_last(top, to);
	err = fclose(to) ? -ENOMEM : screen_draw(&top->screen, text, inverse);
	free(text);
	return err;
}

/* --- keys --- */

static void say(struct top *top, const char *text)
{
	report_printable(top->message, sizeof(top->message), text);
}

static void refresh(struct top *top)
{
	if (!top->is_paused)
		top->next_ns = 0;
}

static void sort_by(struct top *top, enum sort sort)
{
	top->sampling.sort = sort;
	*top->selected = '\0';
	top->row = 0;
	conns_sort(&top->now->conns, sort);
	refresh(top);
}

static void move_to(struct top *top, size_t row)
{
	size_t n = shown(top);

	if (!n)
		return;
	top->row = row < n ? row : n - 1;
	snprintf(top->selected, sizeof(top->selected), "%s", top->now->conns.rows[top->row].id);
}

/* What goes into a request is of the form that taiod gives its ids, whoever has sent it. */
static void confirm_end(struct top *top)
{
	const char *id = top->row < shown(top) ? top->now->conns.rows[top->row].id : "";
	size_t len = strlen(id);

	if (!len || len >= ID_LEN || strspn(id, "0123456789-") < len || *top->ends) {
		say(top,
		    *top->ends ? "another connection is being ended" : "there is none that can be ended");
		return;
	}
	move_to(top, top->row);
	strcpy(top->ends, id);
	top->is_confirming = true;
}

static void on_answer(struct top *top, int key)
{
	top->is_confirming = false;
	if (key != 'y' && key != 'Y')
		*top->ends = '\0';
}

static void on_key(struct top *top, int key)
{
	*top->message = '\0';
	top->is_stale = true;
	if (top->is_confirming) {
		on_answer(top, key);
		return;
	}
	if (top->has_help && key != 'q') {
		top->has_help = false;
		return;
	}
	switch (key) {
	case 'q':
		top->quits = true;
		break;
	case 'p':
	case ' ':
		top->is_paused = !top->is_paused;
		refresh(top);
		break;
	case '?':
	case 'h':
		top->has_help = true;
		break;
	case 'k':
	case 'x':
		confirm_end(top);
		break;
	case 'w':
		sort_by(top, SORT_WAITS);
		break;
	case 'i':
		sort_by(top, SORT_IDLE);
		break;
	case 'a':
		sort_by(top, SORT_AGE);
		break;
	case 'b':
		sort_by(top, SORT_BYTES);
		break;
	case 'n':
		sort_by(top, SORT_NEWEST);
		break;
	case KEY_UP:
		move_to(top, top->row ? top->row - 1 : 0);
		break;
	case KEY_DOWN:
		move_to(top, top->row + 1);
		break;
	case KEY_HOME:
		move_to(top, 0);
		break;
	case KEY_END:
		move_to(top, SIZE_MAX);
		break;
	default:
		break;
	}
}

/* 0 or -errno: the terminal has gone. */
static int take_keys(struct top *top)
{
	int keys[SCREEN_KEYS_MAX];
	ssize_t n;

	while ((n = screen_keys(&top->screen, keys)) > 0)
		for (ssize_t i = 0; i < n; i++)
			on_key(top, keys[i]);
	return n == -EAGAIN ? 0 : n ? (int)n : -EIO;
}

/* --- requests --- */

/* Before the first sample it is the end; later the server may come back. */
static void lost(struct top *top)
{
	top->next_ns = clock_ns() + top->settings->delay_us * NS_PER_US;
	if (!*top->said) /* a signal has interrupted it */
		return;
	if (!top->now->at_ns) {
		top->quits = true;
		top->status = 1;
		return;
	}
	sample_free(top->before);
	top->is_gone = top->is_stale = true;
	say(top, top->said);
}

static void sampled(struct top *top)
{
	struct sample *oldest = top->before;

	top->before = top->now;
	top->now = top->next;
	top->next = oldest;
	if (!sample_follows(top->now, top->before) || top->is_gone)
		sample_free(top->before);
	if (top->is_gone)
		*top->message = '\0';
	conns_sort(&top->now->conns, top->sampling.sort); /* a key may have changed it meanwhile */
	top->is_gone = false;
	top->is_stale = true;
	top->next_ns = clock_ns() + top->settings->delay_us * NS_PER_US;
}

/* The answer to the end of a connection. */
static void answered(struct top *top)
{
	size_t len;
	const char *body = ask_body(top->sampling.ask, &len);
	char text[LINE_LEN];

	if (ask_status(top->sampling.ask) == 202)
		snprintf(text, sizeof(text), "connection %s ends", top->ends);
	else
		snprintf(text, sizeof(text), "connection %s: %.*s", top->ends, (int)strcspn(body, "\r\n"),
			 body);
	say(top, text);
	*top->ends = '\0';
	top->is_stale = true;
	refresh(top);
}

static int start_end(struct top *top)
{
	char path[64];

	snprintf(path, sizeof(path), "/connections/%s", top->ends);
	top->doing = DOING_END;
	return ask_start(top->sampling.ask, "DELETE", path);
}

static int start_sample(struct top *top)
{
	top->sampling.count = room(top) ? (unsigned int)room(top) : 1;
	top->doing = DOING_SAMPLE;
	sample_free(top->next);
	return sampling_start(&top->sampling, top->next);
}

/* Begins what is due. -EAGAIN: nothing is. */
static int start(struct top *top)
{
	*top->said = '\0';
	if (*top->ends && !top->is_confirming)
		return start_end(top);
	if ((top->is_paused && top->now->at_ns) || clock_ns() < top->next_ns)
		return -EAGAIN;
	return start_sample(top);
}

/* Until there is something to wait for. */
static void go_on(struct top *top)
{
	while (!top->quits) {
		int err = top->doing == DOING_NOTHING ? start(top) : 0;

		if (!err)
			err = top->doing == DOING_SAMPLE ? sampling_some(&top->sampling)
							 : ask_some(top->sampling.ask);
		if (err == -EAGAIN)
			return;
		if (err && top->doing == DOING_END)
			*top->ends = '\0';
		if (err)
			lost(top);
		else if (top->doing == DOING_SAMPLE)
			sampled(top);
		else
			answered(top);
		top->doing = DOING_NOTHING;
	}
}

static uint64_t deadline_ns(const struct top *top)
{
	if (top->doing != DOING_NOTHING)
		return ask_deadline_ns(top->sampling.ask);
	return top->is_paused ? NEVER_NS : top->next_ns;
}

/* --- signals, and the loop --- */

static int reopen(struct top *top)
{
	top->is_stale = true;
	return screen_open(&top->screen, top->client);
}

static int take_signals(struct top *top)
{
	if (client_take_signal(SIGWINCH)) {
		screen_measure(&top->screen);
		top->is_stale = true;
		refresh(top);
	}
	if (client_take_signal(SIGTSTP)) {
		screen_close(&top->screen);
		client_yield_to_signal(SIGTSTP);
		client_take_signal(SIGCONT);
		return reopen(top);
	}
	if (client_take_signal(SIGCONT)) { /* after SIGSTOP; whoever had the terminal may have changed it */
		screen_close(&top->screen);
		return reopen(top);
	}
	return 0;
}

static int turn(struct top *top)
{
	int err = take_signals(top);

	while (!err && !top->quits) {
		err = take_keys(top);
		go_on(top);
		if (err || top->quits || !top->is_stale)
			break;
		top->is_stale = false;
		if (top->now->at_ns)
			err = draw(top);
	}
	if (err || top->quits)
		return err;
	if (client_signal())
		return -EINTR;
	err = client_wait(top->client, deadline_ns(top));
	return err == -ETIMEDOUT || (err == -EINTR && !client_signal()) ? 0 : err;
}

static void run(struct top *top)
{
	static const int watched[] = {SIGWINCH, SIGTSTP, SIGCONT};
	int err;

	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		client_watch_signal(watched[i]);
	err = screen_open(&top->screen, top->client);
	fail_into(top->said, sizeof(top->said));
	while (!err && !top->quits)
		err = turn(top);
	fail_into(NULL, 0);
	screen_close(&top->screen);
	if (err && err != -EINTR)
		fail("the terminal: %s", strerror(-err));
	else if (top->status)
		fail("%s", top->said);
	if (err)
		top->status = 1;
}

int top_run(const struct settings *settings, const char *operand)
{
	struct sample samples[3] = {0};
	struct client client;
	struct top top = {
		.settings = settings,
		.client = &client,
		.sampling = {.client = &client, .where = settings->admin, .sort = (enum sort)settings->sort},
		.now = &samples[0],
		.before = &samples[1],
		.next = &samples[2],
	};

	if (!screen_is_possible())
		return fail("top needs a terminal for input and output; taio stats prints the same once");
	if (client_open(&client, settings))
		return 1;
	top.sampling.ask = ask_create(&client, settings->admin);
	if (top.sampling.ask)
		run(&top);
	else
		top.status = 1;
	ask_destroy(top.sampling.ask);
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		sample_free(&samples[i]);
	client_close(&client);
	return top.status;
}
