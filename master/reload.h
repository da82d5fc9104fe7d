/*
 * reload: a new configuration for everybody at once, or for nobody.
 *
 * It is read and checked here, published in a sealed memfd, prepared by every child, and put in
 * force when all of them have said that they can. Whatever is wrong before that is reported and
 * changes nothing. A reload that is asked for while one is under way is done after it.
 */
#ifndef MASTER_RELOAD_H
#define MASTER_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "master/listen.h"
#include "proto/ctlmsg.h"

struct master;

enum reload_state {
	RELOAD_NONE,
	RELOAD_PREPARING, /* children read it; `next` can still be abandoned */
	RELOAD_SWITCHING  /* it is in force; not all have said so yet */
};

/* Zeroes = nothing under way. */
struct reload {
	enum reload_state state;
	const char *set;   /* "name=value": no file is read */
	bool again;	   /* asked for once more */
	uint64_t serial;   /* of the last one tried */
	uint64_t in_force; /* number of m->conf */
	struct conf *next;
	struct listen_set listeners; /* next's */
	int fd;			     /* the memfd, while PREPARING */
	int64_t started_us, deadline_us;
};

void reload_start(struct master *);
/* The configuration in force with one option changed, "name=value", until the next reload. False:
 * one is under way. */
bool reload_set(struct master *, const char *what);
/* From a child: CTL_PREPARED or CTL_SWITCHED. */
void reload_heard(struct master *, uint32_t w, const struct ctlmsg *);
/* A child was forked: it has the configuration in force, and prepares the next like all others. */
void reload_newcomer(struct master *, uint32_t w);
/* Once a turn: has the last one answered, or died, or is it late? */
void reload_go_on(struct master *);
/* Nothing comes of it. */
void reload_abandon(struct master *);

#endif
