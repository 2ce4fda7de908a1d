/* SPDX-License-Identifier: MIT */
/* Each function is looked up when it is first wanted: other libraries' constructors may run before ours. */
#include "next.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

/* Looking it up twice gives the same. dlsym(3) allocates nothing when it succeeds. */
#define NEXT_DEFINE(type, name, parameters)                                                                  \
	type(*next_##name(void)) parameters                                                                  \
	{                                                                                                    \
		static void *_Atomic found;                                                                  \
		void *next = atomic_load_explicit(&found, memory_order_relaxed);                             \
                                                                                                             \
		if (!next) {                                                                                 \
			next = dlsym(RTLD_NEXT, #name);                                                      \
			atomic_store_explicit(&found, next, memory_order_relaxed);                           \
		}                                                                                            \
		return (type(*) parameters)next;                                                             \
	}
NEXT_FUNCTIONS(NEXT_DEFINE)
#undef NEXT_DEFINE
