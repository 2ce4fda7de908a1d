/* SPDX-License-Identifier: GPL-2.0 */
/* The file of a proxy. */
#ifndef TAIO_PROXY_FILE_H
#define TAIO_PROXY_FILE_H

struct file;
struct taio_ioc_attach;

/*
 * Makes the proxy of @target and its file. The caller has checked everything in the request that does not depend on
 * the target. On success the file owns the caller's reference to @target. -ELOOP, -ENFILE, or proxy_create()'s errors.
 */
struct file *proxy_file_create(struct file *target, const struct taio_ioc_attach *request);

#endif
