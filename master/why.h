/*
 * why: the reason of a failed start, as one line for the operator. Whoever fails fills it; master.c
 * shows it once, in the log, on stderr and to the launcher.
 */
#ifndef MASTER_WHY_H
#define MASTER_WHY_H

struct why {
	char text[512];
};

/* Stores the line and returns -1, so that callers can `return why_set(...)`. */
int why_set(struct why *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
