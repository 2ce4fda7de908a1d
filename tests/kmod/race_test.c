/* SPDX-License-Identifier: MIT */
/* Cancel against everything that may happen at the same moment. */
#include "kmod.h"

int main(int argc, char **argv)
{
	return kmod_main(argc, argv, scene_finish);
}
