/* SPDX-License-Identifier: MIT */
/*
 * Messages to stderr, one line each: under systemd with a journal priority, otherwise with the time. Any
 * thread.
 */
#ifndef LOG_H
#define LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The least severe level that is logged; a reload may change it while workers run. */
extern atomic_int log_level;

static inline bool log_is_on(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_init(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * For messages that may come in floods: limits them to one line per second. Returns in more[LOG_MORE_LEN]
 * what to append to the line, "" or how many lines were held back since the last one; NULL: hold this one
 * back. A limit belongs to one thread.
 */
struct log_limit {
	uint64_t until_us;
	unsigned int held;
};

#define LOG_MORE_LEN 32

const char *log_limited(struct log_limit *limit, uint64_t now_us, char *more);

#define log_at(level, ...)                                                                                   \
	do {                                                                                                 \
		if (log_is_on(level))                                                                        \
			log_line(level, __VA_ARGS__);                                                        \
	} while (0)

#define log_error(...)	 log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)	 log_at(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)	 log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
