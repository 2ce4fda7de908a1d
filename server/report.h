/* SPDX-License-Identifier: MIT */
/* What the log says of a configuration once it is in effect: where it listens, and whether the machine has
 * what it may come to need. Main thread. */
#ifndef REPORT_H
#define REPORT_H

struct config;
struct worker;

struct report_of {
	const struct config *started; /* has the values that need a restart */
	const struct worker *workers;
	unsigned int nworkers;
};

/* File descriptors. Raises the limit as far as it goes. */
void report_nofile(const struct report_of *of, const struct config *config);
/* Memory, at the start, when there are no connections. */
void report_memory(const struct report_of *of, const struct config *config);
/* Slots of fs.aio-max-nr: how many the workers may come to need, and whether there are so many. */
void report_slots(const struct report_of *of, const struct config *config);
/* The listeners of @config that are new or something else than in @from (NULL: none), and those of @from that
 * are gone. */
void report_listeners(const struct config *config, const struct config *from);
/* Writes --port-file, if there is to be one. 0, or -errno, which is logged. */
int report_ports(struct config *config);

#endif
