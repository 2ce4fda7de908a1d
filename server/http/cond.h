/* SPDX-License-Identifier: MIT */
/* Conditions and ranges (RFC 9110, sections 13 and 14). */
#ifndef HTTP_COND_H
#define HTTP_COND_H

#include "file.h"
#include "request.h"

#include <stdint.h>
#include <time.h>

enum http_cond { COND_SERVE, COND_NOT_MODIFIED, COND_FAILED };
enum http_range { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };

/* RFC 9110, section 13.2.2, steps 1 to 4. */
enum http_cond http_cond(const struct http_request *req, const struct file *file, time_t now);
/* Section 14.2 with If-Range. A range set of several ranges is served whole. */
enum http_range http_range(const struct http_request *req, const struct file *file, time_t now,
			   uint64_t *first, uint64_t *len);

#endif
