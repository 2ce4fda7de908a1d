/* SPDX-License-Identifier: MIT */
/*
 * By descriptor: what this library knows of it. Any thread reads; only who holds the lock of proxy.c writes.
 * The words need no order among themselves: each reader asks the kernel before it acts on one.
 */
#ifndef PRELOAD_TABLE_H
#define PRELOAD_TABLE_H

#include <stdatomic.h>

enum known {
	FD_UNKNOWN, /* nothing was submitted to it, or it was closed since */
	FD_PROXIED, /* its place has its proxy */
	FD_REFUSED, /* it goes without one */
};

struct entry {
	_Atomic int place;	/* descriptor + 1 that is kept for this one's proxies; 0: none yet */
	_Atomic int stands_for; /* of such a place: descriptor + 1 of what it is kept for; FOR_US; or 0 */
	_Atomic int known;	/* enum known */
};

/* The other descriptors of ours. */
#define FOR_US (-1)

/* Descriptors from here on go without proxies. */
#define TABLE_MAX (1 << 20)

/* NULL: nothing has been noted about @fd, or it is beyond the table. */
struct entry *table_find(int fd);

/* Likewise, but makes it: NULL only beyond the table, or without memory. */
struct entry *table_make(int fd);

/* The first descriptor from @from to @to about which something is noted, or -1. */
int table_next(int from, int to);

#endif
