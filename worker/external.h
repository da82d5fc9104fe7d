/*
 * external: is this password right? asked of PAM or LDAP, in helper processes: their libraries
 * block, and what goes wrong in them must not cost anybody's session.
 */
#ifndef WORKER_EXTERNAL_H
#define WORKER_EXTERNAL_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/external.h"

enum external_verdict {
	EXTERNAL_RIGHT,
	EXTERNAL_WRONG, /* name or password */
	EXTERNAL_FAILED /* nobody could tell: a server is away, a setting is wrong */
};

struct external_question {
	enum auth_type method;
	const struct external *options;
	const char *user, *password;
	const char *from; /* the client's address, or "" */
};

/* Somebody who waits; embedded, zero = does not wait. */
struct external_task;
struct external_wait {
	struct external_task *task;
	void (*fn)(struct external_wait *, enum external_verdict, const char *why);
};

/* fn is called once, perhaps before this returns; `why` is for the log. False, and it is not: the
 * password is longer than anybody's. */
bool external_ask(struct external_wait *, const struct external_question *,
    void (*fn)(struct external_wait *, enum external_verdict, const char *why));
/* fn will not be called. A question that is being answered is answered for nobody. */
void external_cancel(struct external_wait *);

/* --- in the helper process (external_helper.c and the two methods) --- */

#define EXTERNAL_WHY 240
enum external_verdict external_pam(const struct external_question *, char why[EXTERNAL_WHY]);
enum external_verdict external_ldap(const struct external_question *, char why[EXTERNAL_WHY]);

/* What goes over the socket: one message each way. */
#define EXTERNAL_MESSAGE_MAX 32768

struct external_answer {
	uint8_t verdict;
	char why[EXTERNAL_WHY];
};

#endif
