/* SPDX-License-Identifier: MIT */
/*
 * Static probes for tracers (USDT, provider taiod): docs/probes.md says what each tells. An instruction that
 * does nothing stands for each, until bpftrace or perf puts a breakpoint there. Built without <sys/sdt.h>
 * there are none.
 *
 * An argument is a number or a pointer, which is evaluated whether somebody traces or not: no calls in what
 * moves bytes.
 */
#ifndef PROBES_H
#define PROBES_H

#ifdef TAIO_USDT
#include <sys/sdt.h>
#define probe2(name, a, b)	    DTRACE_PROBE2(taiod, name, a, b)
#define probe3(name, a, b, c)	    DTRACE_PROBE3(taiod, name, a, b, c)
#define probe4(name, a, b, c, d)    DTRACE_PROBE4(taiod, name, a, b, c, d)
#define probe5(name, a, b, c, d, e) DTRACE_PROBE5(taiod, name, a, b, c, d, e)
#else
#define probe2(name, a, b)	    ((void)sizeof(a), (void)sizeof(b))
#define probe3(name, a, b, c)	    ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c))
#define probe4(name, a, b, c, d)    ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c), (void)sizeof(d))
#define probe5(name, a, b, c, d, e) (probe4(name, a, b, c, d), (void)sizeof(e))
#endif

#endif
