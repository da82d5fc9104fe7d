/* spawn: one process into one worker slot. */
#ifndef MASTER_SPAWN_H
#define MASTER_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "master/listen.h"
#include "master/pidfile.h"
#include "master/reap.h"
#include "master/reload.h"
#include "master/upgrade.h"
#include "proto/ctlmsg.h"
#include "shm/admin.h"
#include "shm/stats.h"
#include "shm/hosts.h"
#include "shm/failures.h"
#include "shm/secrets.h"
#include "shm/table.h"

/* A worker's place; it outlives the processes in it. */
struct child {
	char name[24]; /* "worker 2", "steward" */
	bool steward;
	bool wanted;  /* somebody shall live here */
	bool surplus; /* whoever still lives here was told to leave when it can */
	pid_t pid;    /* 0 = nobody */
	uint32_t incarnation;
	int control_fd; /* -1 = none */
	bool ready;	/* this process said CTL_READY */
	bool failed;	/* somebody died here before anybody was ready here */
	bool served;	/* somebody was ready here once */
	bool retired;	/* WORKER_EXIT_CONFIG: stays empty */
	int64_t started_us;
	int64_t respawn_us;    /* when to start the next; 0 = not planned */
	int64_t kill_us;       /* SIGABRT was sent, SIGKILL comes then; 0 = not */
	int64_t lost_us;       /* its control socket was closed then; 0 = open */
	enum ctlmsg_type told; /* the last order it received; 0 = none */
	enum ctlmsg_type owes; /* what a reload waits for from it; 0 = nothing */
	struct reap_backoff backoff;
};

/* What all children get, and what they must let go of. */
struct spawn_kit {
	struct conf *conf;
	struct table *table;
	struct stats *stats;
	struct secrets *secrets;
	struct hosts *hosts, *logins;
	struct secrets *lookups;
	struct admin *admin;
	struct failures *failures;
	struct budget *budget;
	uint32_t nworkers; /* places for them; without the steward */
	const struct listen_set *listeners;
	const struct reload *reload;
	const struct upgrade *upgrade;
	uint32_t generation; /* 0 = nobody was before us */
	int elder_fd;	     /* to the generation before us, -1 = there was none */
	bool accepts;	     /* workers may accept from their birth */
	struct pidfile *pidfile;
	int *inbox_fds;	  /* [nworkers + 1] ends to read, kept open for successors */
	int *inbox_peers; /* [nworkers + 1] ends to write to */
	int signal_fd;
	int ready_fd;
};

/* Makes the inboxes. 0 or -1 with errno. */
int spawn_inboxes(struct spawn_kit *);
/* At the very end. */
void spawn_close_inboxes(struct spawn_kit *);
/* Starts the next incarnation of children[w]. 0; -1 with errno and the slot empty as before. */
int spawn_worker(const struct spawn_kit *, struct child *children, uint32_t w, int64_t now_us);

#endif
