/* SPDX-License-Identifier: MIT */
#include "limits.h"

#include <stddef.h>

#define FIELD(name) offsetof(struct limits, name)

#define TIMEOUT_ROW(CLASS, opt, deflt_text, min_us, reason, postponed_by, help_text, more_text)              \
	{                                                                                                    \
		.name = #opt "-timeout",                                                                     \
		.type = OPT_DURATION,                                                                        \
		.offset = FIELD(timeout_us) + DEADLINE_##CLASS * sizeof(uint64_t),                           \
		.arg = "DURATION",                                                                           \
		.deflt = deflt_text,                                                                         \
		.min = min_us,                                                                               \
		.help = help_text,                                                                           \
		.more = more_text,                                                                           \
		.on_reload = OPT_RELOAD_APPLY,                                                               \
	},

static const char *const full_choices[] = {"refuse", "wait", "evict", NULL};

// clang-format off
const struct opt limits_rows[] = {
	TIMEOUTS(TIMEOUT_ROW)
	{ .name = "when-full", .type = OPT_ENUM, .offset = FIELD(when_full), .arg = "refuse|wait|evict",
	  .deflt = "wait", .choices = full_choices, .on_reload = OPT_RELOAD_APPLY,
	  .help = "At max-connections or max-memory: refuse new connections, leave them in the backlog (wait), or close the "
		  "connection that has been idle longest (evict)." },
	{ .name = "conn-memory", .type = OPT_SIZE, .offset = FIELD(conn_memory), .arg = "SIZE", .deflt = "512k",
	  .min = 256 << 10, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum buffer memory per connection." },
	{ .name = "send-min-rate", .type = OPT_SIZE, .offset = FIELD(send_min_rate), .arg = "SIZE", .deflt = "0",
	  .max = 1 << 30, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Minimum bytes per second that a peer takes of its output; 0 means none.",
	  .more = "A connection whose peer takes less over 20 seconds ends. Time in which there is nothing to take does "
		  "not count." },
	{ .name = "backlog", .type = OPT_UINT, .offset = FIELD(backlog), .arg = "N", .deflt = "4096", .min = 1,
	  .max = 1 << 20, .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum connections that the kernel queues before they are accepted; net.core.somaxconn "
		  "limits it." },
	{ 0 }
};
// clang-format on
