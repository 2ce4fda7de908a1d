/* SPDX-License-Identifier: MIT */
/*
 * Which proxy stands for a descriptor. Any thread; signal handlers may release.
 *
 * A descriptor gets a place at its first submission: a descriptor of our own, in which its proxy is. When it
 * is closed, the proxy goes, and the place stays: it has a file then that io_submit(2) calls a bad
 * descriptor. So a place stands for one number of the program's for good, and an iocb that still names it can
 * be understood.
 *
 * That the place of N has the proxy of what N is now is asked at each submission (TAIO_IOC_SAME): not all
 * that closes a descriptor calls a function that can be taken.
 */
#ifndef PRELOAD_PROXY_H
#define PRELOAD_PROXY_H

#include <stdbool.h>

/* The proxy of @fd, made if it has none; -1: it goes without. errno stays. */
int proxy_of(int fd);

/* What @fd is a place for; @fd if it is none. As noted: a program can close what is not its own. */
int proxy_target(int fd);

/* Likewise, of a number that the program has in an iocb. */
int proxy_meant(int fd);

/* Before @fd is closed, or replaced by another file: its proxy goes, and with it the last hold on the file.
 */
void proxy_release(int fd);

/* After @fd was closed: another thread may have submitted to it since proxy_release(), and made a proxy
 * again. */
void proxy_prune(int fd);

/* Is @fd one of ours, which the program has not opened and must not close? */
bool proxy_is_ours(int fd);

/* Before a file of the program's becomes @fd: if that was one of ours, it is so no more. */
void proxy_vacate(int fd);

/* Counts iocbs that are about to be submitted to proxies. */
void proxy_count(long niocbs);

#endif
