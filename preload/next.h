/* SPDX-License-Identifier: MIT */
/*
 * The functions behind those that this library takes: libc's, or those of another preloaded library. Any
 * thread, signal handlers and children of vfork(2) included.
 */
#ifndef PRELOAD_NEXT_H
#define PRELOAD_NEXT_H

#include <stdio.h>

// clang-format off
#define NEXT_FUNCTIONS(X)                                          \
	X(int, close, (int))                                       \
	X(int, dup2, (int, int))                                   \
	X(int, dup3, (int, int, int))                              \
	X(int, close_range, (unsigned int, unsigned int, int))     \
	X(int, fclose, (FILE *))                                   \
	X(long, syscall, (long, ...))
// clang-format on

#define NEXT_DECLARE(type, name, parameters) type(*next_##name(void)) parameters;
NEXT_FUNCTIONS(NEXT_DECLARE)
#undef NEXT_DECLARE

/* A system call past everything that is taken, as syscall(2); no cancellation point. */
#define system_call(...) (next_syscall()(__VA_ARGS__))

#endif
