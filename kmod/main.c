// SPDX-License-Identifier: GPL-2.0
/* taio.ko: init, and exit in the reverse order. uapi/taio.h is the manual. */
#include <linux/module.h>

#include "debugfs.h"
#include "dev.h"
#include "helpers.h"
#include "op.h"
#include "op_life.h"
#include "user.h"
#include "workers.h"

static int __init taio_init(void)
{
	int ret;

	ret = op_cache_create();
	if (ret)
		return ret;
	ret = users_create();
	if (ret)
		goto destroy_cache;
	ret = op_works_create();
	if (ret)
		goto destroy_users;
	ret = workers_create();
	if (ret)
		goto destroy_op_works;
	debugfs_start();
	ret = dev_register();
	if (ret)
		goto stop_debugfs;
	return 0;
stop_debugfs:
	debugfs_stop();
	workers_destroy();
destroy_op_works:
	op_works_destroy();
destroy_users:
	users_destroy();
destroy_cache:
	op_cache_destroy();
	return ret;
}

/*
 * The device's file and every proxy's hold the module: when this runs there are none left, and no operation. Whoever
 * completed one may still be about to free it, and to drop its account: so what runs goes before what it uses.
 */
static void __exit taio_exit(void)
{
	dev_deregister();
	debugfs_stop();
	workers_destroy();
	helpers_destroy();
	op_works_destroy();
	users_destroy();
	op_cache_destroy();
}

module_init(taio_init);
module_exit(taio_exit);
MODULE_DESCRIPTION("Threaded backend for asynchronous I/O: io_submit(2) and io_cancel(2) on sockets, pipes and files");
MODULE_AUTHOR("The taio authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
