/* pidfile: one instance per pid file and per run_dir. */
#ifndef MASTER_PIDFILE_H
#define MASTER_PIDFILE_H

#include "conf/conf.h"
#include "master/privs.h"
#include "master/why.h"

struct pidfh; /* libbsd's */

struct pidfile {
	struct pidfh *file;
	int dir_fd; /* run_dir, locked */
};

/* Locks both and writes our pid. 0, or -1 with the reason: another instance is named by its pid. */
int pidfile_acquire(struct pidfile *, const struct conf *, struct privs *, struct why *);
/* Another generation shall have the pid file; it did not come to that. */
void pidfile_give_up(struct pidfile *);
int pidfile_again(struct pidfile *, const struct conf *, struct privs *, struct why *);
/* At the end: removes the file and lets go. */
void pidfile_release(struct pidfile *);
/* In a child: closes the descriptors, so that the locks die with the master. */
void pidfile_forget(struct pidfile *);

#endif
