/* SPDX-License-Identifier: MIT */
/* The memory that OpenSSL has allocated: tls_memory_count() and tls_memory() of tls.h. */
#ifndef TLS_MEMORY_H
#define TLS_MEMORY_H

#include "tls.h"

#endif
