/*
 * worker: the one entry point the master knows. Called in a freshly forked child (nothing blocked;
 * TERM INT QUIT HUP USR1 USR2 PIPE ignored, the other signals back to default; fds that are not
 * ours closed); never returns.
 *
 * The steward is the same process without listeners: it sweeps after dead workers.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "shm/hosts.h"
#include "shm/admin.h"
#include "shm/budget.h"
#include "shm/failures.h"
#include "shm/secrets.h"
#include "shm/stats.h"
#include "shm/table.h"

/* Exit codes the master understands: 0 = left on request, WORKER_EXIT_CONFIG = no use to start it
 * again. */
#define WORKER_EXIT_CONFIG 78

#define LOOKUP_BYTES 208

struct worker_boot {
	struct conf *conf; /* the worker's from now on */
	uint64_t conf_serial;
	struct table *table;
	struct stats *stats;
	struct admin *admin;	   /* what operators have said of databases */
	struct secrets *secrets;   /* keys shared by all processes */
	struct hosts *hosts;	   /* what is known of the servers */
	struct hosts *logins;	   /* ... and of the pools' logins at them, by the pool's index */
	struct secrets *lookups;   /* what auth_query has found, the same; of LOOKUP_BYTES */
	struct failures *failures; /* failed logins by address, the same */
	struct budget *budget;	   /* what other generations have */
	struct table_self self;	   /* index and incarnation; the steward's index is nworkers */
	uint32_t nworkers;	   /* places (max_workers); table_shape()->workers = nworkers + 1 */
	bool steward;
	int elder_fd;	     /* to the generation before us, -1 = there was none */
	uint32_t generation; /* 0, or one more than the one before us: master/upgrade.c */
	bool accepts;	     /* false: CTL_SERVE will come */
	int control_fd;	     /* SOCK_SEQPACKET to the master, non-blocking; EOF = the master died */
	const int *listen_fds;	    /* non-blocking listening sockets */
	const uint32_t *listen_ids; /* their numbers */
	const size_t *listen_confs; /* which of conf->listen each is */
	size_t nlisten;
	int inbox_fd;		/* our end to read, SOCK_SEQPACKET, non-blocking; outlives us */
	const int *inbox_peers; /* [nworkers + 1] ends to write to, non-blocking; [self] too */
};

_Noreturn void worker_main(const struct worker_boot *);
/* `pgdrove auth-helper`, which workers start (external.h). Returns the exit code. */
int worker_auth_helper(void);

#endif
