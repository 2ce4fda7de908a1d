/* SPDX-License-Identifier: MIT */
/* What ends, or is taken away, while operations are in flight. */
#include "kmod.h"

int main(int argc, char **argv)
{
	return kmod_main(argc, argv, scene_finish);
}
