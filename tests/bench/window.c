/* SPDX-License-Identifier: MIT */
/* A window of insns.c, from inside the guest. Without that plugin the marks do nothing. */
#include "bench.h"
#include "insns_mark.h"

#define TEXT_(...) #__VA_ARGS__
#define TEXT(...)  TEXT_(__VA_ARGS__)

static void mark(void)
{
	asm volatile(".byte " TEXT(INSNS_MARK));
}

int cmd_insns(int argc, char **argv)
{
	CHECK_EQ(argc, 3);
	helpers_pin((unsigned int)number_of(argv[2], "CPU"));
	mark();
	pause_ms((unsigned int)number_of(argv[1], "WINDOW_MS"));
	mark();
	return 0;
}
