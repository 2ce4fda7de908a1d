/* SPDX-License-Identifier: MIT */
#include "hostile.h"

static void finish(struct scene *s)
{
	scratch_close(s);
	scene_finish(s);
}

int main(int argc, char **argv)
{
	return kmod_main(argc, argv, finish);
}
