/* SPDX-License-Identifier: MIT */
/*
 * The instruction by which a guest begins and ends a window of insns.c. It does nothing, and no compiler
 * writes it: nopl 0x4f494154(%rax,%rax,1), with "TAIO" for displacement.
 */
#ifndef TAIO_INSNS_MARK_H
#define TAIO_INSNS_MARK_H

#define INSNS_MARK 0x0f, 0x1f, 0x84, 0x00, 0x54, 0x41, 0x49, 0x4f

#endif
