/* SPDX-License-Identifier: MIT */
/* The program's services, in the order in which help lists them. Test programs have tables of their own. */
#ifndef SERVICES_H
#define SERVICES_H

struct service;

extern const struct service *const services[]; /* ends with NULL */

#endif
