/* SPDX-License-Identifier: MIT */
/* Words for why io_setup(2) failed: fs.aio-max-nr, what is taken of it, and by which process. */
#ifndef TAIO_AIO_NR_H
#define TAIO_AIO_NR_H

/* io_setup(2) for @wanted slots failed with @err (-errno): one line to why[TAIO_WHY_LEN]. */
void aio_nr_explain(int err, unsigned int wanted, char *why);

#endif
