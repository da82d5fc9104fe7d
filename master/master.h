/*
 * master: what the files of this room share.
 *
 * The master supervises: it forks the workers and the steward, watches and replaces them, and turns
 * signals into control messages. It parses no protocol and never takes the table's lock.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "master/listen.h"
#include "master/notify.h"
#include "master/pidfile.h"
#include "master/privs.h"
#include "master/reload.h"
#include "master/spawn.h"
#include "master/upgrade.h"

enum master_state {
	MASTER_RUN,	 /* keep every worker alive */
	MASTER_DRAINING, /* nobody is replaced; workers finish their transactions */
	MASTER_STOPPING	 /* everybody was told to leave now; SIGKILL is near */
};

struct master {
	struct conf *conf; /* in force; a reload puts another in its place */
	enum master_state state;
	bool ready; /* every worker and the steward have served at the same time once */
	int exit_code;
	uint32_t nworkers;	/* places for them; without the steward */
	uint32_t nwanted;	/* how many the configuration wants */
	uint32_t nchildren;	/* with it; it is the last */
	struct child *children; /* [nchildren] */
	struct spawn_kit kit;
	struct listen_set listeners;
	struct pidfile pidfile;
	struct privs privs;
	struct notify notify;
	struct reload reload;
	struct upgrade upgrade;
	enum ctlmsg_drain retiring; /* not NOW: DRAINING, and clients may stay until stop_us */
	int signal_fd;
	int ready_fd; /* to the launcher of -d, -1 if there is none */
	int64_t now_us;
	int64_t tick_us;	  /* longest sleep of the loop */
	int64_t planned_us;	  /* when the loop meant to wake up: tells if we were suspended */
	int64_t watch_from_us;	  /* silence before that does not count */
	int64_t stop_us;	  /* DRAINING: the deadline; STOPPING: when SIGKILL comes */
	int64_t boot_deadline_us; /* with a launcher: to be ready by then; 0 = no limit */
	int64_t watchdog_us;	  /* when the next WATCHDOG=1 is due */
	char last_death[192];	  /* "worker 2 exited with status 1" */
	char status[160];	  /* last STATUS= sent */
};

/*
 * Runs an instance to its end in the foreground. `ready_fd` is the launcher's pipe or -1: it gets
 * one '+' when everybody serves, else the reason as text. Takes the configuration. Returns the exit
 * code.
 */
int master_run(struct conf *, int ready_fd);

/* CLOCK_MONOTONIC in microseconds. */
int64_t master_now_us(void);

#endif
