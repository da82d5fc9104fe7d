/*
 * why: formats the reason of a failed start. Called by the files of this room that open things
 * before the first fork. Cuts what does not fit; cannot fail.
 */
#include "master/why.h"

#include <stdarg.h>
#include <stdio.h>

int
why_set(struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why->text, sizeof why->text, fmt, ap);
	va_end(ap);
	return -1;
}
