/* SPDX-License-Identifier: MIT */
/* Hexadecimal digits; ASCII, whatever the locale. */
#ifndef HEX_H
#define HEX_H

/* 0 to 15, or -1. */
static inline int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Upper case. */
static inline char hex_digit(unsigned int value)
{
	return "0123456789ABCDEF"[value & 15];
}

#endif
