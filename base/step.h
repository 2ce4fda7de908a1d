/* SPDX-License-Identifier: MIT */
/*
 * The result of one step of moving bytes. TLS, services and the input of a connection return the same enum,
 * so it is passed on and never translated. Each function says what it means by DONE.
 */
#ifndef STEP_H
#define STEP_H

enum step {
	STEP_DONE,    /* did what it was asked to do */
	STEP_MORE,    /* needs more input from the peer */
	STEP_BLOCKED, /* cannot go on until something else happens: output is sent, or a service is resumed */
	STEP_CLOSED,  /* the peer has ended its side */
	STEP_FAILED,  /* fatal and permanent */
};

#endif
