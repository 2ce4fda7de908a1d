/* SPDX-License-Identifier: MIT */
/* The services of this program, in the order in which help lists them. A test program has a table of its own.
 */
#ifndef SERVICES_H
#define SERVICES_H

struct service;

extern const struct service *const services[]; /* ends with NULL */

#endif
